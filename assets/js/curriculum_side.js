// The chosen cell's tasks, the lineage of a task, and what can be done: tick, pin, vary, edit, launch.
// Told by topic "curriculum": lab.curriculum_page.CurriculumPage.tick. Ticks and drafts live on this page alone.
const { el, svg, kbd, value, worldGlyph } = dg;
const root = element.querySelector('.dg-root');
let shown = null;
let run = '';
const ticked = new Map(); // task id -> name
let drafts = [];
let said = null; // { text, bad } of what was done last
let plan = null;
let busy = '';

const wanted = () => [...[...ticked.keys()].map((task_id) => ({ task_id })),
  ...drafts.filter((d) => d.kept && !d.reason).map(({ seed_id, text }) => ({ seed_id, text }))];

const ask = async (what, name, question) => {
  if (busy) return null;
  busy = what;
  redraw();
  try {
    const answer = await dg.curriculum.ask(name, { run, ...question });
    said = answer.error ? { text: answer.error, bad: true } : answer.said ? { text: answer.said } : null;
    return answer.error ? null : answer;
  } catch {
    said = { text: 'The lab does not answer: is it still running?', bad: true };
    return null;
  } finally {
    busy = '';
    redraw();
  }
};

const generate = async (num) => {
  const answer = await ask('generate', 'generate', { task: shown.task.id, num });
  if (!answer) return;
  drafts = answer.drafts.map((d) => ({ ...d, kept: !d.reason }));
  plan = null;
  redraw();
};
const change = (kind) => ask(kind, 'change', { kind, tasks: wanted() });
const look = async () => { plan = await ask('plan', 'plan', { tasks: wanted() }); redraw(); };
const launch = async () => {
  const answer = await ask('launch', 'launch', { tasks: wanted(), command: plan.command });
  if (answer) { plan = null; dg.follow(answer.href); }
};

const glyphs = { success: '■', failure: '□', failed: '✕' };

const tick = (t) => {
  const box = el('input', { type: 'checkbox', 'aria-label': `Tick ${t.name}`, checked: ticked.has(t.id) });
  box.addEventListener('change', () => { if (box.checked) ticked.set(t.id, t.name); else ticked.delete(t.id); plan = null; redraw(); });
  return box;
};

const cell = (c) => c.closed
  ? el('section', { class: 'dg-sec' }, el('h2', {}, 'A cell'), el('p', { class: 'dg-meta' }, 'Click a cell of the heatmap, or move to it with the arrows and press Enter: its tasks and their rollouts stand here.'))
  : el('section', { class: 'dg-sec', 'aria-label': c.title }, el('h2', {}, c.title), el('p', { class: 'dg-meta' }, c.note),
    el('table', { class: 'dg-cell-tasks' },
      el('thead', {}, el('tr', {}, el('th', {}), el('th', { scope: 'col' }, 'Task'), el('th', { scope: 'col' }, 'Returns'), el('th', { scope: 'col', class: 'dg-num' }, 'V'))),
      el('tbody', {}, c.tasks.map((t) => el('tr', { 'aria-selected': String(t.selected) },
        el('td', {}, tick(t)),
        el('td', { title: t.title }, el('a', { href: t.href, class: 'dg-ell' }, worldGlyph(t.world), ' ', t.name)),
        el('td', { class: 'dg-returns' }, t.returns.map((r) => el('a', { href: r.href, title: r.title, class: r.outcome }, glyphs[r.outcome] || '?'))),
        el('td', { class: 'dg-num' }, value(t.value)))))),
    el('p', { class: 'dg-meta' }, '■ won, □ lost, ✕ failed; each opens its rollout in Inspect'));

const spark = (points) => {
  const at = points.map(([x, y]) => [(40 * x).toFixed(1), (16 - 16 * y).toFixed(1)]);
  const line = at.length === 1 ? svg('circle', { cx: at[0][0], cy: at[0][1], r: 1.6, class: 'dot' }) : svg('polyline', { points: at.join(' ') });
  return svg('svg', { viewBox: '-2 -2 44 20', class: 'dg-spark', 'aria-hidden': 'true' }, line);
};

