// The line right of the tabs: the address of what is seen, followed by "#" and a number where it answers `dg.entries`.
const { el, copy } = dg;
const kept = new URLSearchParams(location.search).get('__theme');

const full = (query) => (kept ? `${query}&__theme=${kept}` : query);
const draw = (root, address) => {
  const [query, answered] = address.split('#');
  dg.entries.write(query, Number(answered), full(query));
  const button = el('button', { type: 'button', class: 'dg-btn s ghost', id: 'dg-copy-link', 'data-key': 'y' }, 'Copy link ', dg.kbd('y'));
  button.addEventListener('click', () => copy(location.href, button));
  root.replaceChildren(el('code', { class: 'dg-meta dg-ell', title: query }, query), button);
  document.documentElement.dataset.dgTab = new URLSearchParams(query).get('tab');
};
dg.mount(element, props, watch, draw);
