// A second dream beside the first, under the step. Value: lab.viewmodels.microscope.again_view.
const { el, worldGlyph } = dg;

const names = { real: 'Real step', dream: 'First dream' };

const side = (v, world, name, s) => el('div', { class: 'dg-again-side' },
  el('h3', {}, worldGlyph(world), ' ', name),
  s.reason
    ? [el('span', { class: 'dg-chip bad' }, '✕ malformed reply'), el('p', {}, s.reason), s.raw && el('pre', { class: 'dg-dreamed' }, s.raw)]
    : [s.reasoning && dg.fold(s.reasoning, v.fold_lines),
      el('pre', { class: world === 'real' ? 'dg-reald' : 'dg-dreamed' }, dg.segments(s.segments))],
  s.figures.length > 0 && el('p', { class: 'dg-meta' }, s.figures.join(' · ')));

const head = (v) => el('div', { class: 'dg-head' },
  el('h2', {}, 'Dreamed again'), el('span', { class: 'dg-meta dg-fill dg-ell', title: v.settings }, v.settings), el('a', { href: v.close }, 'Close'));

const body = (v) => {
  if (v.phase === 'running') return el('p', { class: 'dg-meta', role: 'status' }, 'Dreaming this step again …');
  if (v.phase === 'error') return el('div', { class: 'dg-alert', role: 'alert' }, el('b', {}, '⚠ Not dreamed'), el('span', {}, v.error));
  return [
    el('p', { role: 'status' }, el('span', { class: `dg-chip ${v.agrees ? 'ok' : 'warn'}` }, v.agrees ? '= agrees' : '± differs'), ' ', v.verdict),
    el('div', { class: 'dg-again' }, side(v, v.first_world, names[v.first_world], v.first), side(v, 'dream', 'Second dream', v.second)),
    v.chips.length > 0 && dg.facts(v.chips, 'Facts of the second dream against the first'),
  ];
};

let shown = 'none';
dg.mount(element, props, watch, (root, v) => {
  root.replaceChildren(...(v.phase === 'none' ? [] : [el('section', { class: 'dg-again-box', 'aria-label': 'Dreamed again' }, head(v), body(v))]));
  if (v.phase !== 'none' && v.phase !== shown) root.scrollIntoView({ block: 'nearest' });
  shown = v.phase;
});
