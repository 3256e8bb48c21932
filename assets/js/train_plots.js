// Live curves of the drawn runs: the one place that uses Plotly. plotly.js is fetched when the tab is opened first.
// Zoom survives new points (uirevision), and so does what the mouse points at. Topic: charts, see train_live.js.
const { el } = dg;
const C = dg.curves;
const root = element.querySelector('.dg-root');
const HEIGHT = 204;
const MARGIN = { l: 38, t: 8, b: 34 };
const [DASHED, DOTTED, MIXED] = ['5px,3px', '1.5px,2.5px', '7px,2.5px,1.5px,2.5px']; // dashed is the dream, in every chart
const PARTS = [['policy', 'accent', 'policy acts'], ['model', 'dream', 'dreams'], ['retrieval', 'run-5', 'retrieves'], ['environment', 'real', 'real engine'], ['variations', 'run-4', 'varies tasks'], ['update', 'run-3', 'update'], ['evaluation', 'run-6', 'evaluation']];
const CHARTS = [
  { key: 'success', title: 'Success', note: 'held-out real tasks with 95 % interval', range: [0, 1] },
  { key: 'dream_minus_real', title: 'Dream minus real', note: 'success', limit: 'over' },
  { key: 'loss', title: 'Loss', note: 'of the policy; dotted: of PPO’s value model' },
  { key: 'entropy', title: 'Policy entropy', note: 'nats a token' },
  { key: 'kl', title: 'KL to the start', note: 'nats a token', limit: 'over' },
  { key: 'zero_variance', title: 'Zero-variance groups', note: 'share', range: [0, 1], limit: 'over' },
  { key: 'valid_share', title: 'Valid actions', note: 'share, and idle, failed', range: [0, 1], limit: 'under' },
  { key: 'reply_tokens', title: 'Reply length', note: 'tokens' },
  { key: 'reward', title: 'Return', note: 'mean of the rollouts' },
  { key: 'seconds', title: 'Time an iteration', note: 'seconds' },
];

let state = null;
let smoothing = 0.3;
let byPart = false;

// Controls
const axes = el('span', { class: 'dg-seg', role: 'group', 'aria-label': 'x-axis' });
const strength = el('span', { class: 'dg-meta dg-num' }, smoothing.toFixed(2));
const slider = el('input', { type: 'range', id: 'dg-smoothing', min: 0, max: 0.95, step: 0.05, value: smoothing, 'aria-label': 'Smoothing', title: 'Real success is never smoothed' });
slider.addEventListener('input', () => { smoothing = Number(slider.value); strength.textContent = smoothing.toFixed(2); draw(); });
const stroke = (dashed) => el('i', { class: `dg-stroke ${dashed ? 'dream' : 'real'}` });
const exported = el('div', {});
const controls = el('div', { class: 'dg-row dg-wrap dg-plot-controls' },
  el('span', { class: 'dg-meta' }, 'x-axis'), axes,
  el('label', { class: 'dg-row dg-smoothing' }, el('span', { class: 'dg-meta' }, 'Smoothing'), slider, strength),
  el('span', { class: 'dg-fill' }),
  el('span', { class: 'dg-legend' }, el('span', {}, stroke(false), ' real'), el('span', {}, stroke(true), ' dream'), el('span', { class: 'dg-hide-s', title: 'double click to reset' }, 'drag to zoom')),
  exported);
// The menu stays as it is, open or not, until there is something else to say of it.
const offer = (runs) => {
  const any = runs.some(({ id }) => dg.live.runs.get(id)?.iteration.length);
  const title = any ? 'All that the drawn runs have recorded, an iteration a row, with a manifest' : 'no iteration is recorded yet';
  if (exported.dataset.title !== title) exported.replaceChildren(dg.exporting(title, (asked) => trigger('export', asked), !any));
  exported.dataset.title = title;
};
const plots = CHARTS.map((chart) => {
  const toggle = chart.key === 'seconds' && el('button', { type: 'button', class: 'dg-text-button', id: 'dg-by-part', 'aria-pressed': 'false', onclick: () => {
    byPart = !byPart;
    toggle.textContent = byPart ? 'total' : 'by part';
    toggle.setAttribute('aria-pressed', String(byPart));
    draw();
  } }, 'by part');
  const note = el('span', { class: 'dg-meta dg-ell' }, chart.note);
  const graph = el('div', { class: 'dg-plot', role: 'img', 'aria-label': chart.title });
  const said = el('p', { class: 'dg-meta dg-plot-said' });
  return { chart, note, graph, said, resets: 0, node: el('figure', { id: `dg-plot-${chart.key}` }, el('figcaption', { class: 'dg-row' }, el('b', {}, chart.title), note, toggle), el('div', { class: 'dg-plot-frame' }, graph, said)) };
});
const grid = el('div', { class: 'dg-plots', hidden: true }, plots.map((p) => p.node));
const failed = el('p', { class: 'dg-meta dg-bad', role: 'status' });
controls.hidden = true;
root.append(controls, failed, grid);

