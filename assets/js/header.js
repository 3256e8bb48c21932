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
    help));
});
