// Two worlds side by side, step by step. Value: heading and comparison_view of lab.viewmodels.compare(_controls).
// Steps arrive one by one: rows that did not change keep their node, so nothing that is read moves or folds.
const { el, kbd, worldGlyph } = dg;
const root = element.querySelector('.dg-root');
const head = el('div', { class: 'dg-pad dg-compare-head' });
const table = el('div', { class: 'dg-cmp', role: 'table', 'aria-label': 'Real and dreamed steps' });
const foot = el('div', { class: 'dg-pad dg-meta', role: 'status' });
root.append(head, table, foot);
const unfolded = new Set();
const opened = new Set();
let nodes = new Map();
let shown = '';
let scrolledTo = '';

const key = (href, label, letter) => href
  ? el('a', { class: 'dg-btn s', href, 'data-key': letter }, label, ' ', kbd(letter))
  : el('span', { class: 'dg-btn s', 'aria-disabled': 'true' }, label, ' ', kbd(letter));

const which = (number) => el('span', { class: `dg-share m${number}` }, el('i', { class: 'dg-which' }, String(number)));
const figures = (list, number) => el('div', { class: 'dg-figs' }, number && which(number),
  list.map((f) => el('div', { class: `dg-fig ${f.kind}` }, el('b', {}, f.value), el('span', {}, f.label))));

const drawHead = (v) => head.replaceChildren(...[
  v.notice && dg.notice(v.notice),
  el('div', { class: 'dg-row dg-wrap dg-title' },
    el('h2', {}, v.title), v.meta.map((text) => el('span', { class: 'dg-meta' }, text)), el('span', { class: 'dg-fill' }),
    key(v.previous, 'Previous', 'k'), key(v.next, 'Next', 'j'), key(v.next_difference, 'Next difference', 'n')),
  figures(v.figures, v.second_figures && '1'), v.second_figures && figures(v.second_figures, '2'),
  v.alone.length > 0 && el('div', { class: 'dg-alone' }, v.alone.map((a) => el('div', { class: 'dg-row dg-wrap' }, which(a.number), 'alone agrees:',
    a.steps.length ? a.steps.map((s) => el('a', { href: s.href }, `step ${s.step}`)) : el('span', { class: 'dg-meta' }, 'nowhere')))),
  v.strip.length > 0 && dg.strip(v.strip),
  v.strip.length > 0 && el('div', { class: 'dg-legend' }, el('span', {}, '±n = facts that differ; r, end = only the reward or the end differs; ✕ = one world has no step'),
    el('span', { class: 'dg-hide-s' }, kbd('←'), ' ', kbd('→'), ' or click')),
  v.error && el('div', { class: 'dg-alert', role: 'alert' }, el('b', {}, '⚠ Stopped'), el('span', {}, v.error)),
].filter(Boolean));

const world = (side, who, how, number) => el('div', { role: 'columnheader' },
  el('div', { class: 'dg-row dg-wrap' }, number && which(number),
    el('span', { class: 'dg-row dg-gap-1 dg-nw' }, worldGlyph(side), el('span', { class: `dg-world ${side}` }, side === 'real' ? 'Real' : 'Dream')),
    el('span', { class: 'dg-meta' }, who)),
  how && el('div', { class: 'dg-meta' }, how));

const sides = (s) => el('div', { class: 'dg-cmp-row heads', role: 'row' }, el('div', {}),
  world('real', s.real, s.way === 'engine' && s.how), world('dream', s.dream, s.way !== 'engine' && s.how, s.second && '1'),
  s.second && world('dream', s.second, s.how, '2'));

const text = (side, border) => {
  if (side.segments) return dg.long({ class: border }, dg.segments(side.segments));
  if (side.missing) return el('p', { class: `dg-meta ${border}` }, side.missing);
  return el('div', { class: border }, el('span', { class: 'dg-chip bad' }, `✕ ${side.failure}`), el('p', { class: 'dg-reason' }, side.reason),
    side.raw && dg.long({}, side.raw));
};

const reasoning = (dream, key) => {
  if (!dream.reasoning) return null;
  const details = el('details', { class: 'dg-reasoning', open: opened.has(key) },
    el('summary', {}, 'Reasoning', dream.confidence !== '–' && ` · confidence ${dream.confidence}`), dg.long({}, dream.reasoning));
  details.addEventListener('toggle', () => (details.open ? opened.add(key) : opened.delete(key)));
  return details;
};

