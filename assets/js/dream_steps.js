// Steps of a dream as a lane; a click looks back. Value: lab.viewmodels.dream.steps_view.
const { el, kbd } = dg;

const LANE = 14;
const x = (lane) => `--x:${LANE * Math.min(lane, 7)}px`;

// The lanes that run through a row, the way from the lane that this one leaves, and its own dot.
const lanes = (r) => el('span', { class: `dg-lane ${r.world}`, role: 'img', 'aria-label': r.lane ? `${r.world}, branch ${r.lane}` : r.world },
  r.rails.map(([lane, above, below]) => el('i', { class: `dg-rail${above ? ' up' : ''}${below ? ' down' : ''}`, style: x(lane) })),
  r.fork !== null && el('i', { class: 'dg-fork', style: `${x(r.fork)};--w:${LANE * (Math.min(r.lane, 7) - Math.min(r.fork, 7))}px` }),
  r.kind !== 'fold' && el('i', { class: 'dg-dot', style: x(r.lane) }));

const row = (r, width) => el('button', {
  type: 'button', class: `dg-node ${r.kind}${r.lane ? ' aside' : ''}`, 'aria-current': r.current ? 'step' : null, 'data-step': r.step, title: r.action,
  style: `--lanes:${width}px`, onclick: () => trigger('look', { step: r.step, branch: r.branch }),
},
lanes(r),
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
  const width = LANE * Math.min(Math.max(0, ...v.rows.map((r) => r.lane)), 7);
  const here = v.rows.find((r) => r.current);
  const look = (step) => trigger('look', { step, branch: here.branch });
  root.replaceChildren(
    el('div', { class: 'dg-head' }, el('h3', {}, 'Steps'), el('span', { class: 'dg-meta' }, v.summary)),
    el('div', { class: 'dg-lanes', role: 'group', 'aria-label': 'Steps of this dream' }, v.rows.map((r) => row(r, width))),
    v.players && el('div', { class: 'dg-row dg-lane-buttons' }, v.playing
      ? el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'q', onclick: () => trigger('stop') }, `Stop ${v.playing.split('@')[0]} `, kbd('q'))
      : [el('span', { class: 'dg-meta' }, 'Play on:'), player(v, 'policy', 'Policy', 'p'), player(v, 'expert', 'Expert', 'e')]),
    el('div', { class: 'dg-row dg-lane-buttons' },
      el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'u', disabled: !v.can_undo, onclick: () => trigger('undo') }, 'Undo ', kbd('u')),
      el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'b', title: 'Go back a step; this branch stays', disabled: !v.can_branch, onclick: () => look(here.step - 1) }, 'Try another ', kbd('b')),
      el('button', { type: 'button', class: 'dg-btn s', id: 'dg-restart', title: 'Go to the start; this branch stays', disabled: !v.can_branch, onclick: () => look(0) }, 'Restart'),
      (v.can_compare || v.comparing) && el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'c', onclick: () => (v.comparing ? look(-1) : trigger('versus', { branch: '' })) },
        v.comparing ? 'Close comparison ' : 'Compare branches ', kbd('c'))));
  const list = root.querySelector('.dg-lanes');
  const current = list.querySelector('[aria-current]');
  list.scrollTop = keep;
  if (grew && current) list.scrollTop = current.offsetTop - list.clientHeight + current.offsetHeight * 2;
});
