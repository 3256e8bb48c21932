// A page of transitions or trajectories. Rows are links; j and k move the mark at once and ask the server after.
const { el, kbd, worldGlyph } = dg;

const cells = {
  transitions: {
    head: [['', ''], ['Step', ''], ['Action', ''], ['Conf', 'dg-num'], ['r', 'dg-num']],
    widths: ['38px', '66px', '', '52px', '44px'],
    row: (r) => [
      el('td', { class: 'dg-mono12 dg-2' }, el('a', { href: r.href }, r.label)),
      el('td', { class: 'dg-mono12' }, r.text),
      r.percent === null ? el('td', { class: 'dg-num dg-meta' }, '–')
        : el('td', { class: 'dg-num dg-conf', style: `--v:${r.percent}` }, r.confidence),
      el('td', { class: `dg-num${r.failed ? ' dg-bad' : ''}`, title: r.reward_title }, r.reward),
    ],
  },
  trajectories: {
    head: [['', ''], ['Id', ''], ['Task', ''], ['Steps', 'dg-num'], ['Outcome', 'dg-num']],
    widths: ['38px', '56px', '', '52px', '98px'],
    row: (r) => [
      el('td', { class: 'dg-mono12 dg-2' }, el('a', { href: r.href }, r.label)),
      el('td', {}, r.text),
      el('td', { class: 'dg-num' }, String(r.steps)),
      el('td', { class: `dg-num dg-meta${r.failed ? ' dg-bad' : ''}`, title: r.outcome_title }, r.outcome),
    ],
  },
};

const table = (value) => {
  const kind = cells[value.kind];
  return el('table', { class: 'dg-table', 'aria-label': value.kind },
    el('colgroup', {}, kind.widths.map((w) => el('col', { style: w && `width:${w}` }))),
    el('thead', {}, el('tr', {}, kind.head.map(([text, cls]) => el('th', { class: cls, scope: 'col' }, text)))),
    el('tbody', {}, value.rows.map((r) => el('tr', { 'aria-selected': String(r.selected), title: r.title },
      el('td', {}, worldGlyph(r.world)), kind.row(r)))));
};

const empty = (value) => el('div', { class: 'dg-empty' },
  el('h3', {}, value.title),
  value.text && el('p', {}, value.text),
  value.command && dg.command(value.command),
  value.links.map((l, i) => el('a', { class: 'dg-btn', href: l.href, 'data-key': i === value.links.length - 1 ? 'x' : null },
    l.label, i === value.links.length - 1 && kbd('x'))));

const menu = (value) => dg.exporting(`All ${value.num_rows.toLocaleString('en')} ${value.kind} that the filters keep, with a manifest`, (asked) => trigger('export', asked));

const pager = (value) => el('div', { class: 'dg-foot' },
  el('span', { class: 'dg-nw' }, value.footer),
  value.clear && el('a', { href: value.clear, class: 'dg-nw', 'data-key': 'x' }, 'Clear filters ', kbd('x')),
  el('span', { class: 'dg-fill' }), menu(value),
  el('button', { type: 'button', class: 'dg-btn s', 'data-key': '[', disabled: !value.previous, onclick: () => page(value.previous), 'aria-label': 'Previous page' }, '‹ ', kbd('[')),
  el('button', { type: 'button', class: 'dg-btn s', 'data-key': ']', disabled: !value.next, onclick: () => page(value.next), 'aria-label': 'Next page' }, '› ', kbd(']')));

const mark = (row) => {
  row.parentNode.querySelectorAll('tr[aria-selected=true]').forEach((r) => r.setAttribute('aria-selected', 'false'));
  row.setAttribute('aria-selected', 'true');
};

const root = dg.mount(element, props, watch, (node, value) => {
  const keep = node.querySelector('.dg-list-body')?.scrollTop ?? 0;
  node.replaceChildren(...(value.empty ? [empty(value.empty)] : [el('div', { class: 'dg-list-body' }, table(value)), pager(value)]));
  if (value.empty) return;
  node.querySelector('.dg-list-body').scrollTop = keep;
  const asked = [...node.querySelectorAll('tbody tr')].find((r) => r.querySelector('a').getAttribute('href') === dg.lastLink);
  if (asked) mark(asked); // keys run ahead of the answers
  node.querySelector('tr[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
});

const page = (href, pick) => { if (href) dg.follow(pick ? `${href}&pick=${pick}` : href); };
const choose = (row) => {
  mark(row);
  row.scrollIntoView({ block: 'nearest' });
  dg.follow(row.querySelector('a').getAttribute('href'));
};

root.addEventListener('click', (event) => {
  const row = event.target.closest('tbody tr');
  if (!row || event.target.closest('a') || String(getSelection())) return;
  choose(row);
});

dg.moveRow = (by) => {
  const rows = [...root.querySelectorAll('tbody tr')];
  const at = rows.findIndex((r) => r.getAttribute('aria-selected') === 'true');
  const next = at < 0 ? rows[0] : rows[at + by];
  if (next) choose(next);
  else if (at >= 0) page(by > 0 ? props.value.next : props.value.previous, by > 0 ? 'first' : 'last');
};
