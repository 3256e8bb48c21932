// One item and what is said of it. Value: lab.viewmodels.annotate.item_view. What is being said (the draft) lives here, and
// in the browser's storage until it is submitted: a reload loses nothing.
const { el, kbd, worldGlyph } = dg;
const drafts = new Map();
let value = null;
let armed = null; // axis whose rating the next digit gives
let sending = false;
let shownAt = 0;
let spent = 0;
let sent = '';

// A draft is one person's, in one role: somebody else at this browser begins anew.
const keyOf = (v) => JSON.stringify([v.id, v.role, v.who]);
const stored = (key) => `dg-draft:${key}`;
const blank = (v) => {
  const mine = v.mine || {};
  return {
    errors: (mine.errors || []).map((e) => ({ kind: e.kind, span: e.span || null })), axes: { ...mine.axes }, note: mine.note || '',
    correction: { ...mine.correction }, editing: Boolean(mine.correction), reasoning: Boolean(mine.correction?.reasoning),
  };
};
const read = (key) => { try { return JSON.parse(localStorage.getItem(stored(key))); } catch { return null; } };
const forget = (key) => { try { localStorage.removeItem(stored(key)); } catch { /* no storage */ } };
const draft = () => drafts.get(keyOf(value));
const keep = () => { draft().touched = true; try { localStorage.setItem(stored(keyOf(value)), JSON.stringify(draft())); } catch { /* no storage: the draft lives as long as the page */ } };
const change = (act) => { act(draft()); keep(); draw(); };

// Characters, as Python counts them, for places in a JavaScript string.
const characters = (text, at) => Array.from(text.slice(0, at)).length;
const place = (text, at) => Array.from(text).slice(0, at).join('').length;

const selected = () => {
  const selection = getSelection();
  const pre = selection.rangeCount && !selection.isCollapsed && selection.anchorNode.parentElement?.closest('pre[data-field]');
  if (!pre || !pre.contains(selection.focusNode) || !element.contains(pre)) return null;
  const range = selection.getRangeAt(0);
  const before = document.createRange();
  before.selectNodeContents(pre);
  before.setEnd(range.startContainer, range.startOffset);
  const text = value.texts[pre.dataset.field];
  const start = before.toString().length;
  return { field: pre.dataset.field, start: characters(text, start), end: characters(text, start + range.toString().length) };
};

// A place that is marked by keyboard: of a text the words between one end that stays and one that moves, both counted. It
// begins as a whole word, as no caret would be seen in a text that nobody can write in.
const FIELDS = ['next_state', 'reasoning', 'state'];
const marker = el('div', { class: 'dg-row dg-wrap dg-marker' });
let spot = null;
let lastSpot = null;
const words = (field) => Array.from((value.texts[field] ?? '').matchAll(/[\p{L}\p{M}\p{N}_]+|[^\s\p{L}\p{M}\p{N}_]+/gu), (m) => [m.index, m.index + m[0].length]);
const marking = () => {
  const all = words(spot.field);
  return [all[Math.min(spot.stays, spot.moves)][0], all[Math.max(spot.stays, spot.moves)][1]];
};
const spotted = () => {
  if (!spot) return null;
  const [start, end] = marking().map((at) => characters(value.texts[spot.field], at));
  return { field: spot.field, start, end };
};
// The text node, and the place in it, of a place in a text that may have marks.
const inside = (pre, at) => {
  const nodes = document.createTreeWalker(pre, NodeFilter.SHOW_TEXT);
  let node = nodes.nextNode();
  for (; at > node.length; node = nodes.nextNode()) at -= node.length;
  return [node, at];
};
const showSpot = () => {
  const button = (key, label, act, ...content) => el('button', { type: 'button', class: 'dg-btn s', 'data-key': key, 'aria-label': label, title: label, onmousedown: (event) => event.preventDefault(), onclick: act }, ...content);
  const [start, end] = spot ? marking() : [0, 0];
  dg.keepFocus(marker, () => marker.replaceChildren(
    button('h', spot ? 'Next text' : 'Mark a place', nextText, spot ? 'Next text ' : 'Mark a place ', kbd('h')),
    ...(spot ? [
      button('←', 'Word before', () => move(-1), kbd('←')), button('→', 'Next word', () => move(1), kbd('→')),
      button('Shift+←', 'Move the end a word back', () => move(-1, true), kbd('Shift+←')), button('Shift+→', 'Move the end a word on', () => move(1, true), kbd('Shift+→')),
      button('Esc', 'End', () => { endMarking(); showSpot(); }, 'End ', kbd('Esc')),
      el('span', { class: 'dg-meta', role: 'status' }, `${spot.field.replace('_', ' ')}: “${value.texts[spot.field].slice(start, end)}”`),
    ] : [])));
  if (!spot || document.activeElement?.matches('input, textarea, select')) return;
  const pre = left.querySelector(`pre[data-field=${spot.field}]`);
  getSelection().setBaseAndExtent(...inside(pre, start), ...inside(pre, end));
  const [at, view] = [getSelection().getRangeAt(0).getBoundingClientRect(), left.getBoundingClientRect()];
  if (at.top < view.top || at.bottom > view.bottom) left.scrollTop += at.top - view.top - view.height / 3;
};
const nextText = () => {
  const fields = FIELDS.filter((field) => words(field).length);
  if (!fields.length) return;
  if (!root.contains(document.activeElement)) document.activeElement?.blur(); // a tab would take the arrows
  spot = spot || !lastSpot ? { field: fields[(fields.indexOf(spot?.field) + 1) % fields.length], stays: 0, moves: 0 } : lastSpot;
  showSpot();
};
const move = (by, extend) => {
  spot.moves = Math.max(0, Math.min(words(spot.field).length - 1, spot.moves + by));
  if (!extend) spot.stays = spot.moves;
  showSpot();
};
const endMarking = () => {
  lastSpot = spot || lastSpot;
  spot = null;
  getSelection().removeAllRanges();
};