const plotly = () => {
  dg.plotly ||= new Promise((resolve, reject) => {
    const script = el('script', { src: `${window.gradio_config?.root || ''}/gradio_api/file=${props.value.plotly}` });
    script.addEventListener('load', () => resolve(window.Plotly));
    script.addEventListener('error', () => { dg.plotly = null; script.remove(); reject(new Error('the script of the charts could not be fetched')); });
    document.head.append(script);
  });
  return dg.plotly;
};

const colours = () => {
  const style = getComputedStyle(root);
  return (name) => style.getPropertyValue(`--dg-${name}`).trim();
};

// Traces of one chart, and what it says where there is nothing to draw.
const success = (runs, colour) => {
  const traces = [];
  const said = [];
  for (const run of runs) {
    const measured = C.points(run.data, 'real_success', state.axis);
    if (!measured.length) {
      said.push(run.data?.iteration.length ? `${run.id}: no real success yet, so its dream curve is not drawn.` : `${run.id}: no iteration yet.`);
      continue;
    }
    const dreamed = C.smooth(C.points(run.data, 'dream_success', state.axis), smoothing);
    if (dreamed.length) traces.push({ ...C.line(dreamed, run, { name: `${run.label} dream`, dash: DASHED, colour: colour(`run-${run.colour}`) }), endLabel: `${run.label} dream` });
    const real = C.real(run, run.data, state.axis, colour(`run-${run.colour}`));
    traces.push(...real.map((trace, i) => (i === real.length - 1 ? { ...trace, endLabel: `${run.label} real` } : trace)));
  }
  return { traces, said };
};

const curve = (key, runs, colour) => {
  const traces = runs.map((run) => [run, C.smooth(C.points(run.data, key, state.axis), smoothing)]).filter(([, list]) => list.length)
    .map(([run, list]) => ({ ...C.line(list, run, { name: run.label, colour: colour(`run-${run.colour}`), dots: list.length < 3 }), endLabel: run.label }));
  return { traces, said: traces.length ? [] : ['Nothing recorded yet.'] };
};

// Further curves in the same chart, where a run has them.
const BESIDE = { loss: [['value_loss', 'value', DOTTED]], valid_share: [['idle_share', 'idle', DOTTED], ['failed_share', 'failed', MIXED]] };
const withOthers = (key, runs, colour) => {
  const main = curve(key, runs, colour);
  const others = BESIDE[key].flatMap(([other, word, dash]) => curve(other, runs, colour).traces.map((t) => ({ ...t, name: `${t.name} ${word}`, endLabel: `${t.endLabel} ${word}`, line: { ...t.line, dash } })));
  const traces = [...main.traces, ...others];
  return { traces, said: traces.length ? [] : main.said };
};

const tracesOf = (key, runs, colour) => {
  if (key === 'success') return success(runs, colour);
  return key in BESIDE ? withOthers(key, runs, colour) : curve(key, runs, colour);
};

const stacked = (run, colour) => {
  const traces = PARTS.map(([name, tint, words]) => [C.points(run.data, `seconds_${name}`, state.axis), tint, words]).filter(([list]) => list.some((p) => p.y > 0))
    .map(([list, tint, words]) => ({
      type: 'scatter', mode: 'lines', stackgroup: 'parts', name: words, x: list.map((p) => p.x), y: list.map((p) => p.y), line: { width: 0.8, color: colour(tint) },
      fillcolor: C.fade(colour(tint), 0.35), customdata: list.map((p) => [run.id, p.iteration, '']), showlegend: false,
      hovertemplate: '<b>%{fullData.name}</b> %{y:.3~f} s<br>iteration %{customdata[1]}<extra></extra>',
    }));
  let under = 0;
  const ends = traces.map((t) => { const size = t.y.at(-1) ?? 0; under += size; return { text: t.name, x: t.x.at(-1), y: under - size / 2 }; });
  return { traces, ends, highest: [Math.max(0, ...(traces[0]?.x || []).map((_, i) => traces.reduce((sum, t) => sum + (t.y[i] || 0), 0)))], said: traces.length ? [] : [`${run.id} recorded no parts.`] };
};

const endsOf = (traces) => traces.filter((t) => t.endLabel && t.x.length).map((t) => ({ text: t.endLabel, x: t.x.at(-1), y: t.y.at(-1) }));

