// Foot of the right column of Inspect: where the step comes from.
const { el } = dg;

dg.mount(element, props, watch, (root, value) => root.replaceChildren(...(value.empty ? [] : [
  el('section', { class: 'dg-sec', 'aria-label': 'Provenance' },
    el('div', { class: 'dg-head' }, el('h3', {}, 'Where it comes from')),
    el('dl', { class: 'dg-kv' }, value.source.map(([name, text]) => [el('dt', {}, name), el('dd', {}, text)])))])));
