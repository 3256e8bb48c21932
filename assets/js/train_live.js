// Asks the lab what is new, every two seconds while the tab is selected and the page can be seen, one question at a time.
// It draws nothing. Value: lab.train_page.TrainPage.watch.
const EVERY_MS = 2000;
let busy = false;
let again = false;
let log = {};
let followed = '';

const seen = () => document.visibilityState === 'visible' && document.documentElement.dataset.dgTab === 'train';

const take = (asked, answer) => {
  if (answer.error) return dg.live.emit('lost', { text: answer.error });
  dg.live.emit('lost', { text: '' });
  dg.live.emit('resources', { parts: answer.resources, at: answer.at });
  if (answer.empty) {
    for (const topic of ['list', 'head', 'alarms', 'log']) dg.live.emit(topic, { empty: answer.empty });
    return dg.live.emit('charts', { empty: true });
  }
  if (answer.run !== asked.run) { // the first run of this workspace, or the one that was looked at is gone
    if (followed !== answer.run) dg.follow(`?tab=train&run=${answer.run}`);
    followed = answer.run;
    return undefined;
  }
  followed = '';
  if (dg.live.take(answer.points)) dg.live.stamp += 1;
  dg.live.emit('list', answer.list);
  dg.live.emit('head', { ...answer.head, notice: asked.notice });
  dg.live.emit('alarms', { alarms: answer.alarms, run: answer.run });
  dg.live.emit('charts', {
    run: asked.run, axis: asked.axis, drawn: asked.drawn, limits: answer.limits,
    alarms: answer.alarms.map(({ kind, iteration }) => ({ kind, iteration })),
    stamp: dg.live.stamp, // a new one tells the charts that there is more to draw
  });
  if (answer.log.reset || answer.log.text) dg.live.emit('log', answer.log);
  log = { run: answer.log.run, next: answer.log.next };
  return undefined;
};

const poll = async () => {
  if (!props.value || !seen()) return;
  if (busy) { again = true; return; }
  busy = true;
  const asked = props.value;
  try {
    const answer = await server.tick({ run: asked.run, with: asked.with, ...asked.filters, have: dg.live.have(asked.drawn.map((d) => d.id)), log });
    if (asked === props.value || JSON.stringify(asked) === JSON.stringify(props.value)) take(asked, answer);
    else again = true; // the person has gone on meanwhile
  } catch {
    dg.live.emit('lost', { text: 'The lab does not answer; what is shown may be old.' });
  } finally {
    busy = false;
    if (again) { again = false; poll(); }
  }
};

poll();
watch('value', poll);
document.addEventListener('visibilitychange', poll);
new MutationObserver(poll).observe(document.documentElement, { attributes: true, attributeFilter: ['data-dg-tab'] });
setInterval(poll, EVERY_MS);
