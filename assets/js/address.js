// The line right of the tabs: the address of what is seen, followed by "#" and a number where it answers `dg.entries`.
const { el, copy } = dg;
const kept = new URLSearchParams(location.search).get('__theme');

const draw = (root, address) => {
  const [plain, answered] = address.split('#');
  const tab = new URLSearchParams(plain).get('tab');
  const query = plain + dg.switches.query(tab);
  dg.entries.write(query, Number(answered), kept ? `${query}&__theme=${kept}` : query);
  const button = el('button', { type: 'button', class: 'dg-btn s ghost', id: 'dg-copy-link', 'data-key': 'y' }, 'Copy link ', dg.kbd('y'));
  button.addEventListener('click', () => copy(location.href, button));
  root.replaceChildren(el('code', { class: 'dg-meta dg-ell', title: query }, query), button);
  document.documentElement.dataset.dgTab = tab;
};
const root = dg.mount(element, props, watch, draw);
dg.switches.onTurn(() => props.value && draw(root, props.value.split('#')[0]));
