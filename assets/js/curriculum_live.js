// Asks the lab what is new of a run's curriculum while the tab is seen, and lends its server functions to the other parts.
// It draws nothing. Value: lab.curriculum_page.CurriculumPage.watch.
let stamp = '';
let query = '';

dg.curriculum = { ask: (name, question) => server[name](question) };

const ask = (asked) => {
  if (asked.query !== query) { query = asked.query; stamp = ''; }
  return server.tick({ query, stamp });
};

dg.live.poll('curriculum', 'curriculum-lost', props, watch, ask, (asked, answer) => {
  if (answer.same) return;
  stamp = answer.stamp || '';
  dg.live.emit('curriculum', { ...answer, notice: asked.notice });
});