const toggle = (kind) => change((d) => {
  const span = selected() || spotted();
  const bare = d.errors.findIndex((e) => e.kind === kind && !e.span);
  if (span) {
    if (bare >= 0) d.errors.splice(bare, 1);
    d.errors.push({ kind, span });
    endMarking();
  } else if (d.errors.some((e) => e.kind === kind)) d.errors = d.errors.filter((e) => e.kind !== kind);
  else d.errors.push({ kind, span: null });
});

// A text with its marks; the numbers of the errors are drawn by the style sheet, so that they are no part of the text.
const marked = (field, world) => {
  const text = value.texts[field] ?? '';
  const marks = draft().errors.filter((e) => e.span?.field === field).map((e) => ({ from: place(text, e.span.start), to: place(text, e.span.end), number: value.kinds.indexOf(e.kind) + 1 }));
  const cuts = [...new Set([0, text.length, ...marks.flatMap((m) => [m.from, m.to])])].sort((a, b) => a - b);
  return el('pre', { class: world || null, 'data-field': field }, cuts.slice(1).map((to, i) => {
    const inside = marks.filter((m) => m.from <= cuts[i] && m.to >= to);
    const piece = text.slice(cuts[i], to);
    if (!inside.length) return piece;
    const ends = inside.filter((m) => m.to === to).map((m) => m.number).join(' ');
    return el('mark', { class: 'dg-mark-error', 'data-number': ends || null, title: inside.map((m) => value.kinds[m.number - 1]).join(', ') }, piece);
  }));
};

const part = (label, small, ...content) => el('div', { class: 'dg-part' },
  el('div', { class: 'dg-lab' }, label, small && el('small', {}, small)), el('div', {}, ...content));
const border = () => (value.world === 'real' ? 'dg-reald' : 'dg-dreamed');

const corrected = (d) => {
  const found = Object.fromEntries(Object.entries(d.correction).filter(([name, said]) => {
    if (said === undefined || said === null || said === '') return false;
    const was = name === 'next_state' || name === 'reasoning' ? value.texts[name] : value[name];
    return value.failure || said !== was;
  }));
  return Object.keys(found).length ? found : null;
};

