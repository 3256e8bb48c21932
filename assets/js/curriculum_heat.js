// Overview and heatmap of reward entropy, and the way from value to the next tasks.
// Told by topic "curriculum": lab.curriculum_page.CurriculumPage.tick.
const { el, svg, civ, turn, value, worldGlyph } = dg;
const root = element.querySelector('.dg-root');

const empty = (v) => el('div', { class: 'dg-empty' }, el('h3', {}, v.title), el('p', {}, v.text),
  el('a', { class: 'dg-btn', href: '?tab=train' }, 'Go to Train'));

const runs = (v) => {
  const select = el('select', { class: 'dg-select', 'aria-label': 'Run' }, v.runs.map((r) => el('option', { value: r.href, selected: r.current }, r.id)));
  select.addEventListener('change', () => dg.follow(select.value));
  return select;
};

const exported = (v) => dg.exporting(v.heat.empty ? 'no task was practised yet' : 'The tasks of all iterations with value, probability and rollouts, with a manifest', (asked) => trigger('export', asked), Boolean(v.heat.empty));

const head = (v) => el('div', { class: 'dg-row dg-wrap dg-heat-head' },
  el('h2', {}, 'Reward entropy'), el('span', { class: 'dg-meta' }, `variance of a group’s returns, 0 to ${v.heat.max || '0.25'}`), el('span', { class: 'dg-fill' }),
  runs(v), el('span', { class: `dg-chip ${v.chip.kind}` }, `${v.chip.glyph} ${v.chip.word}`),
  v.heat.by && el('span', { class: 'dg-seg', role: 'group', 'aria-label': 'Rows' }, v.heat.by.map((b) =>
    el('a', { href: b.href, 'aria-current': b.current ? 'true' : null, 'data-key': b.current ? null : 'f' }, b.label))), exported(v));

// All iterations as thin columns; a click moves the window there.
const overview = (o) => {
  const height = 5 * o.rows.length;
  const marks = o.rows.flatMap((row, y) => row.map((bin, x) => svg('rect', {
    x, y: 5 * y, width: 1.02, height: 5, style: `fill:${bin === null ? 'var(--dg-nodata)' : civ(bin)}` })));
  const all = svg('svg', { viewBox: `0 -1 ${o.num} ${height + 2}`, preserveAspectRatio: 'none', class: 'dg-overview', role: 'img', 'aria-label': `${o.label}: reward entropy of all rows` },
    svg('rect', { x: 0, y: 0, width: o.num, height, style: 'fill:var(--dg-nodata)' }), marks,
    svg('rect', { x: o.from, y: 0, width: Math.max(o.to - o.from, 0.5), height, class: 'dg-overview-window' }));
  all.addEventListener('click', (event) => {
    const box = all.getBoundingClientRect();
    const centre = Math.round(((event.clientX - box.left) / box.width) * o.num * o.step + o.window / 2);
    const end = Math.min(Math.max(centre, Math.min(o.window, o.last)), o.last);
    dg.follow(`?tab=curriculum&w=${end >= o.last ? '' : end}`);
  });
  return el('div', { class: 'dg-overview-row' }, el('span', { class: 'dg-meta' }, o.label), all);
};

const cell = (c, y, x) => {
  const classes = ['dg-cell', c.light && 'light', c.band && 'band', c.few && 'few', c.bin === null && 'none'].filter(Boolean).join(' ');
  const inside = [el('b', {}, c.text), el('span', {}, c.count)];
  const style = c.bin === null ? null : `--c:${civ(c.bin)}`;
  return el('td', { role: 'gridcell', 'aria-selected': c.current ? 'true' : null }, c.href
    ? el('a', { class: classes, style, href: c.href, title: c.label, 'aria-label': c.label, 'data-at': `${y}.${x}`, tabindex: -1 }, inside)
    : el('span', { class: classes, title: c.label }, inside));
};

