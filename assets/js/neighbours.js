// Right column of Inspect: neighbours with similarity, and what each of them changed where they were left out.
const { el } = dg;

dg.mount(element, props, watch, (root, value) => {
  if (value.empty) return root.replaceChildren();
  const n = value.neighbours;
  root.replaceChildren(
    el('section', { class: 'dg-sec', 'aria-label': n.title },
      el('div', { class: 'dg-head' }, el('h3', {}, n.title), el('span', { class: 'dg-meta' }, n.note)),
      n.empty ? el('p', { class: 'dg-meta' }, n.empty) : n.rows.map(dg.neighbour)));
});