const checked = el('div', { class: 'dg-checked' });
let asked = 0;
const check = async () => {
  const number = ++asked;
  const text = draft().correction.next_state ?? value.texts.next_state ?? '';
  if (text === (value.texts.next_state ?? '')) { checked.replaceChildren(el('span', { class: 'dg-meta' }, 'as it was written')); return; }
  const found = await server.check({ environment: value.environment, dreamed: value.texts.next_state ?? '', corrected: text });
  if (number !== asked) return;
  checked.replaceChildren(el('span', { class: `dg-chip ${found.ok ? 'ok' : 'warn'}` }, `${found.ok ? '✓' : '⚠'} ${found.note}`),
    found.facts.length ? dg.facts(found.facts, 'Facts that the correction changes') : el('span', { class: 'dg-meta' }, 'no fact changes'));
};

const field = (name, label, rows) => {
  const d = draft();
  const area = el('textarea', { class: 'dg-input dg-area', rows, 'aria-label': label, id: `dg-correct-${name}` });
  area.value = d.correction[name] ?? value.texts[name] ?? '';
  let waiting;
  area.addEventListener('input', () => {
    d.correction[name] = area.value;
    keep();
    refresh();
    clearTimeout(waiting);
    if (name === 'next_state') waiting = setTimeout(check, 300);
  });
  return area;
};

const correction = () => {
  const d = draft();
  if (!d.editing) {
    return part('Correction', '', el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'e', onclick: () => edit('next_state') }, 'Write what is right ', kbd('e')));
  }
  const reward = el('input', { type: 'number', class: 'dg-input', min: 0, max: 1, step: 0.05, 'aria-label': 'Correct reward', id: 'dg-correct-reward' });
  reward.value = d.correction.reward ?? value.reward ?? 0;
  reward.addEventListener('input', () => {
    d.correction.reward = Number(reward.value);
    if (d.correction.reward < 1 && (d.correction.success ?? value.success)) { d.correction.success = false; element.querySelector('#dg-correct-success').checked = false; }
    keep();
    refresh();
  });
  const flag = (name, label, key) => {
    const box = el('input', { type: 'checkbox', id: `dg-correct-${name}`, 'data-key': key });
    box.checked = d.correction[name] ?? value[name] ?? false;
    box.addEventListener('change', () => { d.correction[name] = box.checked; if (name === 'success' && box.checked) { d.correction.done = true; d.correction.reward = 1; } if (name === 'done' && !box.checked) d.correction.success = false; keep(); draw(); });
    return el('label', { class: 'dg-row' }, box, `${label} `, kbd(key));
  };
  setTimeout(check);
  return part('Correction', 'next state',
    field('next_state', 'Correct next state', 6), checked,
    el('div', { class: 'dg-row dg-wrap dg-correct' }, el('label', { class: 'dg-row' }, 'reward ', kbd('w'), reward), flag('done', 'done', 't'), flag('success', 'solved', 'o'), el('span', { class: 'dg-fill' }),
      el('button', { type: 'button', class: 'dg-btn s ghost', 'data-key': 'e', onclick: () => element.querySelector('#dg-correct-next_state').focus() }, 'Edit ', kbd('e')),
      el('button', { type: 'button', class: 'dg-btn s ghost', 'data-key': 'k', onclick: () => change((each) => { each.correction = {}; each.editing = false; each.reasoning = false; }) }, 'No correction ', kbd('k'))),
    d.reasoning ? el('div', {}, el('div', { class: 'dg-meta' }, 'Reasoning'), field('reasoning', 'Correct reasoning', 5))
      : value.texts.reasoning !== null && el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'r', onclick: () => edit('reasoning') }, 'Reasoning too ', kbd('r')));
};

const edit = (name) => {
  change((d) => { d.editing = true; if (name === 'reasoning') d.reasoning = true; });
  element.querySelector(`#dg-correct-${name}`)?.focus();
};

const engine = () => {
  if (value.engine) {
    const e = value.engine;
    return part('Engine says', 'after the same actions', e.note && el('p', { class: 'dg-meta' }, e.note), e.text && el('p', {}, e.text),
      e.diff.length > 0 && dg.long({ class: 'dg-reald' }, dg.segments(e.diff)),
      el('div', { class: 'dg-row dg-wrap dg-meta' }, e.same && 'the same as dreamed', e.figures.map((f) => `${f.label} ${f.value}`).join(', ')));
  }
  return part('Engine says', '', el('div', { class: 'dg-row dg-wrap' }, el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'v', disabled: Boolean(value.engine_reason), onclick: () => trigger('engine') }, 'Ask the engine ', kbd('v')),
    el('span', { class: 'dg-meta' }, value.engine_reason)));
};

