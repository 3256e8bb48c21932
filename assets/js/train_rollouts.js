// Rollouts of one iteration, with links into Inspect. Value: lab.viewmodels.train.rollouts_value.
const { el, turn } = dg;
let shown = '';
let wanted = false;

// Asked for just now: it comes into view, but only once the charts above it have their height.
const bring = () => {
  if (!wanted || !document.querySelector('.dg-plots:not([hidden])')) return;
  wanted = false;
  element.scrollIntoView({ block: 'center' });
};
dg.live.on('charts', 'rollouts', () => requestAnimationFrame(bring));

const row = (r) => el('tr', {},
  el('td', { class: 'dg-mono12' }, el('a', { href: r.href, title: r.id }, r.label)),
  el('td', { title: r.task }, r.task),
  el('td', {}, r.purpose),
  el('td', { class: 'dg-num' }, String(r.steps)),
  el('td', { class: r.failed ? 'dg-bad' : '' }, r.outcome),
  el('td', { class: 'dg-num' }, r.advantage));

const table = (v) => el('div', { class: 'dg-rollouts' }, el('table', { class: 'dg-table', 'aria-label': v.title },
  el('colgroup', {}, ['64px', '', '126px', '52px', '104px', '88px'].map((w) => el('col', { style: w && `width:${w}` }))),
  el('thead', {}, el('tr', {}, [['Id', ''], ['Task', ''], ['Used for', ''], ['Steps', 'dg-num'], ['Outcome', ''], ['Advantage', 'dg-num']]
    .map(([text, cls]) => el('th', { class: cls, scope: 'col' }, text)))),
  el('tbody', {}, v.rows.map(row))));

const exploit = (x) => el('li', {}, el('span', { class: 'dg-flag' }, x.kind), ` at step ${x.step}: `,
  el('a', { href: x.dream.href, class: 'dg-mono12' }, x.dream.id), ' in the dream, ', el('a', { href: x.replay.href, class: 'dg-mono12' }, x.replay.id), ' in the real engine');

dg.mount(element, props, watch, (root, v) => {
  if (v.closed) { shown = ''; return root.replaceChildren(); }
  root.replaceChildren(el('section', { 'aria-label': v.title },
    el('div', { class: 'dg-row dg-wrap dg-rollouts-head' }, el('h3', {}, v.title), el('span', { class: 'dg-meta' }, v.note), el('span', { class: 'dg-fill' }),
      dg.exporting(v.rows.length ? 'All rollouts of the iteration, with a manifest' : 'no rollout is listed', (asked) => trigger('export', asked), !v.rows.length),
      turn(v.previous, '[', 'Previous iteration'), turn(v.next, ']', 'Next iteration'), el('a', { class: 'dg-btn s', href: v.close }, 'Close')),
    v.exploits.length > 0 && el('div', { class: 'dg-alert lie' }, el('b', {}, '⚑ Successes that the real engine denies'), el('ul', {}, v.exploits.map(exploit))),
    v.rows.length ? table(v) : el('p', { class: 'dg-meta' }, v.empty)));
  wanted = shown !== v.run; // the next iteration of the same run stays in place
  shown = v.run;
  bring();
});
