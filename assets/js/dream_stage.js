// The step that is looked at, or the one that is being written. Value: lab.viewmodels.dream.stage_view.
const { el, kbd, long, state, worldGlyph } = dg;
const root = element.querySelector('.dg-root');
// Screen readers hear the outcome once, not every token.
const spoken = el('div', { class: 'dg-sr', role: 'status' });
const stage = el('div', {});
root.append(spoken, stage);
let earlierOpen = false;

const part = (label, small, ...content) => el('div', { class: 'dg-part' },
  el('div', { class: 'dg-lab' }, label, el('small', {}, small)), el('div', {}, ...content));
const sub = (letter, number) => `${letter}${String(number).replace(/\d/g, (d) => '₀₁₂₃₄₅₆₇₈₉'[d])}`;

const heading = (v) => [
  el('div', { class: 'dg-row dg-title' }, el('h2', { class: 'dg-fill dg-ell', title: v.title }, v.title),
    v.chip && el('span', { class: `dg-chip ${v.chip.kind}` }, v.chip.text)),
  el('div', { class: 'dg-row dg-wrap dg-meta dg-line' },
    el('span', { class: 'dg-row dg-gap-1 dg-nw' }, worldGlyph('dream'), el('span', { class: 'dg-world dream' }, 'Dream')),
    v.meta.map((text) => el('span', {}, text)), el('span', { class: 'dg-fill' }), v.annotate && el('a', { href: v.annotate, 'data-key': 'a', title: 'Say what is wrong with this step' }, 'Annotate ', kbd('a')), dg.tint.button()),
];
const tinted = (v) => v.tint && el('div', { class: 'dg-when-tinted' }, part('Tokens', v.tint.why ? '' : 'least sure', dg.tint.summary(v.tint)));

const earlier = (e) => {
  const details = el('details', { class: 'dg-earlier', open: earlierOpen },
    el('summary', { class: 'dg-meta' }, e.summary),
    el('ol', {}, e.rows.map((r) => el('li', { value: r.step }, el('code', { class: 'dg-b' }, r.action), long({}, r.state)))));
  details.addEventListener('toggle', () => { earlierOpen = details.open; });
  return details;
};

const before = (s) => part('State', sub('s', s.number) + (s.world === 'real' ? ', real' : ''), state(s.world, s.text));
const action = (v) => part('Action', `${sub('a', v.number)}, ${v.actor ?? 'you'}`, el('pre', { class: 'dg-b' }, v.action));
const recalled = (v) => v.recalled !== null && part('Recalled', 'of this episode', long({}, v.recalled));
const caret = () => el('span', { class: 'dg-caret', 'aria-hidden': 'true' });

const figures = (list) => el('div', { class: 'dg-figs' },
  list.map((f) => el('div', { class: 'dg-fig' }, el('b', {}, f.value), el('span', {}, f.label))));

const cell = (c) => el('div', { class: 'dg-versus-step' },
  el('p', {}, el('span', { class: 'dg-meta dg-num' }, String(c.step)), ' ', el('code', { class: 'dg-b' }, c.action), ' ', c.note && el('span', { class: c.kind === 'bad' ? 'dg-bad' : 'dg-meta' }, c.note)),
  c.facts?.length > 0 ? dg.facts(c.facts, 'Facts that the step changed') : el('span', { class: 'dg-meta' }, c.facts ? 'no fact changed' : ''));

const next = (v, ...content) => el('div', { class: 'dg-next' }, state(v.world, ...content));

