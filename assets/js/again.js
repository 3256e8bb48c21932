// A second dream beside the first, under the step. Value: lab.viewmodels.microscope.again_view.
const { el, long, state, worldGlyph } = dg;

const names = { real: 'Real step', dream: 'First dream' };

const side = (v, world, name, s) => el('div', { class: 'dg-again-side' },
  el('h3', {}, worldGlyph(world), ' ', name),
  s.reason
    ? [el('span', { class: 'dg-chip bad' }, '✕ malformed reply'), el('p', {}, s.reason), s.raw && dg.tint.text(s.tint, 'raw', long({ class: 'dg-dreamed' }, s.raw), (tokens) => long({ class: 'dg-dreamed' }, tokens))]
    : [s.reasoning && dg.tint.text(s.tint, 'reasoning', dg.fold(s.reasoning, v.fold_lines), (tokens) => dg.fold(tokens, v.fold_lines)),
      dg.tint.text(s.tint, 'state', state(world, dg.segments(s.segments)), (tokens) => state(world, tokens)), dg.tint.written(s.tint)],
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
