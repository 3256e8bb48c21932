// Home. Value: lab.viewmodels.home.home_value.
const { el, kbd, svg } = dg;
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

// Success from 0 to 1: a line over the seeds' intervals, a ring for each seed, a disc for their mean.
const track = (m) => {
  const at = (x) => `${100 * x}%`;
  return svg('svg', { class: 'dg-track', role: 'img', 'aria-label': `${m.mean}, ${m.said}` },
    svg('title', {}, m.said),
    svg('line', { class: 'axis', x1: '0%', x2: '100%', y1: 9, y2: 9 }),
    svg('line', { class: 'span', x1: at(m.low), x2: at(m.high), y1: 9, y2: 9 }),
    m.seeds.map((x) => svg('circle', { class: 'seed', cx: at(x), cy: 9, r: 5 })),
    svg('circle', { class: 'mean', cx: at(m.at), cy: 9, r: 3.5 }));
};

const method = (m) => el('tr', {},
  el('th', { scope: 'row' }, m.label, el('small', {}, m.algorithm)),
  el('td', {}, track(m)),
  el('td', {}, el('b', {}, m.mean)), el('td', {}, m.score),
  el('td', {}, m.online), el('td', {}, m.minutes));

const methods = (list) => el('table', { class: 'dg-methods' },
  el('thead', {}, el('tr', {},
    el('th', { scope: 'col' }, 'method'), el('th', { scope: 'col' }, 'real success on unseen tasks, 0 to 1: seeds, and the span of their intervals'),
    el('th', { scope: 'col' }, 'mean'), el('th', { scope: 'col' }, 'score'), el('th', { scope: 'col' }, 'real steps, online'), el('th', { scope: 'col' }, 'minutes'))),
  el('tbody', {}, list.map(method)));

const comparison = (c) => el('div', {},
  el('h3', {}, c.world),
  c.methods.length > 0 && methods(c.methods),
  c.empty && el('div', { class: 'dg-first' }, el('p', {}, c.empty), dg.command(c.command)));

const file = (f) => el('li', {}, el('code', {}, f.name), el('small', {}, f.when), f.command && dg.command(f.command));

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
    el('section', {},
      el('h2', {}, 'Methods compared'),
      v.results.comparisons.map(comparison)),
    el('section', {},
      el('details', { class: 'dg-files' },
        el('summary', {}, `Result files (${v.results.files.length}): what was measured, and the command that repeats it`),
        el('ul', {}, v.results.files.map(file)))),
    el('p', { class: 'dg-meta' }, 'Keys 1 to 7 open the tabs, ', kbd('?'), ' lists all shortcuts.'));
});
