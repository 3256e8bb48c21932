// What is live on the page: one poller asks the lab, components listen to parts of the answer by topic. A part that says
// the same as before is not told again, so that nothing is redrawn, and a component that comes late is told at once.
dg.live = (() => {
  const listeners = new Map(); // topic -> Map(name of the component -> function)
  const last = new Map(); // topic -> [text, value]

  const on = (topic, name, listen) => {
    if (!listeners.has(topic)) listeners.set(topic, new Map());
    listeners.get(topic).set(name, listen);
    if (last.has(topic)) listen(last.get(topic)[1]);
  };
  const emit = (topic, value) => {
    const text = JSON.stringify(value);
    if (last.get(topic)?.[0] === text) return;
    last.set(topic, [text, value]);
    listeners.get(topic)?.forEach((listen) => listen(value));
  };

  // Points of runs: only new ones travel, the rest stays here.
  const runs = new Map();
  const take = (points) => {
    let changed = false;
    for (const [id, fresh] of Object.entries(points)) {
      if (!fresh.iteration.length && !(fresh.reset && runs.get(id)?.iteration.length)) {
        if (!runs.has(id)) { runs.set(id, { ...fresh }); changed = true; }
        continue;
      }
      changed = true;
      const before = fresh.reset ? undefined : runs.get(id);
      const join = (a, b) => (a ? a.concat(b) : b);
      const curves = {};
      for (const name of Object.keys(fresh.curves)) curves[name] = join(before?.curves[name], fresh.curves[name]);
      runs.set(id, {
        iteration: join(before?.iteration, fresh.iteration), ended_at: join(before?.ended_at, fresh.ended_at),
        wall: join(before?.wall, fresh.wall), real: join(before?.real, fresh.real), curves,
      });
    }
    return changed;
  };
  // The last point of each run; a run that grew beyond what a curve should have is asked for anew, and comes thinned.
  const MAX_POINTS = 5000;
  const have = (ids) => Object.fromEntries(ids.map((id) => [id, runs.get(id)])
    .filter(([, run]) => run?.iteration.length && run.iteration.length < MAX_POINTS)
    .map(([id, run]) => [id, { iteration: run.iteration.at(-1), ended_at: run.ended_at.at(-1) }]));

  // Ask now and every two seconds while a tab is selected and the page can be seen, one question at a time; `topic` says
  // why there is no answer. An answer to what nobody looks at any more is dropped, and the new question asked at once.
  const EVERY_MS = 2000;
  const poll = (tab, topic, props, watch, ask, took) => {
    let busy = false;
    let again = false;
    let lost = false;
    const seen = () => document.visibilityState === 'visible' && document.documentElement.dataset.dgTab === tab;
    const next = async () => {
      if (!props.value || !seen()) return;
      if (busy) { again = true; return; }
      busy = true;
      const asked = props.value;
      try {
        const answer = await ask(asked);
        if (lost) { lost = false; dg.follow(location.search, true); } // a lab that was started anew knows no selection
        if (JSON.stringify(asked) !== JSON.stringify(props.value)) again = true;
        else {
          emit(topic, { text: answer.error || '' });
          if (!answer.error) took(asked, answer);
        }
      } catch {
        lost = true;
        emit(topic, { text: 'The lab does not answer; what is shown may be old.' });
      } finally {
        busy = false;
        if (again) { again = false; next(); }
      }
    };
    next();
    watch('value', next);
    document.addEventListener('visibilitychange', next);
    new MutationObserver(next).observe(document.documentElement, { attributes: true, attributeFilter: ['data-dg-tab'] });
    setInterval(next, EVERY_MS);
  };

  return { on, emit, take, have, poll, runs, stamp: 0 };
})();
