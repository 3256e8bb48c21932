// Under the settings of the microscope: what can be done, and what came of it. Value: lab.viewmodels.microscope.scope_view.
const { el, kbd, long } = dg;

const button = (v, look, label, key, primary) => el('button', {
  type: 'button', class: `dg-btn s ${primary ? 'pri' : ''}`, 'data-key': key, disabled: Boolean(v.refused) || (v.phase === 'running' && v.look === look),
  title: v.refused || null, onclick: () => trigger('look', { look }),
}, label, ' ', kbd(key));

const outcome = (o, first) => el('details', { class: 'dg-luck' },
  el('summary', {},
    el('span', {}, o.label, o.is_first && el('span', { class: 'dg-meta' }, ` ${first}`)),
    el('div', { class: 'dg-bar', style: `--v:${o.percent}` }), el('b', { class: 'dg-num' }, String(o.count))),
  o.chips.length > 0 && dg.facts(o.chips, 'Facts against the most frequent outcome'),
  dg.tint.text(o.tint, o.tint?.parts.raw ? 'raw' : 'state', long({ class: 'dg-dreamed' }, o.title), (tokens) => long({ class: 'dg-dreamed' }, tokens)));

const luck = (l) => el('section', { class: 'dg-sec', 'aria-label': 'Environment luck' },
  el('div', { class: 'dg-head' }, el('h3', {}, 'Environment luck'), el('span', { class: 'dg-meta' }, l.note)),
  l.rows.map((o) => outcome(o, l.first)));

dg.mount(element, props, watch, (root, v) => root.replaceChildren(...(v.phase === 'none' ? [] : [
  el('section', { class: 'dg-sec dg-scope', 'aria-label': 'Dream this step' },
    el('div', { class: 'dg-row dg-wrap' },
      button(v, 'again', 'Dream again', 'm', true), button(v, 'out', 'Leave each out', 'e'), button(v, 'luck', `Luck × ${v.num_draws}`, 'l')),
    v.phase === 'running' && el('p', { class: 'dg-meta', role: 'status' }, 'Dreaming …'),
    v.phase === 'error' && el('p', { class: 'dg-bad', role: 'alert' }, v.error),
    v.refused && el('p', { class: 'dg-meta' }, v.refused),
    v.verdict && el('p', { role: 'status' }, v.verdict)),
  v.luck && luck(v.luck),
].filter(Boolean))));
