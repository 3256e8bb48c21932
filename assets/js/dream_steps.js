// Steps of a dream as a lane; a click looks back. Value: lab.viewmodels.dream.steps_view.
const { el, kbd } = dg;

const row = (r) => el('button', {
  type: 'button', class: `dg-node ${r.kind}`, 'aria-current': r.current ? 'step' : null, 'data-step': r.step, title: r.action,
  onclick: () => trigger('look', { step: r.step }),
},
el('span', { class: `dg-lane ${r.world}`, role: 'img', 'aria-label': r.world }),
el('span', { class: 'dg-meta dg-num' }, String(r.step)),
el('code', { class: 'dg-fill dg-ell' }, r.action),
el('span', { class: `dg-nw dg-meta${r.kind === 'bad' ? ' dg-bad' : ''}` }, r.note));

const player = (v, name, label, key) => el('button', {
  type: 'button', class: 'dg-btn s', 'data-key': key, disabled: !v.can_play || Boolean(v.players[name]), title: v.players[name] || null,
  onclick: () => trigger('play', { player: name }),
}, `${label} `, kbd(key));

dg.mount(element, props, watch, (root, v) => {
  const keep = root.querySelector('.dg-lanes')?.scrollTop ?? 0;
  const grew = root.querySelectorAll('.dg-node').length !== v.rows.length;
  root.replaceChildren(
    el('div', { class: 'dg-head' }, el('h3', {}, 'Steps'), el('span', { class: 'dg-meta' }, v.summary)),
    el('div', { class: 'dg-lanes', role: 'group', 'aria-label': 'Steps of this dream' }, v.rows.map(row)),
    v.players && el('div', { class: 'dg-row dg-lane-buttons' }, v.playing
      ? el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'q', onclick: () => trigger('stop') }, `Stop ${v.playing.split('@')[0]} `, kbd('q'))
      : [el('span', { class: 'dg-meta' }, 'Play on:'), player(v, 'policy', 'Policy', 'p'), player(v, 'expert', 'Expert', 'e')]),
    el('div', { class: 'dg-row dg-lane-buttons' },
      el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'u', disabled: !v.can_undo, onclick: () => trigger('undo') }, 'Undo ', kbd('u')),
      el('button', { type: 'button', class: 'dg-btn s', id: 'dg-restart', disabled: !v.can_undo, onclick: () => trigger('restart') }, 'Restart')));
  const lanes = root.querySelector('.dg-lanes');
  lanes.scrollTop = grew ? lanes.scrollHeight : keep;
});