const earlier = () => value.earlier.length > 0 && el('details', { class: 'dg-earlier' },
  el('summary', { class: 'dg-meta' }, `${value.earlier.length} earlier step${value.earlier.length > 1 ? 's' : ''}: ${value.earlier.slice(-4).map((s) => s.action).join(', ')}`),
  el('ol', {}, value.earlier.map((r) => el('li', { value: r.step }, el('code', { class: 'dg-b' }, r.action), dg.long({}, r.state)))));

const since = () => {
  if (!value.saved_at) return '';
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(value.saved_at)) / 1000));
  return `Saved ${seconds < 60 ? `${seconds} s` : `${Math.round(seconds / 60)} min`} ago`;
};

const centre = () => [
  el('div', { class: 'dg-row dg-title' }, el('h2', { class: 'dg-fill dg-ell', title: value.title }, value.title),
    el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'x', onclick: () => trigger('skip', { item: value.id }) }, 'Skip ', kbd('x')),
    el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'u', disabled: !value.can_undo, onclick: () => trigger('back') }, 'Undo ', kbd('u'))),
  el('div', { class: 'dg-row dg-wrap dg-meta dg-line' }, el('span', { class: 'dg-row dg-gap-1 dg-nw' }, worldGlyph(value.world), el('span', { class: `dg-world ${value.world}` }, value.world === 'real' ? 'Real' : 'Dream')),
    value.meta.map((text) => el('span', {}, text)), el('a', { href: value.inspect }, 'Inspect'), el('span', { class: 'dg-fill' }), el('span', { class: 'dg-saved', role: 'status' }, since())),
  value.role === 'adjudicator' && el('p', { class: 'dg-alert' }, el('b', {}, 'You decide'), el('span', {}, 'Your answer is final for this item.')),
  earlier(),
  part('State', `before step ${value.number}`, marked('state', border())),
  part('Action', '', el('pre', { class: 'dg-b' }, value.action ?? 'none')),
  value.texts.reasoning !== null && part('Reasoning', 'select to mark', marked('reasoning')),
  value.failure ? part('Reply', 'as written', marked('next_state', 'dg-dreamed'), el('p', { class: 'dg-bad' }, value.failure))
    : part('Next state', value.world === 'real' ? 'real' : 'as dreamed', marked('next_state', border())),
  value.facts.length > 0 && part('Facts', 'changed', dg.facts(value.facts, 'Facts that the step changed')),
  value.figures.length > 0 && part('Outcome', '', el('div', { class: 'dg-figs' }, value.figures.map((f) => el('div', { class: 'dg-fig' }, el('b', {}, f.value), el('span', {}, f.label))))),
  correction(), engine(),
  value.others.length > 0 && part('Others', '', value.others.map((o) => el('div', { class: 'dg-other' }, el('p', {}, el('b', {}, o.who), ': ', o.said), o.correction && dg.long({}, o.correction), o.note && el('p', { class: 'dg-meta' }, o.note)))),
];

const axis = (a) => {
  const rating = draft().axes[a.name];
  return el('div', { class: `dg-axis${armed === a.name ? ' armed' : ''}`, title: `2: ${a.about}` },
    el('button', { type: 'button', class: 'dg-btn s ghost', 'data-key': a.key, 'aria-pressed': String(armed === a.name), onclick: () => { armed = armed === a.name ? null : a.name; draw(); } }, kbd(a.key), ` ${a.name}`),
    el('span', { class: 'dg-seg', role: 'group', 'aria-label': a.name }, [0, 1, 2].map((n) => el('button', { type: 'button', 'aria-pressed': String(rating === n), 'data-key': armed === a.name ? String(n) : null,
      onclick: () => { armed = null; change((d) => { if (d.axes[a.name] === n) delete d.axes[a.name]; else d.axes[a.name] = n; }); } }, String(n)))));
};

const kind = (name, index) => {
  const marks = draft().errors.filter((e) => e.kind === name);
  const digit = String(index + 1);
  return el('button', { type: 'button', class: 'dg-kind', 'aria-pressed': String(marks.length > 0), 'data-key': armed && Number(digit) < 3 ? null : digit, onmousedown: (event) => event.preventDefault(), onclick: () => toggle(name) },
    kbd(digit), ` ${name}`, marks.some((m) => m.span) && el('small', {}, ` ${marks.filter((m) => m.span).length} marked`));
};

