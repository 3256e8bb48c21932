// Right of the dream: what the step was grounded in, the way to the real engine, saving. Value: lab.viewmodels.dream.side_view.
const { el, kbd } = dg;

const retrieved = (r) => el('section', { class: 'dg-sec', 'aria-label': 'Retrieved for this step' },
  el('div', { class: 'dg-head' }, el('h3', {}, 'Retrieved for this step'), el('span', { class: 'dg-meta' }, r.note)),
  r.rows.length ? r.rows.map(dg.neighbour) : el('p', { class: 'dg-meta' }, r.empty));

const engine = (e) => el('section', { class: 'dg-sec', 'aria-label': 'Real engine' },
  el('div', { class: 'dg-head' }, el('h3', {}, 'Real engine'), e.chip && el('span', { class: 'dg-chip warn' }, e.chip)),
  el('p', { class: 'dg-meta' }, e.text),
  e.href && el('a', { class: 'dg-btn', href: e.href, 'data-key': 'r' }, 'Replay in the engine ', kbd('r')));

const keep = (k) => {
  const share = el('button', { type: 'button', class: 'dg-btn' }, 'Copy share link');
  share.addEventListener('click', () => dg.copy(location.href, share));
  return el('section', { class: 'dg-sec', 'aria-label': 'Keep this dream' },
    el('div', { class: 'dg-head' }, el('h3', {}, 'Keep this dream')),
    el('div', { class: 'dg-row dg-wrap' },
      el('button', { type: 'button', class: 'dg-btn', 'data-key': 's', disabled: !k.can_save, title: k.text, onclick: () => trigger('save', { everything: false }) }, 'Save trajectory ', kbd('s')),
      k.num_all > 0 && el('button', { type: 'button', class: 'dg-btn', id: 'dg-save-all', onclick: () => trigger('save', { everything: true }) }, `Save all ${k.num_all} branches`),
      k.can_share && share),
    el('p', { class: 'dg-meta', id: 'dg-kept' }, k.text),
    k.saved && el('p', {}, el('a', { href: k.saved.inspect }, 'Open in Inspect'), ' · ', el('a', { href: k.saved.compare }, 'Compare')));
};

dg.mount(element, props, watch, (root, v) => root.replaceChildren(...(v.empty ? [] : [retrieved(v.retrieved), engine(v.engine), keep(v.keep)])));
