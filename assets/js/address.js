// The line right of the tabs: the address of what is seen. Also the one place where a link inside the lab is followed:
// every <a href="?tab=…"> stays a real link (new tab, copy) and a plain click asks the server for the new selection.
const { el, copy } = dg;
const kept = new URLSearchParams(location.search).get('__theme');

const full = (query) => (kept ? `${query}&__theme=${kept}` : query);
const draw = (root, query) => {
  history.replaceState(null, '', full(query));
  const button = el('button', { type: 'button', class: 'dg-btn s ghost', id: 'dg-copy-link', 'data-key': 'y' }, 'Copy link ', dg.kbd('y'));
  button.addEventListener('click', () => copy(location.href, button));
  root.replaceChildren(el('code', { class: 'dg-meta dg-ell', title: query }, query), button);
  document.documentElement.dataset.dgTab = new URLSearchParams(query).get('tab');
};
dg.mount(element, props, watch, draw);

document.addEventListener('click', (event) => {
  const a = event.target.closest?.('a[href^="?"]');
  if (!a || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  trigger('go', { query: a.getAttribute('href') });
});
