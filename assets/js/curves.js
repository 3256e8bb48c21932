// Curves of runs as Plotly draws them: what is solid and dashed, colours, markers, bands, end labels. Pure functions of
// points; the only user of Plotly is train_plots.js.
dg.curves = (() => {
  const SHAPES = ['circle', 'square', 'diamond', 'triangle-up', 'x', 'star', 'pentagon', 'hexagon'];
  const PATHS = [
    'M11 5m-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0', 'M7.7 1.7h6.6v6.6h-6.6z', 'M11 .8l4.2 4.2-4.2 4.2-4.2-4.2z', 'M11 1.2l4 7.2h-8z',
    'M8 2l1-1 2 2 2-2 1 1-2 3 2 3-1 1-2-2-2 2-1-1 2-3z', 'M11 .6l1.2 2.9 3.2.2-2.4 2 .8 3.2-2.8-1.7-2.8 1.7.8-3.2-2.4-2 3.2-.2z',
    'M11 1l4 2.9-1.5 4.7h-5l-1.5-4.7z', 'M9 1.4h4l2.1 3.6-2.1 3.6h-4l-2.1-3.6z',
  ];
  const shape = (colour) => SHAPES[(colour - 1) % SHAPES.length];

  // A run's line and marker, for lists.
  const mark = (colour) => dg.svg('svg', { width: 22, height: 10, 'aria-hidden': 'true', class: 'dg-run-mark', style: `--c: var(--dg-run-${colour})` },
    dg.svg('line', { x1: 0, x2: 22, y1: 5, y2: 5 }), dg.svg('path', { d: PATHS[(colour - 1) % PATHS.length] }));

  // Exponential smoothing, not pulled towards zero at the start. Unknown values are left out.
  const smooth = (points, weight) => {
    let sum = 0;
    let total = 0;
    return points.map((p) => {
      sum = weight * sum + (1 - weight) * p.y;
      total = weight * total + (1 - weight);
      return { ...p, y: sum / total };
    });
  };

  const place = { updates: (run, i) => run.iteration[i], time: (run, i) => run.wall[i] / 60, real: (run, i) => run.real[i] };
  const AXES = { updates: 'updates (iterations)', time: 'minutes of training', real: 'real transitions used' };

  // Known values of a metric: [{x, y, i, iteration}]
  const points = (run, name, axis) => (run?.curves[name] || [])
    .map((y, i) => ({ x: place[axis](run, i), y, i, iteration: run.iteration[i] }))
    .filter((p) => p.y !== null && p.y !== undefined && p.x !== null && p.x !== undefined);

  const at = (run, iteration, axis) => {
    const i = run?.iteration.indexOf(iteration) ?? -1;
    return i < 0 ? null : place[axis](run, i);
  };

  const fade = (colour, alpha) => {
    const n = parseInt(colour.replace('#', ''), 16);
    return `rgba(${(n >> 16) & 255},${(n >> 8) & 255},${n & 255},${alpha})`;
  };

  const line = (list, run, { name, dash = 'solid', colour, dots = false }) => ({
    type: 'scatter', mode: 'lines+markers', name, x: list.map((p) => p.x), y: list.map((p) => p.y),
    customdata: list.map((p) => [run.id, p.iteration, p.text || '']),
    line: { color: colour, width: 1.8, dash, shape: 'linear' },
    marker: { color: colour, symbol: shape(run.colour), opacity: 1, line: { width: 0 }, size: list.map((_, i) => (i === list.length - 1 ? 8 : dots ? 5 : 0)) },
    hovertemplate: '<b>%{fullData.name}</b> %{y:.3~f}%{customdata[2]}<br>iteration %{customdata[1]}<extra></extra>', showlegend: false,
  });

  // Real success with its interval: never smoothed, because it is measured.
  const real = (run, data, axis, colour) => {
    const list = points(data, 'real_success', axis).map((p) => ({ ...p, low: data.curves.real_low[p.i], high: data.curves.real_high[p.i] }))
      .map((p) => ({ ...p, text: p.low === null || p.high === null ? '' : ` [${p.low.toFixed(2)}, ${p.high.toFixed(2)}]` }));
    const known = list.filter((p) => p.text);
    const trace = line(list, run, { name: `${run.label} real`, colour, dots: true });
    if (known.length < 2) {
      trace.error_y = { type: 'data', symmetric: false, color: colour, thickness: 1.2, width: 3, array: list.map((p) => (p.text ? p.high - p.y : 0)), arrayminus: list.map((p) => (p.text ? p.y - p.low : 0)) };
      return [trace];
    }
    const band = {
      type: 'scatter', mode: 'lines', x: [...known.map((p) => p.x), ...known.map((p) => p.x).reverse()], y: [...known.map((p) => p.high), ...known.map((p) => p.low).reverse()],
      fill: 'toself', fillcolor: fade(colour, 0.16), line: { width: 0 }, hoverinfo: 'skip', showlegend: false, name: `${run.label} interval`,
    };
    return [band, trace];
  };

  // End labels, pushed apart where curves end close to each other: first down, then up again from the x axis.
  // box: {x: range, y: range, width, height} in pixels.
  const labels = (ends, box, font) => {
    const pixel = (value, [low, high], size) => ((value - low) / (high - low || 1)) * size;
    const near = (a, b) => Math.abs(a.left - b.left) < 7 * Math.max(a.text.length, b.text.length) + 8;
    const list = ends.map((end) => ({ ...end, left: pixel(end.x, box.x, box.width), at: pixel(end.y, box.y, box.height) })).sort((a, b) => b.at - a.at);
    list.forEach((end, i) => { end.up = Math.min(end.at, ...list.slice(0, i).filter((other) => near(end, other)).map((other) => other.up - 13)); });
    list.reverse().forEach((end, i) => { end.up = Math.max(end.up, 3, ...list.slice(0, i).filter((other) => near(end, other)).map((other) => other.up + 13)); });
    return list.map((end) => ({ text: end.text, x: end.x, y: end.y, xref: 'x', yref: 'y', showarrow: false, xanchor: 'left', yanchor: 'middle', xshift: 8, yshift: end.up - end.at, font, borderpad: 0 }));
  };

  // Range of the x axis: all that is drawn, and a little room for the first and the last marker.
  const across = (traces) => {
    const all = traces.flatMap((t) => t.x).filter(Number.isFinite);
    const high = all.length ? Math.max(...all) : 1;
    const low = all.length && Math.min(...all) === high && high > 0 ? high * 0.9 : 0;
    const room = (high - low || 1) * 0.03;
    return [low - room, high + room];
  };

  // Range of the y axis: a fixed one, or from zero to a little above the highest.
  const range = (traces, fixed, extra) => {
    if (fixed) return fixed;
    const all = [...traces.flatMap((t) => t.y), ...extra].filter(Number.isFinite);
    if (!all.length) return [0, 1];
    const high = Math.max(0, ...all);
    const low = Math.min(0, ...all);
    const room = (high - low || 1) * 0.08;
    return [low < 0 ? low - room : 0, high + room];
  };

  return { mark, smooth, points, at, fade, line, real, labels, range, across, AXES };
})();
