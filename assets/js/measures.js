// What the theory measures of an experience model, from result files. Value: lab.viewmodels.measures.measures_view.
const { el } = dg;

const figures = (list) => el('div', { class: 'dg-figs' }, list.map((f) => el('div', { class: 'dg-fig' }, el('b', {}, f.value), el('span', {}, f.label.split('_').map((part, n) => (n ? [el('sub', {}, part[0]), part.slice(1)] : part))))));

const made = (m) => el('details', { class: 'dg-made' }, el('summary', {}, `${m.file}, ${m.when}`), m.command && dg.command(m.command));

const head = (...names) => el('thead', {}, el('tr', {}, names.map(([name, number]) => el('th', { scope: 'col', class: number ? 'dg-num' : '' }, name))));

const bar = (b, name, few) => el('span', { class: `dg-error ${few ? 'few' : ''}`, title: `${name} ${b.title}` },
  el('i', { class: 'dg-which' }, name),
  el('span', { class: 'dg-track' }, b.percent !== null && [el('i', { class: 'dg-share-bar', style: `--v:${b.percent}` }), el('i', { class: 'dg-whisker', style: `--low:${b.low};--high:${b.high}` })]),
  el('b', { class: 'dg-num' }, b.value), el('span', { class: 'dg-sr' }, `${b.title}${few ? ', few steps' : ''}`));

const chart = (c) => el('section', { 'aria-label': c.title }, el('div', { class: 'dg-head' }, el('h4', {}, c.title)),
  el('div', { class: 'dg-errors' }, c.rows.map((r) => el('div', { class: 'dg-error-row' },
    el('span', { class: 'dg-ell', title: r.name }, r.name), el('span', { class: 'dg-num dg-meta' }, r.steps),
    el('span', {}, bar(r.transition, 'P', r.few), bar(r.reward, 'R', r.few))))));

const bound = (b) => el('td', { class: 'dg-num' }, b.value, b.vacuous && [' ', el('span', { class: 'dg-chip', title: 'larger than any two returns can differ' }, 'vacuous')]);

const lemma = (rows) => rows.length > 0 && el('section', { 'aria-label': 'Lemma 1' }, el('div', { class: 'dg-head dg-wrap' }, el('h4', {}, 'Lemma 1: the bound beside the measured gap'),
  el('span', { class: 'dg-meta' }, 'return of the same actions, dream less real')),
  el('div', { class: 'dg-scroll-x' }, el('table', { class: 'dg-table' },
    head(['The dream is', 0], ['γ', 1], ['episodes', 1], ['real', 1], ['dream', 1], ['gap, 95 % interval', 1], ['bound: largest error', 1], ['mean error', 1], ['by episode', 1]),
    el('tbody', {}, rows.map((r) => el('tr', {}, el('td', {}, r.loop), [r.gamma, r.episodes, r.real, r.dream, r.gap].map((x) => el('td', { class: 'dg-num' }, x)), r.bounds.map(bound)))))));

const runs = (rows) => rows.length > 0 && el('section', { 'aria-label': 'Runs' }, el('div', { class: 'dg-head dg-wrap' }, el('h4', {}, 'Success of runs, in the dream and for real')),
  el('div', { class: 'dg-scroll-x' }, el('table', { class: 'dg-table' }, head(['Run', 0], ['iteration', 1], ['dream', 1], ['real', 1], ['gap, 95 % interval', 1]),
    el('tbody', {}, rows.map((r) => el('tr', {}, el('td', {}, el('a', { href: `?tab=train&run=${encodeURIComponent(r.run)}` }, r.run)), [r.iteration, r.dream, r.real, r.gap].map((x) => el('td', { class: 'dg-num' }, String(x)))))))));