const labels = (fine) => {
  const d = draft();
  return { errors: fine ? [] : d.errors.map((e) => (e.span ? e : { kind: e.kind })), is_fine: fine, axes: d.axes, correction: fine ? null : corrected(d), note: d.note };
};
const says = (l) => l.errors.length || l.correction || Object.keys(l.axes).length || l.note.trim();
const elapsed = () => (spent + (document.hidden ? 0 : performance.now() - shownAt)) / 1000;
const submit = (fine) => {
  const given = labels(fine);
  if (sending || !value.can_answer || value.read_only || !(fine || says(given))) return;
  sending = true;
  sent = keyOf(value);
  trigger('submit', { item: value.id, labels: given, seconds: Math.min(elapsed(), 86400) });
  refresh();
};
document.addEventListener('visibilitychange', () => { if (document.hidden) spent += performance.now() - shownAt; else shownAt = performance.now(); });

const why = () => (value.read_only ? 'The lab is read-only: nothing is annotated.' : value.can_answer ? '' : 'Say who you are first.');
// What may be pressed changes with each letter that is typed, and a field must not be drawn again meanwhile.
const refresh = () => {
  const given = labels(false);
  const wrong = given.errors.length > 0 || Boolean(given.correction);
  const blocked = sending || Boolean(why());
  const [go, fine] = ['#dg-submit', '#dg-fine'].map((id) => element.querySelector(id));
  if (go) go.disabled = blocked || !says(given);
  if (fine) { fine.disabled = blocked || wrong; fine.title = wrong ? 'Something is marked or corrected' : ''; }
};

// What a repair is to learn, and how: kept while one goes from item to item.
const repair = { error: '', answers: '', method: 'sft' };
const repairs = () => {
  const chosen = () => value.repair.choices.map((c) => c.values.find((v) => v.value === repair[c.name]) || c.values[0]);
  const command = () => [value.repair.command, ...chosen().map((v) => v.options)].filter(Boolean).join(' ');
  const shown = el('div', {}, dg.command(command()));
  const choice = (c) => el('select', {
    class: 'dg-input', id: `dg-repair-${c.name}`, 'aria-label': c.label,
    onchange: (event) => { repair[c.name] = event.target.value; shown.replaceChildren(dg.command(command())); },
  }, c.values.map((v) => el('option', { value: v.value, selected: v.value === repair[c.name] }, v.label)));
  const start = async () => {
    if (await dg.confirm('Repair the model?', 'It runs the command that is shown, in the background, and measures the copy before and after. Nothing is in use until somebody promotes it in Models.', 'Start')) trigger('repair', Object.fromEntries(value.repair.choices.map((c, i) => [c.name, chosen()[i].value])));
  };
  return [el('div', { class: 'dg-choices' }, value.repair.choices.map(choice)), shown, !value.read_only && el('button', { type: 'button', class: 'dg-btn', id: 'dg-repair', onclick: start }, 'Start a repair')];
};

