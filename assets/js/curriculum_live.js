// Asks the lab what is new of a run's curriculum, every two seconds while the tab is selected and the page can be seen,
// one question at a time, and lends its server functions to the other parts. It draws nothing.
// Value: lab.curriculum_page.CurriculumPage.watch.
const EVERY_MS = 2000;
let busy = false;
let again = false;
let stamp = '';
let query = '';

dg.curriculum = { ask: (name, question) => server[name](question) };

const seen = () => document.visibilityState === 'visible' && document.documentElement.dataset.dgTab === 'curriculum';

const poll = async () => {
  if (!props.value || !seen()) return;
  if (busy) { again = true; return; }
  busy = true;
  const asked = props.value;
  if (asked.query !== query) { query = asked.query; stamp = ''; }
  try {
    const answer = await server.tick({ query, stamp });
    if (asked.query !== props.value.query) again = true; // the person has gone on meanwhile
    else if (answer.error) dg.live.emit('curriculum-lost', { text: answer.error });
    else {
      dg.live.emit('curriculum-lost', { text: '' });
      if (!answer.same) {
        stamp = answer.stamp || '';
        dg.live.emit('curriculum', { ...answer, notice: asked.notice });
      }
    }
  } catch {
    dg.live.emit('curriculum-lost', { text: 'The lab does not answer; what is shown may be old.' });
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