const heat = (h) => {
  const table = el('table', { class: 'dg-heat', role: 'grid', 'aria-label': 'Reward entropy by row and iteration' },
    el('colgroup', {}, el('col', { class: 'dg-heat-name' }), h.iterations.map(() => el('col', {}))),
    el('thead', {}, el('tr', {}, el('th', { scope: 'col' }, 'Iteration'), h.iterations.map((it) => el('th', { scope: 'col' }, String(it))))),
    el('tbody', {}, h.rows.map((r, y) => el('tr', {}, el('th', { scope: 'row', title: r.title }, el('span', { class: 'dg-ell' }, r.name)), r.cells.map((c, x) => cell(c, y, x))))));
  const links = [...table.querySelectorAll('a.dg-cell')];
  const start = table.querySelector('[aria-selected=true] a') || links.at(-1);
  if (start) start.tabIndex = 0;
  table.addEventListener('keydown', (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const from = event.target.closest('a.dg-cell');
    if (!move || !from || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    let [y, x] = from.dataset.at.split('.').map(Number);
    for (;;) { // over cells that were not sampled, up to the edge
      y += move[0]; x += move[1];
      if (y < 0 || x < 0 || y >= h.rows.length || x >= h.iterations.length) return;
      const next = links.find((a) => a.dataset.at === `${y}.${x}`);
      if (!next) continue;
      from.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
      return;
    }
  });
  return table;
};

const legend = (h) => el('div', { class: 'dg-legend' },
  el('span', { class: 'dg-row dg-scale' }, '0 ', el('span', {}, [...Array(10).keys()].map((n) => el('i', { style: `background:${civ(n)}` }))), ` ${h.max}`),
  el('span', { class: 'dg-row' }, el('i', { class: 'dg-key-band' }), `target band, ${h.band} and up`),
  el('span', { class: 'dg-row' }, el('i', { class: 'dg-key-few' }), 'fewer than 5 rollouts known'),
  el('span', {}, '0 with ✓ all won or ✕ none won: no signal'), el('span', {}, '– not sampled'));

const flowRow = (r) => el('tr', { class: r.drawn ? '' : 'undrawn' },
  el('td', { title: r.title }, el('a', { href: r.href, class: 'dg-ell' }, worldGlyph(r.world), ' ', r.name)),
  el('td', {}, value(r.value)),
  el('td', { class: 'dg-flow-bar' }, el('span', { style: `--v:${(100 * r.width).toFixed(1)}` }), el('span', { class: 'dg-num' }, r.probability)),
  el('td', {}, r.drawn ? el('i', { class: `dg-token ${r.world}`, role: 'img', 'aria-label': 'drawn' }) : el('span', { class: 'dg-meta' }, 'not drawn')));

const flow = (f) => el('section', { class: 'dg-sec dg-flow', 'aria-label': 'From value to the next tasks' },
  el('div', { class: 'dg-row dg-wrap' }, el('h2', {}, 'From value to the next tasks'), el('span', { class: 'dg-meta' }, f.note), el('span', { class: 'dg-fill' }),
    f.share && el('span', { class: 'dg-meta' }, 'synthetic share λ ', el('b', {}, f.share)),
    f.share && el('span', { class: 'dg-bar dg-lambda', style: `--v:${100 * (f.used || 0)};--k:var(--dg-dream)` })),
  f.rows.length > 0 && el('div', { class: 'dg-scroll-x' }, el('table', { class: 'dg-flow-table' },
    el('thead', {}, el('tr', {}, ['Task', 'Expected value', 'Sampling probability', 'Next iteration'].map((t) => el('th', { scope: 'col' }, t)))),
    el('tbody', {}, f.rows.map(flowRow)))),
  f.text && el('p', { class: 'dg-meta' }, f.text),
  f.rows.length > 0 && el('div', { class: 'dg-legend' }, el('span', {}, worldGlyph('real'), ' seed task'), el('span', {}, worldGlyph('dream'), ' generated variation')));

const draw = (v) => {
  if (v.empty) return root.replaceChildren(v.notice && dg.notice(v.notice), empty(v.empty));
  if (v.heat.empty) {
    return root.replaceChildren(el('div', { class: 'dg-sec' }, head(v), v.notice ? dg.notice(v.notice) : '',
      el('div', { class: 'dg-empty' }, el('h3', {}, 'This run has not practised tasks yet'), el('p', {}, 'After its first iteration its tasks and their values stand here. Runs from before the curriculum, and SFT and DPO runs, have none.'))));
  }
  return root.replaceChildren(
    el('section', { class: 'dg-sec', 'aria-label': 'Reward entropy' }, head(v), v.notice ? dg.notice(v.notice) : '', el('p', { class: 'dg-meta dg-lost' }),
      overview(v.heat.overview),
      el('div', { class: 'dg-scroll-x' }, heat(v.heat)),
      el('div', { class: 'dg-row dg-wrap dg-heat-foot' }, legend(v.heat), el('span', { class: 'dg-fill' }), turn(v.heat.earlier, '[', 'Earlier iterations'), turn(v.heat.later, ']', 'Later iterations'))),
    flow(v.flow));
};

dg.live.on('curriculum', 'heat', (v) => dg.keepFocus(root, () => {
  const scrolled = [...root.querySelectorAll('.dg-scroll-x')].map((node) => node.scrollLeft);
  draw(v);
  root.querySelectorAll('.dg-scroll-x').forEach((node, n) => { node.scrollLeft = scrolled[n] ?? (n === 0 ? node.scrollWidth : 0); });
}));
dg.live.on('curriculum-lost', 'heat', ({ text }) => {
  const place = root.querySelector('.dg-lost');
  if (place) place.replaceChildren(text);
  else if (text) root.replaceChildren(el('div', { class: 'dg-sec' }, el('p', { class: 'dg-meta dg-lost', role: 'alert' }, text)));
});
