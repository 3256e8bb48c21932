// The run that is looked at: title, state, buttons, alarms. Topics: head, alarms, of lab.viewmodels.train.
const { el, kbd, confirm } = dg;
const root = element.querySelector('.dg-root');
const top = el('div', { class: 'dg-run-head' });
const alarms = el('div', { class: 'dg-run-alarms' });
root.append(top, alarms);
let run = '';

const button = (label, act, kind = '') => el('button', { type: 'button', id: `dg-run-${act}`, class: `dg-btn s ${kind}`, onclick: () => ask[act]() }, label);
const ask = {
  halt: async () => {
    if (await confirm(`Stop ${run}?`, 'It finishes its iteration, writes a checkpoint and ends. It can be resumed.', 'Stop with checkpoint')) trigger('halt', { run });
  },
  remove: async () => {
    if (await confirm(`Delete ${run}?`, 'Its curves, rollouts, checkpoints and log are removed for good.', 'Delete for good')) trigger('remove', { run });
  },
  resume: () => trigger('resume', { run }),
  clone: () => trigger('clone', { run, checkpoint: '' }),
};

const alert = (title, text) => el('div', { class: 'dg-alert', role: 'status' }, el('b', {}, title), el('span', { class: 'dg-fill' }, text));

const command = (text) => el('details', { class: 'dg-run-command' }, el('summary', {}, 'Command'), dg.command(text));

const draw = (v) => {
  run = v.id;
  const open = top.querySelector('details')?.open;
  top.replaceChildren(...[
    v.notice && alert('Not found', v.notice),
    el('div', { class: 'dg-row dg-wrap' },
      el('h2', { class: 'dg-mono' }, v.id),
      el('span', { class: `dg-chip ${v.chip.kind}`, role: 'status' }, `${v.chip.glyph} ${v.chip.word}`),
      el('span', { class: 'dg-meta' }, v.meta), el('span', { class: 'dg-fill' }),
      v.rollouts && el('a', { class: 'dg-btn s', href: v.rollouts, 'data-key': 'r' }, 'Rollouts ', kbd('r')),
      v.can.clone && button('Clone …', 'clone'),
      v.can.resume && button('Resume', 'resume'),
      v.can.halt && button('Stop with checkpoint …', 'halt', 'stop'),
      v.can.remove && button('Delete …', 'remove', 'stop')),
    v.problem && alert('✕ Not readable', v.problem),
    v.reason && alert(`${v.chip.glyph} ${v.chip.word}`, v.reason),
    v.command && command(v.command),
  ].filter(Boolean));
  if (open) top.querySelector('details').open = true;
};

const banner = (a) => el('div', { class: 'dg-alert', role: 'alert', 'data-kind': a.kind },
  el('b', {}, `⚠ ${a.title}`),
  el('span', { class: 'dg-fill' }, `${a.text} `, el('span', { class: 'dg-meta' }, [a.seen, a.checkpoint_text].filter(Boolean).join(' · '))),
  el('span', { class: 'dg-nw' }, el('a', { href: a.rollouts }, 'See rollouts'),
    a.checkpoint && [' · ', el('button', { type: 'button', class: 'dg-text-button', onclick: () => trigger('clone', { run, checkpoint: a.checkpoint }) }, `New run from ${a.checkpoint}`)]));

dg.live.on('head', 'head', (v) => dg.keepFocus(top, () => (v.empty ? top.replaceChildren(el('p', { class: 'dg-meta' }, 'The curves of a run, its log and its alarms appear here while it trains.')) : draw(v))));
dg.live.on('alarms', 'head', (v) => dg.keepFocus(alarms, () => alarms.replaceChildren(...(v.alarms || []).map(banner))));