const fidelity = (f) => el('article', {}, el('div', { class: 'dg-head dg-wrap' }, el('h3', {}, `Errors, ${f.title}`), el('span', { class: 'dg-mono12' }, f.model), el('span', { class: 'dg-meta' }, f.about)),
  figures(f.figures), el('div', { class: 'dg-charts' }, f.charts.map(chart)),
  el('div', { class: 'dg-legend' }, el('span', {}, 'Mean error from 0 to 1 (P: next state, R: reward), with the number of steps; the line is the 95 % interval'), el('span', {}, el('i', { class: 'dg-key-few' }), ' few steps')),
  lemma(f.lemma), runs(f.runs), made(f));

const calibration = (c) => el('article', {}, el('div', { class: 'dg-head dg-wrap' }, el('h3', {}, 'Calibration of the confidence'), el('span', { class: 'dg-mono12' }, c.title), el('span', { class: 'dg-meta' }, c.about)),
  figures(c.figures),
  el('div', { class: 'dg-scroll-x' }, el('table', { class: 'dg-table' }, head(['Confidence from, to', 0], ['steps', 1], ['mean confidence', 1], ['share right', 1], ['', 0]),
    el('tbody', {}, c.bins.map((b) => el('tr', {}, el('td', {}, b.range), [b.number, b.confidence, b.right].map((x) => el('td', { class: 'dg-num' }, x)),
      el('td', { class: 'dg-bin' }, el('span', { class: 'dg-track' }, el('i', { class: 'dg-share-bar', style: `--v:${b.percent}` })))))))), made(c));

const judges = (j) => el('article', {}, el('div', { class: 'dg-head' }, el('h3', {}, 'Judges on the four axes')),
  el('div', { class: 'dg-scroll-x' }, el('table', { class: 'dg-table' },
    head(['Judge', 0], ['Axis', 0], ['steps', 1], ['α with people', 1], ['α among people', 1], ['AUROC: right above wrong', 1]),
    el('tbody', {}, j.rows.map((r) => el('tr', {}, el('td', {}, r.judge), el('td', {}, r.axis), [r.number, r.alpha, r.among, r.auroc].map((x) => el('td', { class: 'dg-num' }, x))))))), made(j));

const leaks = (l) => el('article', {}, el('div', { class: 'dg-head dg-wrap' }, el('h3', {}, `Leaks, ${l.title}`),
  el('span', { class: `dg-chip ${l.num ? 'failure' : 'success'}` }, l.num ? `⚠ ${l.num.toLocaleString('en')} found` : '✓ none')),
  el('div', { class: 'dg-scroll-x' }, el('table', { class: 'dg-table' }, head(['The evaluation set shares', 0], ...l.sources.map((name) => [`with ${name}`, 1]), ['', 0]),
    el('tbody', {}, l.rows.map((r) => el('tr', {}, el('td', {}, r.kind), r.shared.map((x) => el('td', { class: 'dg-num' }, x)), el('td', { class: 'dg-meta' }, r.is_leak ? 'would be a leak' : 'no leak: worlds repeat themselves')))))), made(l));

const exported = (v) => {
  const any = [v.fidelity, v.calibration, v.judges, v.leaks].some((list) => list.length);
  return dg.exporting(any ? 'All figures of the result files that are shown, with a manifest' : 'no result file is shown', (asked) => trigger('export', asked), !any);
};

dg.mount(element, props, watch, (root, v) => root.replaceChildren(...(v.hidden ? [] : [
  el('div', { class: 'dg-pad dg-measured' }, el('div', { class: 'dg-row' }, el('h2', {}, 'How far the dream is from the real environment'), el('span', { class: 'dg-fill' }), exported(v)),
    v.problems.map((text) => el('div', { class: 'dg-alert', role: 'alert' }, el('b', {}, '⚠ Left out'), el('span', {}, text))),
    v.fidelity.map(fidelity), v.calibration.map(calibration), v.judges.map(judges), v.leaks.map(leaks),
    el('section', { 'aria-label': 'Commands' }, el('div', { class: 'dg-head' }, el('h3', {}, 'Measure this workspace')),
      el('p', { class: 'dg-meta' }, 'What these write is shown here.'), v.commands.map((text) => dg.command(text))))])));
