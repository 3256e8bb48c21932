// Right column of Inspect: neighbours with similarity, and what each of them changed where they were left out.
const { el, worldGlyph } = dg;

const neighbour = (n) => el('div', { class: 'dg-nb' },
  el('div', {}, el('span', { class: 'sim' }, n.similarity), el('div', { class: 'dg-bar', style: `--v:${n.percent}` })),
  n.missing
    ? el('div', {}, el('span', { class: 'dg-mono12' }, n.id), el('span', { class: 'dg-meta dg-ell' }, 'not in this workspace'))
    : el('div', {},
      el('div', { class: 'dg-row dg-gap-1' }, worldGlyph(n.world), el('a', { class: 'dg-mono12', href: n.href }, n.id),
        n.cause && [el('span', { class: 'dg-fill' }), el('span', { class: n.cause.flag ? 'dg-flag' : 'dg-meta' }, n.cause.text)]),
      el('code', { class: 'dg-ell', title: n.action }, n.action),
      el('span', { class: 'dg-meta dg-ell', title: n.next_state }, n.summary),
      n.chips?.length > 0 && dg.facts(n.chips, 'Facts without this neighbour')));

dg.mount(element, props, watch, (root, value) => {
  if (value.empty) return root.replaceChildren();
  const n = value.neighbours;
  root.replaceChildren(
    el('section', { class: 'dg-sec', 'aria-label': n.title },
      el('div', { class: 'dg-head' }, el('h3', {}, n.title), el('span', { class: 'dg-meta' }, n.note)),
      n.empty ? el('p', { class: 'dg-meta' }, n.empty) : n.rows.map(neighbour)));
});