const right = () => {
  const note = el('textarea', { class: 'dg-input dg-area', rows: 3, 'aria-label': 'Note', id: 'dg-note', maxlength: 50000 });
  note.value = draft().note;
  note.addEventListener('input', () => { draft().note = note.value; keep(); refresh(); });
  return [
    el('section', { class: 'dg-sec', 'aria-label': 'Axes' }, el('div', { class: 'dg-head' }, el('h3', {}, 'Axes'), el('span', { class: 'dg-meta' }, 'letter, then 0 bad to 2 good')), value.axes.map(axis)),
    el('section', { class: 'dg-sec', 'aria-label': 'What is wrong' }, el('div', { class: 'dg-head' }, el('h3', {}, 'What is wrong'), el('span', { class: 'dg-meta' }, 'a digit takes the selected text')), el('div', { class: 'dg-kinds' }, value.kinds.map(kind)), marker),
    el('section', { class: 'dg-sec', 'aria-label': 'Note' }, el('div', { class: 'dg-head' }, el('h3', {}, 'Note'), el('button', { type: 'button', class: 'dg-btn s ghost', 'data-key': 'n', 'aria-label': 'Write a note', onclick: () => element.querySelector('#dg-note').focus() }, kbd('n'))), note),
    el('section', { class: 'dg-sec dg-submit', 'aria-label': 'Submit' },
      el('button', { type: 'button', class: 'dg-btn pri', id: 'dg-submit', 'data-key': 'Enter', onclick: () => submit(false) }, value.mine ? 'Change and next ' : 'Submit and next ', kbd('Enter')),
      el('div', { class: 'dg-row' }, el('button', { type: 'button', class: 'dg-btn', id: 'dg-fine', 'data-key': 'c', onclick: () => submit(true) }, 'Correct as it is ', kbd('c')),
        value.like && el('a', { class: 'dg-btn', href: value.like, 'data-key': 'm' }, 'More like this ', kbd('m'))),
      value.mine?.is_fine && el('p', { class: 'dg-meta' }, '✓ You said that it is correct as it is.'),
      why() && el('p', { class: 'dg-meta dg-warned' }, why())),
    el('section', { class: 'dg-sec', 'aria-label': 'My labels' }, el('div', { class: 'dg-head' }, el('h3', {}, 'My labels')), el('div', { class: 'dg-figs' }, value.effect.map((f) => el('div', { class: 'dg-fig' }, el('b', {}, f.value), el('span', {}, f.label)))), value.led_to.map((text) => el('p', { class: 'dg-meta' }, text))),
    el('section', { class: 'dg-sec', 'aria-label': 'Repair' }, el('div', { class: 'dg-head' }, el('h3', {}, 'Repair the model'), el('a', { href: value.repair.href, class: 'dg-meta' }, 'Models')),
      el('p', { class: 'dg-meta' }, value.repair.text), value.repair.command && repairs()),
  ];
};

const root = element.querySelector('.dg-root');
const [left, form] = [el('div', { class: 'dg-annotate-centre' }), el('div', { class: 'dg-annotate-form' })];
const focusOf = () => (root.contains(document.activeElement) ? document.activeElement.id : '');
const draw = () => {
  const focused = focusOf();
  const at = focused && document.activeElement.selectionStart;
  const open = left.querySelector('details')?.open;
  left.replaceChildren(...centre().filter(Boolean));
  form.replaceChildren(...right());
  showSpot();
  if (open && left.querySelector('details')) left.querySelector('details').open = true;
  refresh();
  const again = focused && document.getElementById(focused);
  if (again && again !== document.activeElement) { again.focus({ preventScroll: true }); if (typeof at === 'number' && again.setSelectionRange && again.type !== 'number') again.setSelectionRange(at, at); }
};

const take = () => {
  const v = props.value;
  if (!v) return;
  // An answer that the lab has kept needs no draft in the browser; in memory it stays, for an undo.
  if (sent && v.kept.includes(JSON.parse(sent)[0])) forget(sent);
  sent = '';
  sending = false;
  if (v.empty) {
    value = null;
    root.replaceChildren(el('div', { class: 'dg-empty' }, el('h3', {}, 'Nothing to annotate here'), el('p', {}, v.text),
      v.can_undo && el('button', { type: 'button', class: 'dg-btn s', 'data-key': 'u', onclick: () => trigger('back') }, 'Undo ', kbd('u'))));
    return;
  }
  const key = keyOf(v);
  const before = value && keyOf(value);
  const isNew = !value || value.id !== v.id;
  // Who had begun before he said who he is goes on with that.
  const begun = !isNew && before !== key && !value.who && drafts.get(before)?.touched ? drafts.get(before) : null;
  if (begun) { drafts.delete(before); forget(before); }
  if (!drafts.get(key)?.touched) drafts.set(key, begun || read(key) || blank(v));
  value = v;
  if (begun) keep();
  if (!left.isConnected) root.replaceChildren(left, form);
  if (isNew) { armed = spot = lastSpot = null; spent = 0; shownAt = performance.now(); left.scrollTop = 0; }
  draw();
};
root.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) { event.preventDefault(); submit(false); }
});
setInterval(() => { const node = left.querySelector('.dg-saved'); if (node && value && node.getClientRects().length) node.textContent = since(); }, 5000);
take();
watch('value', take);