let unfolded = false;
const node = (n) => el('div', { class: 'dg-lin', role: 'treeitem', 'aria-level': String(n.depth + 1), 'aria-selected': String(n.selected), style: `--depth:${n.depth}`, title: n.dropped ? `${n.title} (${n.dropped})` : n.title },
  n.depth > 0 && el('span', { class: 'dg-branch', 'aria-hidden': 'true' }, '└'),
  worldGlyph(n.world),
  n.href ? el('a', { href: n.href, class: 'dg-ell dg-fill' }, n.name) : el('span', { class: 'dg-ell dg-fill dg-meta' }, n.name),
  n.dropped ? el('span', { class: 'dg-chip' }, 'dropped') : spark(n.points),
  value(n.value));
const lineage = (l) => {
  if (l.closed) return null;
  const nodes = unfolded ? l.nodes : l.nodes.filter((n) => !n.dropped);
  const more = l.num_dropped > 0 && el('button', { type: 'button', class: 'dg-text-button', 'aria-expanded': String(unfolded), onclick: () => { unfolded = !unfolded; redraw(); } },
    unfolded ? 'Hide dropped ones' : `Show ${l.num_dropped} dropped`);
  return el('section', { class: 'dg-sec dg-lineage', 'aria-label': 'Lineage' },
    el('div', { class: 'dg-head' }, el('h3', {}, 'Lineage'), el('span', { class: 'dg-meta' }, 'value over time')),
    el('div', { role: 'tree', 'aria-label': 'Lineage' }, nodes.map(node)),
    l.nodes.length === 1 && el('p', { class: 'dg-meta' }, 'No variation was made of it yet.'), more);
};

const draft = (d) => {
  const text = el('input', { type: 'text', class: 'dg-input', value: d.text, 'aria-label': 'Variation' });
  const reason = el('span', { class: 'dg-meta' }, d.reason);
  const box = el('input', { type: 'checkbox', 'aria-label': 'Keep', checked: d.kept && !d.reason, disabled: Boolean(d.reason) });
  box.addEventListener('change', () => { d.kept = box.checked; plan = null; redraw(); });
  text.addEventListener('input', () => { d.text = text.value; });
  text.addEventListener('change', async () => {
    const asked = text.value;
    d.text = asked;
    plan = null;
    setTimeout(resteer);
    const answer = await dg.curriculum.ask('check', { run, seed_id: d.seed_id, text: asked }).catch(() => null);
    if (!answer || d.text !== asked) return;
    d.reason = answer.reason;
    d.kept = !answer.reason;
    if (!box.isConnected) { redraw(); return; }
    reason.textContent = d.reason;
    box.checked = d.kept;
    box.disabled = !d.kept;
    resteer();
  });
  return el('div', { class: 'dg-draft' }, box, text, reason);
};

const numberOf = () => Math.min(100, Math.max(1, Math.round(Number(root.querySelector('#dg-num-variations')?.value) || 8)));
const vary = (v) => v.task && el('section', { class: 'dg-sec dg-vary', 'aria-label': 'Generate variations' },
  el('div', { class: 'dg-head' }, el('h3', {}, 'Variations of'), el('span', { class: 'dg-meta dg-ell', title: v.task.text }, v.task.text)),
  el('div', { class: 'dg-row' },
    el('input', { type: 'number', id: 'dg-num-variations', class: 'dg-input s', min: '1', max: '100', value: String(numberOf()), 'aria-label': 'How many' }),
    el('span', { class: 'dg-meta dg-fill' }, 'candidates, 100 at most'),
    el('button', { type: 'button', class: 'dg-btn', 'data-key': 'g', disabled: !v.can.generate || Boolean(busy), onclick: () => generate(numberOf()) }, busy === 'generate' ? 'Writing … ' : 'Generate ', kbd('g'))),
  !v.can.generate && el('p', { class: 'dg-meta' }, 'No experience model is loaded.'),
  drafts.map(draft),
  drafts.length > 0 && el('button', { type: 'button', class: 'dg-text-button', onclick: () => { drafts = []; plan = null; redraw(); } }, 'Drop all of these'));