const body = {
  empty: (v) => [el('div', { class: 'dg-empty' }, el('h3', {}, v.empty.title), el('p', {}, v.empty.text), v.empty.command && dg.command(v.empty.command))],
  start: (v) => [before(v.state), part('Action', sub('a', 1), el('p', { class: 'dg-meta' }, 'Choose an action below, or type one.'))],
  running: (v) => {
    const writesState = v.streaming_state !== null;
    return [before(v.state), action(v), recalled(v),
      part('Reasoning', writesState ? '' : 'streaming', v.waiting ? el('p', { class: 'dg-meta' }, v.waiting)
        : el('pre', {}, v.reasoning ?? '', !writesState && caret())),
      part('Next state', sub('s', v.number), el('div', { class: 'dg-dreamed dg-next' }, writesState
        ? el('pre', {}, v.streaming_state, v.reward === null && caret())
        : el('span', { class: 'dg-meta' }, 'comes after the reasoning; reward and done follow'))),
      part('Outcome', '', el('p', { class: 'dg-meta dg-outcome' }, v.reward === null ? '…' : `reward ${v.reward}${v.done === null ? '' : `, done ${v.done}`}`))];
  },
  done: (v) => [before(v.state), action(v), recalled(v),
    tinted(v),
    v.reasoning && part('Reasoning', '', dg.tint.text(v.tint, 'reasoning', dg.fold(v.reasoning, 12), (tokens) => dg.fold(tokens, 12))),
    v.guard && part('Guard', '', dg.guard(v.guard)),
    v.lie && dg.lie(v.lie),
    part('Next state', [sub('s', v.number), dg.tint.against(v.tint, ` against ${sub('s', v.number - 1)}`)],
      dg.tint.text(v.tint, 'state', next(v, dg.segments(v.next_state)), (tokens) => next(v, tokens))),
    part('Facts', 'changed', v.facts.length ? dg.facts(v.facts, 'Facts that the step changed') : el('span', { class: 'dg-meta' }, 'none changed')),
    part('Outcome', '', figures(v.figures), dg.tint.written(v.tint))],
  versus: (v) => [
    el('div', { class: 'dg-row dg-wrap dg-others' }, el('span', { class: 'dg-meta' }, `${v.shared}; beside`), v.others.map((o) => el('button', {
      type: 'button', class: `dg-act${o.on ? ' on' : ''}`, 'aria-pressed': String(o.on), onclick: () => trigger('versus', { branch: o.branch }) }, o.label))),
    el('div', { class: 'dg-versus' },
      v.columns.map((c) => el('div', { class: 'dg-versus-head' }, el('h3', {}, c.title), el('p', { class: 'dg-meta' }, c.summary))),
      v.rows.flatMap((r) => r.cells.map((c) => (c ? cell(c) : el('div', { class: 'dg-meta' }, '–')))),
      v.ends.map((parts) => el('div', {}, el('h3', {}, 'Last state'), state('dream', dg.segments(parts))))),
    part('Facts', 'from this end to the other', v.facts.length ? dg.facts(v.facts, 'Facts that only one end has') : el('span', { class: 'dg-meta' }, 'the same'))],
  malformed: (v) => [before(v.state), action(v), recalled(v), tinted(v),
    part('Reply', 'as written', dg.tint.text(v.tint, 'raw', long({ class: 'dg-dreamed' }, v.raw ?? ''), (tokens) => long({ class: 'dg-dreamed' }, tokens)),
      el('p', { class: 'dg-reason' }, v.reason),
      el('p', { class: 'dg-meta' }, 'No step was taken and no reward is counted. Undo it ', kbd('u'), ' and dream on.'))],
};

const speak = (v) => {
  const said = v.phase === 'done' ? `Step ${v.number}: ${v.lie ? `${v.lie.title}: ${v.lie.text} ` : ''}${v.figures.map((f) => `${f.label} ${f.value}`).join(', ')}`
    : v.phase === 'malformed' ? `Step ${v.number}: malformed reply, ${v.reason}` : '';
  if (said && said !== spoken.textContent) spoken.textContent = said;
};

const draw = () => {
  const v = props.value;
  if (!v) return;
  stage.replaceChildren(...[v.notice && el('div', { class: 'dg-alert', role: 'status' }, el('b', {}, v.notice.title), el('span', {}, v.notice.text)),
    ...(v.title ? heading(v) : []), v.phase !== 'versus' && v.earlier && earlier(v.earlier), ...body[v.phase](v)].filter(Boolean));
  speak(v);
};
draw();
watch('value', draw);
