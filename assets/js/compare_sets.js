// A set of episodes in both worlds: agreement by kind of step, and the steps behind it. Value: lab.viewmodels.sets.
const { el, kbd } = dg;

// A share with its interval as a whisker: its number, and hatched where few steps count.
const bar = (b, number) => el('span', { class: `dg-share ${number ? `m${number}` : ''} ${b.few ? 'few' : ''}`, title: b.title },
  number > 0 && el('i', { class: 'dg-which' }, String(number)),
  el('span', { class: 'dg-track' },
    b.percent !== null && [el('i', { class: 'dg-share-bar', style: `--v:${b.percent}` }), el('i', { class: 'dg-whisker', style: `--low:${b.low};--high:${b.high}` })]),
  el('b', { class: 'dg-num' }, b.value), el('span', { class: 'dg-num dg-meta' }, b.n),
  el('span', { class: 'dg-sr' }, `${b.title}${b.few ? ', few steps' : ''}`));

const bars = (row) => row.bars.map((b, n) => bar(b, row.bars.length > 1 ? n + 1 : 0));

const difference = (row) => row.difference && el('span', { class: `dg-diff ${row.difference.clear ? 'clear' : ''}` },
  el('b', {}, row.difference.value), ' ', el('span', { class: 'dg-meta' }, row.difference.interval),
  el('span', { class: 'dg-meta', title: 'steps that 1 alone, and that 2 alone has so' }, row.only));

const measure = (m) => el('a', { class: 'dg-measure', href: m.href, 'aria-current': m.current ? 'true' : null },
  el('span', { class: 'dg-measure-name' }, m.label), bars(m), difference(m));

const chart = (c) => el('section', { 'aria-label': c.title },
  el('div', { class: 'dg-head' }, el('h3', {}, c.title)),
  c.rows.length === 0 ? el('p', { class: 'dg-meta' }, 'No step is dreamed yet.') : el('div', { class: 'dg-shares' }, c.rows.map((row) =>
    el('a', { class: 'dg-share-row', href: row.href, 'aria-current': row.current ? 'true' : null },
      el('span', { class: 'dg-ell', title: row.name }, row.name), el('span', { class: 'dg-share-bars' }, bars(row)), difference(row)))));

const row = (r, two) => el('tr', {},
  el('td', {}, el('a', { class: 'dg-mono12', href: r.href, title: r.title }, r.id)),
  two && el('td', {}, el('span', { class: `dg-share m${r.right}` }, el('i', { class: 'dg-which' }, r.right))),
  el('td', { title: r.action }, el('code', {}, r.action)), el('td', { title: r.why }, r.why), el('td', { title: r.task }, r.task));

const list = (l) => el('section', { 'aria-label': l.title },
  el('div', { class: 'dg-head dg-wrap' }, el('h3', {}, l.title), l.part && el('span', {}, l.part), l.all && el('a', { href: l.all }, 'All steps'),
    l.only.length > 0 && el('span', { class: 'dg-seg', role: 'group', 'aria-label': 'Right' }, l.only.map((o) => el('a', { href: o.href, 'aria-current': o.current ? 'true' : null }, o.label))),
    el('span', { class: 'dg-meta' }, l.more)),
  l.empty ? el('p', { class: 'dg-meta' }, l.empty) : el('div', { class: 'dg-scroll-x' }, el('table', { class: 'dg-table dg-set-steps' },
    el('thead', {}, el('tr', {}, ['Step', l.two && 'right', 'Action', l.two ? 'The other one' : 'What differs', 'Task'].filter(Boolean).map((name) => el('th', { scope: 'col' }, name)))),
    el('tbody', {}, l.rows.map((r) => row(r, l.two))))));

const empty = (v) => el('div', { class: 'dg-empty' }, el('h3', {}, v.empty.title), v.empty.text && el('p', {}, v.empty.text),
  v.empty.command && dg.command(v.empty.command), v.empty.clear && el('a', { class: 'dg-btn', href: v.empty.clear }, 'Clear the filters'));

const models = (v) => el('div', { class: 'dg-set-models' }, v.models.map((m, n) => el('div', { class: 'dg-row dg-wrap' },
  v.models.length > 1 && el('span', { class: `dg-share m${n + 1}` }, el('i', { class: 'dg-which' }, String(n + 1))),
  el('span', { class: 'dg-mono12' }, m.text), el('span', { class: 'dg-meta', role: 'status' }, m.progress))));

const head = (v) => [
  el('div', { class: 'dg-row dg-wrap' }, el('h2', {}, v.title), el('span', { class: 'dg-meta' }, v.meta), el('span', { class: 'dg-fill' }),
    dg.exporting(v.export.title, (asked) => trigger('export', asked), v.export.off),
    el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'h', disabled: !v.can_save, title: v.can_save ? null : 'when every step is dreamed', onclick: () => trigger('save') }, 'Save as HTML ', kbd('h'))),
  models(v),
  v.errors.map((text) => el('div', { class: 'dg-alert', role: 'alert' }, el('b', {}, '⚠ Stopped'), el('span', {}, text)))];

const body = (v) => [head(v),
  el('div', { class: 'dg-measures', role: 'group', 'aria-label': 'Measure' }, v.measures.map(measure)),
  el('div', { class: 'dg-charts' }, v.charts.map(chart)),
  el('div', { class: 'dg-legend' }, el('span', {}, 'Share, and the number of steps; the line is the 95 % interval'), el('span', {}, el('i', { class: 'dg-key-few' }), ` fewer than ${v.few} steps`),
    v.difference && el('span', {}, 'Below: 2 less 1 in points, its interval (≠ where 0 is not in it), and how many steps 1 alone | 2 alone has so')),
  list(v.list)];

dg.mount(element, props, watch, (root, v) => root.replaceChildren(...(v.hidden ? [] : [
  el('div', { class: 'dg-pad dg-sets' }, v.notice && dg.notice(v.notice), v.empty ? empty(v) : body(v))])));
