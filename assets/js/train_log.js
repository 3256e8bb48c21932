// The end of a run's log. It follows, unless the reader has scrolled up. Topic: log, of lab.train_page.TrainPage.tick.
const { el } = dg;
const MAX_CHARACTERS = 400000;
const root = element.querySelector('.dg-root');
const said = el('span', { class: 'dg-meta', role: 'status' });
const text = el('pre', { tabindex: '0', 'aria-label': 'Log' });
const box = el('div', { class: 'dg-term dg-log' }, text);
const down = el('button', { type: 'button', class: 'dg-text-button', hidden: true }, 'Go to the end');
const section = el('section', { hidden: true }, el('div', { class: 'dg-head' }, el('h3', {}, 'Log'), down, said), box);
root.append(section);
let follows = true;
let lines = 0;

const say = () => {
  down.hidden = follows;
  said.textContent = `${follows ? 'follows' : 'stays where you read'}, ${lines.toLocaleString('en')} lines here`;
};
const atEnd = () => text.scrollHeight - text.scrollTop - text.clientHeight < 12;
const toEnd = () => { text.scrollTop = text.scrollHeight; };
text.addEventListener('scroll', () => { follows = atEnd(); say(); });
down.addEventListener('click', () => { follows = true; toEnd(); say(); });

dg.live.on('log', 'log', (v) => {
  section.hidden = Boolean(v.empty);
  if (v.empty) return;
  if (v.reset) { text.replaceChildren(); follows = true; }
  text.append(document.createTextNode(v.text));
  if (follows && text.textContent.length > MAX_CHARACTERS) text.textContent = text.textContent.slice(-MAX_CHARACTERS / 2).replace(/^[^\n]*\n/, '');
  lines = text.textContent.split('\n').length - (text.textContent.endsWith('\n') ? 1 : 0);
  if (!text.textContent) lines = 0;
  if (follows) toEnd();
  say();
});
