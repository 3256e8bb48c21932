// How busy the machine is. Topics: resources, lost.
const { el } = dg;
const root = element.querySelector('.dg-root');
const at = el('span', { class: 'dg-meta' });
const lost = el('p', { class: 'dg-meta dg-bad', role: 'status' });
const grid = el('div', { class: 'dg-resources' });
root.append(el('section', { class: 'dg-sec', 'aria-label': 'Resources' }, el('div', { class: 'dg-head' }, el('h3', {}, 'Resources'), at), grid, lost));

dg.live.on('resources', 'resources', (v) => {
  at.textContent = `at ${v.at}`;
  grid.replaceChildren(...v.parts.flatMap((p) => [
    el('span', {}, p.name),
    p.percent === null ? el('span', { class: 'dg-meta' }, p.text) : el('div', { class: 'dg-bar', style: `--v:${p.percent}` }),
    el('span', { class: 'dg-num' }, p.percent === null ? '–' : p.text)]));
});
dg.live.on('lost', 'resources', (v) => { lost.textContent = v.text; });
