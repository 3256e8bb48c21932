// One step on one screen. Value: lab.viewmodels.inspect_step.step_value.
const { el, kbd, long, state, worldGlyph } = dg;

const part = (label, small, ...content) => el('div', { class: 'dg-part' },
  el('div', { class: 'dg-lab' }, label, small && el('small', {}, small)), el('div', {}, ...content));

const heading = (v) => el('div', { class: 'dg-row dg-title' },
  el('h2', { class: 'dg-fill dg-ell', title: v.heading }, v.heading),
  el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'k', onclick: () => dg.moveRow(-1) }, 'Previous ', kbd('k')),
  el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'j', onclick: () => dg.moveRow(1) }, 'Next ', kbd('j')));

const meta = (v) => el('div', { class: 'dg-meta-line dg-meta' },
  el('div', { class: 'dg-row dg-wrap' },
    el('span', { class: 'dg-row dg-gap-1 dg-nw' }, worldGlyph(v.world), el('span', { class: `dg-world ${v.world}` }, v.world === 'real' ? 'Real' : 'Dream')),
    el('span', { class: 'dg-mono12' }, v.id),
    v.meta.map((text) => el('span', {}, text))),
  el('div', { class: 'dg-row dg-nw' },
    el('a', { href: v.compare, 'data-key': 'c', title: v.world === 'real' ? 'Dream these actions and compare' : 'Compare with the real engine' }, 'Compare ', kbd('c')),
    el('a', { href: v.dream, 'data-key': 'd', title: 'Go on from here in a dream' }, 'Dream on ', kbd('d')),
    el('a', { href: v.annotate, 'data-key': 'a', title: 'Say what is wrong with this step' }, 'Annotate ', kbd('a'))));

const views = (list) => el('div', { class: 'dg-row dg-views' },
  el('span', { class: 'dg-seg', role: 'group', 'aria-label': 'Next state shown' },
    list.map((v) => el('a', { href: v.href, 'aria-current': v.on ? 'true' : null, 'data-key': v.on ? null : 'v' }, v.label))), kbd('v'));

const failure = (f, tint) => el('div', { class: 'dg-failure', role: 'status' },
  el('span', { class: 'dg-chip bad' }, f.chip),
  el('p', {}, f.reason),
  f.raw_reply !== null && dg.tint.text(tint, 'raw', long({ class: 'dg-dreamed' }, f.raw_reply), (tokens) => long({ class: 'dg-dreamed' }, tokens)),
  el('p', { class: 'dg-meta' }, f.note));

const parts = (v) => {
  const p = v.parts;
  return [
    part('State', p.state_label, state(v.world, p.state)),
    p.thought && part('Thought', p.thought_label, dg.fold(p.thought, p.fold_lines)),
    part('Action', p.action_label, el('pre', { class: 'dg-b' }, p.action)),
    p.tint && el('div', { class: 'dg-when-tinted' }, part('Tokens', p.tint.why ? '' : 'least sure', dg.tint.summary(p.tint))),
    p.reasoning && part('Reasoning', p.reasoning_label,
      dg.tint.text(p.tint, 'reasoning', dg.fold(p.reasoning, p.fold_lines), (tokens) => dg.fold(tokens, p.fold_lines))),
    p.guard && part('Guard', '', dg.guard(p.guard)),
    p.lie && dg.lie(p.lie),
    p.failure && part('Next state', 'none', failure(p.failure, p.tint)),
    p.next_state && part('Next state', [p.next_label, dg.tint.against(p.tint, p.against)],
      dg.tint.text(p.tint, 'state', [views(p.views), state(v.world, dg.segments(p.next_state))], (tokens) => state(v.world, tokens))),
    p.facts && part('Facts', 'changed', p.facts.length ? dg.facts(p.facts, 'Facts that the step changed') : el('span', { class: 'dg-meta' }, 'none changed')),
    p.outcome && part('Outcome', '', el('div', { class: 'dg-figs' },
      p.outcome.map((o) => el('div', { class: 'dg-fig' }, el('b', {}, o.figure), el('span', {}, o.label)))), dg.tint.written(p.tint)),
    part('Source', '', source(v)),
  ];
};

const source = (v) => {
  const raw = v.parts.raw_reply;
  const copy = el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'i' }, 'Copy as JSON ', kbd('i'));
  copy.addEventListener('click', () => dg.copy(v.json, copy));
  const shown = raw && el('div', { hidden: !dg.switches.isOn('reply') }, long({ class: 'dg-raw' }, raw));
  const toggle = raw && el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'r', 'aria-expanded': String(!shown.hidden) }, 'Raw reply ', kbd('r'));
  toggle?.addEventListener('click', () => {
    dg.switches.turn('reply');
    shown.hidden = !dg.switches.isOn('reply');
    toggle.setAttribute('aria-expanded', String(!shown.hidden));
  });
  return el('div', {}, el('div', { class: 'dg-row dg-wrap' }, copy, toggle), shown);
};

dg.mount(element, props, watch, (root, value) => {
  if (value.empty) {
    root.replaceChildren(value.notice ? dg.notice(value.notice) : el('p', { class: 'dg-meta' }, 'No step to show: the list is empty.'));
    return;
  }
  root.replaceChildren(
    ...(value.notice ? [dg.notice(value.notice)] : []),
    heading(value), meta(value), dg.strip(value.strip), el('div', { class: 'dg-legend' }, el('span', {}, value.legend), el('span', { class: 'dg-hide-s' }, kbd('←'), ' ', kbd('→'), ' or click'),
      value.parts.tint && [el('span', { class: 'dg-fill' }), dg.tint.button()]),
    ...parts(value).filter(Boolean));
});
