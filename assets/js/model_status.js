// Which model dreams, and whether it is ready. Value: {name, status, chip, kind, detail}.
const { el } = dg;
dg.mount(element, props, watch, (root, v) => root.replaceChildren(
  el('div', { class: 'dg-head' }, el('h3', {}, 'Model'), el('span', { class: `dg-chip ${v.kind}`, role: 'status' }, v.chip)),
  el('div', { class: 'dg-mono12 dg-ell', title: v.name }, v.name),
  v.detail && el('p', { class: 'dg-meta' }, v.detail)));
