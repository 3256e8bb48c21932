// Header: mark, workspace, model with its state, read-only, help.
const { el, svg } = dg;
const mark = () => svg('svg', { width: 20, height: 16, viewBox: '0 0 20 16', 'aria-hidden': 'true' },
  svg('rect', { x: 1, y: 1, width: 9, height: 9, rx: 1.5, fill: 'var(--dg-real)' }),
  svg('rect', { x: 7.8, y: 4.8, width: 10, height: 10, rx: 1.5, fill: 'var(--dg-surface)', stroke: 'var(--dg-dream)', 'stroke-width': 1.6, 'stroke-dasharray': '2.6 1.9' }));

const chip = (status) => {
  if (!status || status === 'ready') return null;
  const failed = status.startsWith('failed');
  return el('span', { class: `dg-chip ${failed ? 'bad' : 'run'}`, title: status }, failed ? '✕ failed' : '◷ starting');
};

// Views with a name. The list stays open, and what is typed stays, when the header is drawn again.
let open = false;
let typed = '';
const view = (v, readOnly) => {
  const drop = el('button', { type: 'button', class: 'dg-btn s ghost', title: `Remove ${v.name}`, 'aria-label': `Remove ${v.name}` }, '✕');
  drop.addEventListener('click', async () => {
    if (await dg.confirm('Remove this view?', `“${v.name}” goes from the list of all who open this workspace.`, 'Remove')) trigger('remove_view', { name: v.name });
  });
  return el('li', {}, el('a', { href: v.href, title: v.name }, v.name), el('span', { class: 'dg-meta' }, v.about), !readOnly && drop);
};

const views = (value) => {
  const name = el('input', { type: 'text', class: 'dg-input', maxlength: 60, placeholder: 'Name of what is shown now', 'aria-label': 'Name of the view' });
  name.value = typed;
  name.addEventListener('input', () => { typed = name.value; });
  const save = el('form', { class: 'dg-row' }, name, el('button', { class: 'dg-btn' }, 'Save view'));
  save.addEventListener('submit', (event) => {
    event.preventDefault();
    if (!name.value.trim()) { name.focus(); return; }
    trigger('save_view', { name: name.value });
    typed = '';
  });
  const details = el('details', { class: 'dg-named', open },
    el('summary', { class: 'dg-btn s', id: 'dg-views', 'data-key': 'z' }, 'Views ', dg.kbd('z')),
    el('div', { class: 'dg-named-list' },
      value.views_problem ? el('p', { class: 'dg-bad' }, value.views_problem) : value.views.length ? el('ul', {}, value.views.map((v) => view(v, value.read_only)))
        : el('p', { class: 'dg-meta' }, 'No view was saved yet. A view is an address with a name: tab, filters, what is chosen.'),
      value.read_only ? el('p', { class: 'dg-meta' }, 'The lab is read-only: no view is saved.') : save));
  details.addEventListener('toggle', () => { open = details.open; });
  details.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') { details.open = false; details.firstChild.focus(); }
  });
  return details;
};
document.addEventListener('click', (event) => {
  const list = element.querySelector('.dg-named');
  if (list?.open && (!list.contains(event.target) || event.target.closest('.dg-named-list a'))) list.open = false;
});

dg.mount(element, props, watch, (root, value) => {
  const [name, checksum] = (value.model || '').split('@');
  const help = el('button', { type: 'button', class: 'dg-btn s', id: 'dg-help-button', title: 'All shortcuts', 'aria-label': 'Help and shortcuts' }, '?');
  help.addEventListener('click', () => dg.help());
  root.replaceChildren(el('header', { class: 'dg-header' },
    el('a', { class: 'dg-mark', href: '?tab=home' }, mark(), 'DreamGym Lab'),
    el('span', { class: 'dg-ctx' },
      el('span', { class: 'dg-pick', title: value.path }, el('small', {}, 'Workspace'), el('span', {}, value.workspace)),
      el('span', { class: 'dg-pick' }, el('small', {}, 'Model'), el('span', {}, name || 'none bundled', checksum && el('span', { class: 'dg-hide-s' }, `@${checksum}`)), chip(value.status))),
    el('span', { class: 'dg-fill' }),
    value.read_only && el('span', { class: 'dg-chip', title: 'Saving and live play are off' }, 'Read-only'),
    views(value), help));
});
