// The list of runs. Topic: list, of lab.viewmodels.train.list_value.
const { el, kbd, turn, worldGlyph } = dg;
const root = element.querySelector('.dg-root');
const body = el('div', { class: 'dg-run-list' });
const foot = el('div', { class: 'dg-foot' });
root.append(body, foot);

const row = (r) => {
  const box = el('input', {
    type: 'checkbox', id: `dg-draw-${r.id}`, checked: r.colour > 0, disabled: !r.toggle, title: r.toggle_title, 'aria-label': `Draw ${r.id}`,
    onchange: () => dg.follow(r.toggle),
  });
  return el('tr', { 'aria-selected': String(r.selected), 'data-href': r.href },
    el('td', {}, box),
    el('td', { title: r.reason || r.detail },
      el('div', { class: 'dg-row dg-gap-1' }, r.colour > 0 && dg.curves.mark(r.colour), el('a', { class: 'dg-mono dg-b dg-ell', href: r.href }, r.id)),
      el('div', { class: 'dg-meta dg-ell' }, r.detail),
      r.reason && el('div', { class: 'dg-meta dg-ell' }, r.reason)),
    el('td', {}, el('span', { class: `dg-chip ${r.chip.kind}` }, `${r.chip.glyph} ${r.chip.word}`)),
    el('td', { class: 'dg-num' }, r.success));
};

const table = (v) => el('table', { class: 'dg-table dg-runs', 'aria-label': 'Runs' },
  el('colgroup', {}, ['40px', '', '98px', '86px'].map((w) => el('col', { style: w && `width:${w}` }))),
  el('thead', {}, el('tr', {}, [['', ''], ['Run', ''], ['State', ''], [[worldGlyph('real'), ' Success'], 'dg-num']].map(([text, cls]) => el('th', { class: cls, scope: 'col' }, text)))),
  el('tbody', {}, v.rows.map(row)));

const empty = (e) => el('div', { class: 'dg-empty' },
  el('h3', {}, e.title), el('p', {}, e.read_only ? e.text_read_only : e.text), dg.command(e.command));

const none = (v) => el('div', { class: 'dg-empty' },
  el('h3', {}, v.none), el('a', { class: 'dg-btn', href: v.clear, 'data-key': 'x' }, 'Clear the filters ', kbd('x')));

body.addEventListener('click', (event) => {
  const line = event.target.closest('tr[data-href]');
  if (line && !event.target.closest('a, input') && !String(getSelection())) dg.follow(line.dataset.href);
});

dg.live.on('list', 'runs', (v) => dg.keepFocus(root, () => {
  const keep = body.scrollTop;
  foot.hidden = Boolean(v.empty);
  body.replaceChildren(v.empty ? empty(v.empty) : v.none ? none(v) : table(v));
  body.scrollTop = keep;
  if (v.empty) return;
  foot.replaceChildren(...[el('span', { class: 'dg-nw' }, v.footer),
    v.clear && !v.none && el('a', { href: v.clear, class: 'dg-nw', 'data-key': 'x' }, 'Clear filters ', kbd('x')), el('span', { class: 'dg-fill' }), turn(v.previous, 'k', 'Previous run'), turn(v.next, 'j', 'Next run')].filter(Boolean));
}));