const dreamed = (dream, facts, key, note) => el('div', { class: 'side', role: 'cell' }, text(dream, 'dg-dreamed'),
  facts.length > 0 && dg.facts(facts, 'Facts kept, lost and invented'), note && el('p', { class: 'dg-meta' }, note), reasoning(dream, key));

const step = (row) => el('div', { class: 'dg-cmp-row', role: 'row', id: `dg-compared-${row.step}`, 'data-step': row.step },
  el('div', { class: 'st', role: 'rowheader' }, String(row.step)),
  el('div', { class: 'ac', role: 'cell' }, el('code', { class: 'dg-b' }, row.action), el('span', { class: 'dg-fill' }),
    el('span', { class: 'dg-meta' }, [row.rewards, ...row.notes].join(', '))),
  el('div', { class: 'side', role: 'cell' }, text(row.real, 'dg-reald')),
  dreamed(row.dream, row.facts, row.key), row.second && dreamed(row.second, row.second.facts, `${row.key}/2`, row.second.note));

const fold = (row, again) => {
  const open = unfolded.has(row.key);
  const toggle = el('button', { type: 'button', class: 'dg-text-button', 'aria-expanded': String(open), onclick: () => {
    if (open) unfolded.delete(row.key); else unfolded.add(row.key);
    again();
  } }, open ? 'Fold' : 'Unfold');
  const alone = row.first === row.last;
  return el('div', { class: 'dg-cmp-fold', role: 'rowgroup' },
    el('div', { class: 'dg-cmp-row one', role: 'row' },
      el('div', { class: 'st', role: 'rowheader' }, alone ? String(row.first) : ''),
      el('div', { class: 'ac', role: 'cell' }, alone && el('code', { class: 'dg-b' }, row.rows[0].action), el('span', { class: 'dg-meta' }, row.text), toggle,
        el('span', { class: 'dg-fill' }), alone && el('span', { class: 'dg-meta' }, [row.rows[0].rewards, ...row.rows[0].notes].join(', ')))),
    open && row.rows.map(step));
};

const part = (row) => el('div', { class: 'dg-part-line', role: 'row' }, el('b', { class: 'dg-flag', role: 'cell' }, 'The worlds part here'), el('span', { role: 'cell' }, row.text));
const kinds = { step, fold, part, sides };

const drawRows = (v) => {
  const fresh = new Map();
  const all = [{ kind: 'sides', key: 'sides', ...v.sides }, ...v.rows];
  for (const row of all) {
    const text = JSON.stringify(row) + unfolded.has(row.key);
    const old = nodes.get(row.key);
    fresh.set(row.key, old && old.text === text ? old : { text, node: kinds[row.kind](row, () => drawRows(v)) });
  }
  for (const [name, old] of nodes) if (fresh.get(name) !== old) old.node.remove();
  [...fresh.values()].forEach(({ node }, at) => { if (table.children[at] !== node) table.insertBefore(node, table.children[at] ?? null); });
  nodes = fresh;
};

const mark = (v) => {
  table.querySelectorAll('[aria-current]').forEach((node) => node.removeAttribute('aria-current'));
  if (!v.selected) return;
  const inFold = v.rows.find((row) => row.kind === 'fold' && row.first <= v.selected && v.selected <= row.last);
  const place = `${v.key}/${v.selected}`;
  if (inFold && !unfolded.has(inFold.key) && scrolledTo !== place) { unfolded.add(inFold.key); drawRows(v); }
  const node = document.getElementById(`dg-compared-${v.selected}`);
  node?.setAttribute('aria-current', 'step');
  if (node && scrolledTo !== place) { node.scrollIntoView({ block: 'nearest' }); scrolledTo = place; }
};

const draw = () => {
  const v = props.value;
  if (!v) return;
  root.hidden = Boolean(v.hidden);
  if (v.hidden) return;
  if (v.empty) {
    head.replaceChildren(el('div', { class: 'dg-empty' }, el('h3', {}, 'Nothing to compare in this workspace'),
      el('p', {}, 'A comparison starts from a stored episode, or from a dream of yours.'), dg.command(v.command),
      el('a', { class: 'dg-btn', href: '?tab=dream' }, 'Dream an episode')));
    table.replaceChildren(); nodes = new Map(); foot.textContent = '';
    return;
  }
  if (v.key !== shown) { unfolded.clear(); opened.clear(); nodes = new Map(); table.replaceChildren(); shown = v.key; scrolledTo = ''; }
  table.classList.toggle('two', Boolean(v.sides.second));
  drawHead(v);
  drawRows(v);
  mark(v);
  foot.textContent = v.progress;
};
draw();
watch('value', draw);