const actions = (v) => {
  const num = wanted().length;
  const can = v.can.change && num > 0 && !busy;
  return el('section', { class: 'dg-sec dg-steer', 'aria-label': 'Ticked tasks' },
    el('p', { class: 'dg-meta' }, num ? `${num} ticked${ticked.size ? `: ${[...ticked.values()].slice(0, 4).join(', ')}${ticked.size > 4 ? ' …' : ''}` : ''}` : 'Tick tasks of a cell, or generate variations; then pin them into this run, or launch one on them.'),
    el('div', { class: 'dg-row dg-wrap' },
      el('button', { type: 'button', class: 'dg-btn pri', 'data-key': 'l', disabled: !num || Boolean(busy), onclick: look }, `Launch run on ${num} ${num === 1 ? 'task' : 'tasks'} … `, kbd('l')),
      el('button', { type: 'button', class: 'dg-btn', 'data-key': 'p', disabled: !can, onclick: () => change('pin') }, 'Pin into run ', kbd('p')),
      el('button', { type: 'button', class: 'dg-btn', disabled: !can, onclick: () => change('add') }, 'Add to pool'),
      el('button', { type: 'button', class: 'dg-btn', disabled: !can, onclick: () => change('unpin') }, 'Unpin'),
      el('button', { type: 'button', class: 'dg-btn', disabled: !can, onclick: () => change('drop') }, 'Drop'),
      ticked.size > 0 && el('button', { type: 'button', class: 'dg-text-button', onclick: () => { ticked.clear(); plan = null; redraw(); } }, 'Clear ticks')),
    said && el('p', { class: said.bad ? 'dg-bad' : 'dg-meta', role: 'status' }, said.text),
    v.read_only && el('p', { class: 'dg-meta' }, 'The lab was started read-only: nothing can be changed or launched here.'),
    plan && el('div', { class: 'dg-plan' }, plan.error ? el('p', { class: 'dg-bad' }, plan.error) : [
      dg.command(plan.command),
      el('dl', { class: 'dg-kv' }, plan.facts.map(([name, text]) => [el('dt', {}, name), el('dd', {}, text)])),
      el('div', { class: 'dg-row' }, el('button', { type: 'button', class: 'dg-btn pri', disabled: !plan.can || Boolean(busy), onclick: launch }, 'Launch'),
        el('button', { type: 'button', class: 'dg-btn', onclick: () => { plan = null; redraw(); } }, 'Not now'))]));
};

// What is drawn anew between the press of a button and its release would swallow the click: it waits for the release. So
// a draft that is left by a click on "Pin" is pinned as it was written, while the lab still says whether it can be.
let pressed = false;
let waits = null;
const release = () => { pressed = false; const then = waits; waits = null; then?.(); };
root.addEventListener('pointerdown', () => { pressed = true; });
for (const name of ['pointerup', 'pointercancel']) window.addEventListener(name, () => setTimeout(release));

const resteer = () => {
  const before = root.querySelector('.dg-steer');
  if (pressed) { waits ??= resteer; return; }
  if (before) dg.keepFocus(root, () => before.replaceWith(actions(shown)));
};

const redraw = () => {
  if (!shown) return;
  if (pressed) { waits = redraw; return; }
  dg.keepFocus(root, () => {
    if (shown.empty) return root.replaceChildren();
    return root.replaceChildren(...[cell(shown.cell), lineage(shown.lineage), vary(shown), actions(shown)].filter(Boolean));
  });
};

dg.live.on('curriculum', 'side', (v) => {
  if (v.run !== run) { run = v.run; ticked.clear(); drafts = []; plan = null; said = null; }
  if (v.task?.id !== shown?.task?.id) { drafts = []; plan = null; }
  shown = v;
  redraw();
});
