// Right of a comparison: how close it is, and the model on all test steps. Value: lab.viewmodels.compare_controls.side_view.
const { el, kbd } = dg;

const close = (v) => el('section', { class: 'dg-sec', 'aria-label': 'How close is this dream?' },
  el('div', { class: 'dg-head' }, el('h3', {}, 'How close is this dream?'), el('span', { class: 'dg-meta' }, v.compared)),
  el('table', { class: 'dg-table dg-close' },
    el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'Measure'), el('th', { scope: 'col', class: 'dg-num' }, v.second ? '1' : 'here'), v.second && el('th', { scope: 'col', class: 'dg-num' }, '2'), el('th', { scope: 'col' }, 'reads as'))),
    el('tbody', {}, v.closeness.map((m, n) => el('tr', {}, el('td', {}, m.name), el('td', { class: 'dg-num dg-b' }, m.value), v.second && el('td', { class: 'dg-num dg-b' }, v.second[n]), el('td', { class: 'dg-meta' }, m.reads))))));

const test = (t) => el('section', { class: 'dg-sec', 'aria-label': t.title },
  el('div', { class: 'dg-head' }, el('h3', {}, t.title), el('span', { class: 'dg-meta' }, t.note)),
  el('dl', { class: 'dg-kv' }, t.overall.map((o) => [el('dt', {}, o.name), el('dd', { class: 'dg-b' }, o.value)])),
  t.rows.length > 0 && el('div', { class: 'dg-types' }, t.rows.map((r) => [
    el('span', { class: 'dg-ell' }, r.name), el('div', { class: 'dg-bar', style: `--v:${r.percent}` }),
    el('span', { class: 'dg-num dg-b' }, r.value), el('span', { class: 'dg-num dg-meta' }, r.num.toLocaleString('en'))])),
  el('p', { class: 'dg-meta' }, 'By action: determined steps exact, and their number. ', el('span', { class: 'dg-mono12' }, t.model)));

dg.mount(element, props, watch, (root, v) => root.replaceChildren(...(v.hidden ? [] : [
  close(v), v.test && test(v.test),
  v.links.length > 0 && el('section', { class: 'dg-sec', 'aria-label': 'Act on it' }, el('div', { class: 'dg-head' }, el('h3', {}, 'Act on it'), el('span', { class: 'dg-fill' }),
      dg.exporting(v.can_save ? 'The steps of this comparison, with a manifest' : 'when every step is compared', (asked) => trigger('export', asked), !v.can_save)),
    el('div', { class: 'dg-row dg-wrap' }, v.links.map((l) => el('a', { class: 'dg-btn s', href: l.href, 'data-key': l.key }, l.label, ' ', kbd(l.key))),
    el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'h', disabled: !v.can_save, title: v.can_save ? null : 'when every step is compared', onclick: () => trigger('save') }, 'Save as HTML ', kbd('h')))),
]).filter(Boolean)));
