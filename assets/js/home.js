// Home. Value: lab.viewmodels.home.home_value.
const { el, kbd } = dg;
const glyph = { ok: '✓', wait: '◷', bad: '✕' };
const tint = { ok: 'ok', wait: 'run', bad: 'bad' };

const figure = (f) => el('div', { class: 'dg-fig' },
  el('b', {}, f.href ? el('a', { href: f.href }, f.figure) : f.figure), el('span', {}, f.label));

const step = (s, first) => el('li', {},
  el('a', { class: `dg-btn${first ? ' pri' : ''}`, href: s.href }, s.label),
  el('p', {}, s.text));

const part = (p) => el('tr', {},
  el('th', { scope: 'row' }, p.name, el('small', {}, p.what)),
  el('td', {}, el('span', { class: `dg-chip ${tint[p.state]}` }, `${glyph[p.state]} ${p.word}`)),
  el('td', {}, p.detail));

dg.mount(element, props, watch, (root, v) => {
  const w = v.workspace;
  root.replaceChildren(
    el('section', { class: 'dg-hero' }, el('h1', {}, 'DreamGym Lab'), el('p', {}, ...v.what)),
    el('section', {},
      el('h2', {}, 'Next'),
      v.command && el('div', { class: 'dg-first' }, el('p', {}, 'Nothing is stored yet. Collect some episodes from the real engine:'), dg.command(v.command)),
      v.next.length > 0 && el('ol', { class: 'dg-next' }, v.next.map((s, i) => step(s, i === 0)))),
    el('section', {},
      el('h2', {}, 'Workspace'),
      el('p', { class: 'dg-meta' }, el('code', { class: 'dg-mono12' }, w.path), w.read_only ? ' · read-only: nothing is saved, no real engine is started' : ''),
      el('div', { class: 'dg-figs' }, w.figures.map(figure))),
    el('section', {},
      el('h2', {}, 'Models and environments'),
      el('table', { class: 'dg-parts' }, el('tbody', {}, v.parts.map(part)))),
    el('p', { class: 'dg-meta' }, 'Keys 1 to 6 open the tabs, ', kbd('?'), ' lists all shortcuts.'));
});