const layout = (plot, made, colour) => {
  const { chart, graph } = plot;
  const main = state.runs.find((run) => run.id === state.run);
  const ends = made.ends || endsOf(made.traces);
  const limit = chart.limit && state.limits[chart.key];
  const x = C.across(made.traces);
  const y = C.range(made.highest ? [] : made.traces, chart.range, made.highest || (Number.isFinite(limit) ? [limit] : []));
  const right = 16 + 6.4 * Math.max(2, ...ends.map((end) => Math.min(end.text.length, 18)));
  const box = { x, y, width: graph.clientWidth - MARGIN.l - right, height: HEIGHT - MARGIN.t - MARGIN.b };
  const shapes = [];
  const annotations = C.labels(ends, box, { color: colour('ink-2'), size: 11 }).map((label) => ({ ...label, bgcolor: C.fade(colour('surface'), 0.75) }));
  if (Number.isFinite(limit)) shapes.push({ type: 'line', xref: 'paper', x0: 0, x1: 1, y0: limit, y1: limit, line: { color: colour('warn'), width: 1, dash: '1px,3px' } });
  for (const alarm of state.alarms) {
    if (chart.key !== 'success' && chart.key !== alarm.kind) continue;
    const since = C.at(main?.data, alarm.iteration, state.axis);
    if (since === null) continue;
    shapes.push({ type: 'line', yref: 'paper', x0: since, x1: since, y0: 0, y1: 1, line: { color: colour('warn'), width: 1.5, dash: '2px,3px' } });
    annotations.push({ text: `⚠ ${alarm.iteration}`, x: since, xref: 'x', y: 1, yref: 'paper', showarrow: false, xanchor: 'right', yanchor: 'top', font: { color: colour('warn'), size: 11 } });
  }
  const axis = { gridcolor: colour('line'), zerolinecolor: colour('line'), linecolor: colour('line'), tickfont: { size: 11, color: colour('ink-3') } };
  return {
    height: HEIGHT, autosize: true, margin: { ...MARGIN, r: right }, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', font: { family: getComputedStyle(root).fontFamily, size: 11, color: colour('ink-2') },
    uirevision: `${state.axis} ${chart.key === 'seconds' && byPart} ${plot.resets}`, showlegend: false, hovermode: 'closest', dragmode: 'zoom', shapes, annotations,
    hoverlabel: { bgcolor: colour('surface'), bordercolor: colour('line-2'), font: { color: colour('ink'), size: 12 } },
    xaxis: { ...axis, range: x, nticks: 5, showgrid: false, title: { text: C.AXES[state.axis], font: { size: 11, color: colour('ink-3') }, standoff: 4 } },
    yaxis: { ...axis, range: y, nticks: 4, zeroline: true },
  };
};

// A redraw takes the label at the mouse away; the mouse is told to have moved, and it is back.
const pointer = new WeakMap();
const keepHover = (graph) => {
  const seen = pointer.get(graph);
  if (!seen || !graph.matches(':hover')) return;
  graph.querySelector('.nsewdrag')?.dispatchEvent(new MouseEvent('mousemove', { bubbles: true, clientX: seen.x, clientY: seen.y }));
};

const show = async (Plotly, plot, colour) => {
  const { chart, graph, said, note } = plot;
  const stack = chart.key === 'seconds' && byPart && state.runs.find((run) => run.id === state.run);
  const made = stack ? stacked(stack, colour) : tracesOf(chart.key, state.runs, colour);
  said.textContent = made.said.join(' ');
  said.classList.toggle('over', !made.traces.length);
  const limit = chart.limit && state.limits[chart.key];
  note.textContent = stack ? `seconds, ${stack.id}` : Number.isFinite(limit) ? `${chart.note}, alarm ${chart.limit} ${limit}` : chart.note;
  note.title = note.textContent;
  const first = !graph.classList.contains('js-plotly-plot');
  await Plotly.react(graph, made.traces, layout(plot, made, colour), { displayModeBar: false, responsive: true, doubleClick: false });
  graph.dataset.points = String(made.traces.reduce((sum, t) => sum + t.x.length, 0));
  if (first) {
    graph.on('plotly_click', (event) => {
      const [run, iteration] = event.points[0].customdata || [];
      if (run) dg.follow(`?tab=train&run=${run}&it=${iteration}`);
    });
    graph.on('plotly_doubleclick', () => { plot.resets += 1; draw(); }); // to all that is there now
    graph.addEventListener('mousemove', (event) => { if (event.isTrusted) pointer.set(graph, { x: event.clientX, y: event.clientY }); });
  }
  keepHover(graph);
};

let drawing = false;
let again = false;
const draw = async () => {
  if (!state || state.empty) return;
  if (drawing) { again = true; return; }
  drawing = true;
  try {
    const Plotly = await plotly();
    failed.textContent = '';
    if (plots.some((p) => p.graph._dragging)) { setTimeout(draw, 300); return; } // never under a hand that drags
    const colour = colours();
    state.runs = state.drawn.map((run) => ({ ...run, data: dg.live.runs.get(run.id) }));
    for (const plot of plots) await show(Plotly, plot, colour);
  } catch (error) {
    failed.textContent = `No charts: ${error.message}.`;
  } finally {
    drawing = false;
    if (again) { again = false; draw(); }
  }
};

dg.live.on('charts', 'plots', (v) => {
  state = { ...v };
  grid.hidden = controls.hidden = Boolean(v.empty);
  if (v.empty) return;
  offer(v.drawn);
  axes.replaceChildren(...[['updates', 'updates'], ['time', 'wall time'], ['real', 'all real transitions']].map(([key, words]) =>
    el('a', { href: `?tab=train&x=${key}`, 'aria-current': key === v.axis ? 'true' : null }, words)));
  draw();
});
new MutationObserver(draw).observe(document.body, { attributes: true, attributeFilter: ['class'] }); // light or dark
