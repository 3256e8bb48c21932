// Right column of Inspect: neighbours with similarity, then where the step comes from.
const { el, worldGlyph } = dg;

const neighbour = (n) => el('div', { class: 'dg-nb' },
  el('div', {}, el('span', { class: 'sim' }, n.similarity), el('div', { class: 'dg-bar', style: `--v:${n.percent}` })),
  n.missing
    ? el('div', {}, el('span', { class: 'dg-mono12' }, n.id), el('span', { class: 'dg-meta dg-ell' }, 'not in this workspace'))
    : el('div', {},
      el('div', { class: 'dg-row dg-gap-1' }, worldGlyph(n.world), el('a', { class: 'dg-mono12', href: n.href }, n.id)),
      el('code', { class: 'dg-ell', title: n.action }, n.action),
      el('span', { class: 'dg-meta dg-ell', title: n.next_state }, n.summary)));

dg.mount(element, props, watch, (root, value) => {
  if (value.empty) return root.replaceChildren();
  const n = value.neighbours;
  root.replaceChildren(
    el('section', { class: 'dg-sec', 'aria-label': n.title },
      el('div', { class: 'dg-head' }, el('h3', {}, n.title), el('span', { class: 'dg-meta' }, n.note)),
      n.empty ? el('p', { class: 'dg-meta' }, n.empty) : n.rows.map(neighbour)),
    el('section', { class: 'dg-sec', 'aria-label': 'Provenance' },
      el('div', { class: 'dg-head' }, el('h3', {}, 'Where it comes from')),
      el('dl', { class: 'dg-kv' }, value.source.map(([name, text]) => [el('dt', {}, name), el('dd', {}, text)]))));
});
