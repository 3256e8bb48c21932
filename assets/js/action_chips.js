// Actions that look possible, by verb; a click dreams that step. Value: {groups, note, locked}.
const { el } = dg;
let open = new Set();
let last = '';

const chip = (c, locked) => el('button', {
  type: 'button', class: `dg-act${c.on ? ' on' : ''}`, disabled: locked, title: c.action, 'aria-label': c.action,
  onclick: () => trigger('choose', { action: c.action }),
}, c.text);

const group = (g, v, redraw) => {
  const hidden = open.has(g.title) ? [] : g.chips.slice(g.num_first);
  const more = hidden.length > 0 && el('button', { type: 'button', class: 'dg-act dg-more', onclick: () => { open.add(g.title); redraw(); } }, `${hidden.length} more …`);
  const shown = hidden.length ? g.chips.slice(0, g.num_first) : g.chips;
  return [el('span', {}, g.title), el('div', { role: 'group', 'aria-label': g.title }, shown.map((c) => chip(c, v.locked)), more)];
};

dg.mount(element, props, watch, function draw(root, v) {
  if (v.key !== last) { open = new Set(); last = v.key; }
  root.replaceChildren(
    el('div', { class: 'dg-head' }, el('h3', {}, 'Next action'), el('span', { class: 'dg-meta' }, v.note)),
    el('div', { class: 'dg-acts' }, v.groups.map((g) => group(g, v, () => draw(root, v)))));
});
