// Asks the lab what is new, every two seconds while the tab is selected and the page can be seen, one question at a time.
// It draws nothing. Value: lab.train_page.TrainPage.watch.
let log = {};
let followed = '';

const take = (asked, answer) => {
  dg.live.emit('resources', { parts: answer.resources, at: answer.at });
  if (answer.empty) {
    for (const topic of ['list', 'head', 'alarms', 'log']) dg.live.emit(topic, { empty: answer.empty });
    return dg.live.emit('charts', { empty: true });
  }
  if (answer.run !== asked.run) { // the first run of this workspace, or the one that was looked at is gone
    if (followed !== answer.run) {
      const there = new URLSearchParams(location.search);
      there.set('run', answer.run);
      there.delete('it');
      dg.follow(`?${there}`, true);
    }
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

dg.live.poll('train', 'lost', props, watch,
  (asked) => server.tick({ run: asked.run, with: asked.with, ...asked.filters, have: dg.live.have(asked.drawn.map((d) => d.id)), log }), take);
