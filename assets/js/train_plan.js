// The command of a new run and what it will take. Value: lab.train_form.plan_value.
const { el, kbd } = dg;

dg.mount(element, props, watch, (root, v) => root.replaceChildren(...[
  v.error ? el('div', { class: 'dg-alert', role: 'alert' }, el('b', {}, 'Does not fit'), el('span', {}, v.error)) : dg.command(v.command),
  v.facts.length > 0 && el('dl', { class: 'dg-kv' }, v.facts.map(([name, text]) => [el('dt', {}, name), el('dd', {}, text)])),
  v.tried && !v.error && el('div', { class: 'dg-dry', role: 'status' }, el('p', {}, el('span', { class: 'dg-chip ok' }, '✓ dry run'), ' The settings fit; nothing was started.'),
    v.notes.map((note) => el('p', { class: 'dg-meta' }, note))),
  el('div', { class: 'dg-row dg-wrap' },
    el('button', { type: 'button', class: 'dg-btn', id: 'dg-dry-run', onclick: () => trigger('dry') }, 'Dry run'),
    v.can && el('button', { type: 'button', class: 'dg-btn pri', id: 'dg-launch', 'data-key': 'l', onclick: () => trigger('launch', { command: v.command }) }, 'Launch ', kbd('l')),
    v.can && el('span', { class: 'dg-meta' }, 'exactly this command')),
].filter(Boolean)));
