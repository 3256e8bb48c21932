// Left of Annotate: who, which queue, how far, what waits, how far people agree. Value: lab.viewmodels.annotate.queue_view.
const { el, kbd } = dg;
const ticked = new Set();
const STORED = 'dg-annotator';
const remembered = () => { try { return localStorage.getItem(STORED) || ''; } catch { return ''; } };
let asked = false;

const who = (v) => {
  if (v.is_login) return el('p', { class: 'dg-meta' }, 'You annotate as ', el('b', {}, v.name), '.');
  const input = el('input', { type: 'text', class: 'dg-input', maxlength: 80, id: 'dg-annotator', placeholder: 'Your name', 'aria-label': 'Your name', autocomplete: 'off' });
  input.value = v.name;
  const form = el('form', { class: 'dg-row' }, input, el('button', { class: 'dg-btn' }, v.name ? 'Change' : 'Start'));
  form.addEventListener('submit', (event) => { event.preventDefault();
    input.blur();
    try { localStorage.setItem(STORED, input.value); } catch { /* no storage: asked again at the next visit */ }
    trigger('name_me', { name: input.value, remembered: false });
  });
  return el('div', {}, form, !v.name && el('p', { class: 'dg-meta dg-warned' }, 'Say who you are: your name stands beside your answers, and others stay hidden until you have answered.'));
};

const choice = (v) => {
  const select = el('select', { class: 'dg-input', 'aria-label': 'Queue', id: 'dg-queue' }, v.queues.map((q) => el('option', { value: q.name, selected: q.name === v.queue }, q.label)));
  select.addEventListener('change', () => trigger('turn', { name: select.value }));
  return el('div', {}, el('div', { class: 'dg-row' }, select, kbd('q')), el('p', { class: 'dg-meta' }, v.about, v.run && [' · run ', el('b', {}, v.run), ' ', el('a', { href: '?tab=annotate&by-run=' }, 'all runs')],
    v.filters && [' · only ', el('b', {}, v.filters), ' ', el('a', { href: v.unfiltered }, 'no filter')]));
};

const progress = (v) => el('div', {},
  el('div', { class: 'dg-row dg-meta' }, el('b', {}, v.is_like ? `${v.total.toLocaleString()} found` : `Mine: ${v.done.toLocaleString()} of ${v.total.toLocaleString()}`), el('span', { class: 'dg-fill' }), v.name && exporting(v)),
  !v.is_like && el('div', { class: 'dg-bar', role: 'img', 'aria-label': `${v.percent} %`, style: `--v:${v.percent}` }),
  v.pace && el('p', { class: 'dg-meta' }, v.pace));

const row = (v, r, apply) => {
  const box = v.is_like && !r.done && el('input', { type: 'checkbox', 'aria-label': `Tick ${r.id}` });
  if (box) {
    box.checked = ticked.has(r.id);
    box.addEventListener('change', () => { if (box.checked) ticked.add(r.id); else ticked.delete(r.id); apply?.count(); });
  }
  return el('li', { class: r.current ? 'on' : null }, box || el('span', { class: 'dg-tick', 'aria-label': r.done ? 'answered' : null }, r.done ? '✓' : ''),
    el('a', { href: r.href, 'aria-current': r.current ? 'true' : null }, el('code', { class: 'dg-ell' }, r.action), el('span', { class: 'dg-meta dg-ell', title: r.why }, r.why)));
};

const applier = (v) => {
  if (!v.is_like) return null;
  if (!v.apply.length) return Object.assign(el('p', { class: 'dg-meta dg-sec' }, 'Mark the errors of the first step; then they can be said of the ticked ones, too.'), { count: () => {} });
  const button = el('button', { type: 'button', class: 'dg-btn', id: 'dg-apply', 'data-key': 'p' });
  button.addEventListener('click', () => { trigger('apply', { items: [...ticked] }); ticked.clear(); });
  const count = () => { button.disabled = !ticked.size; button.replaceChildren(`Say “${v.apply.join(', ')}” of ${ticked.size} ticked `, kbd('p')); };
  count();
  return Object.assign(el('div', { class: 'dg-sec' }, button), { count });
};

const FORMATS = [['jsonl', 'JSON lines'], ['parquet', 'Parquet'], ['sft', 'Rows for SFT'], ['dpo', 'Pairs for DPO'], ['hf', 'Hugging Face dataset']];
const exported = { whose: 'mine', filtered: false };
const exporting = (v) => {
  const box = v.export_filter && el('input', { type: 'checkbox', checked: exported.filtered, onchange: (event) => { exported.filtered = event.target.checked; } });
  const details = el('details', { class: 'dg-menu' }, el('summary', { class: 'dg-btn s', title: 'What you have answered, with a manifest' }, 'Export'),
    el('div', {},
      el('select', { class: 'dg-input', 'aria-label': 'Whose answers', id: 'dg-export-whose', onchange: (event) => { exported.whose = event.target.value; } },
        [['mine', 'My answers'], ['everybody', 'Everybody’s, of what I answered']].map(([value, label]) => el('option', { value, selected: value === exported.whose }, label))),
      box && el('label', { class: 'dg-row' }, box, `Only ${v.export_filter}`),
      FORMATS.map(([format, label]) => el('button', { type: 'button', class: 'dg-btn s', onclick: () => { details.open = false; trigger('export', { format, whose: exported.whose, filtered: Boolean(box?.checked) }); } }, label)),
      el('p', { class: 'dg-meta' }, 'Import: ', el('code', {}, 'dreamgym annotations import'))));
  return details;
};

let unfolded = false; // agreement on all labels
const table = (names, rows, cells) => rows.length > 0 && el('table', { class: 'dg-plain' },
  el('thead', {}, el('tr', {}, names.map((name) => el('th', { scope: 'col' }, name)))),
  el('tbody', {}, rows.map((r) => el('tr', { title: r.why || null }, cells(r).map((text, i) => el('td', { class: i ? 'dg-num' : null }, text))))));
const labelled = (rows) => table(['Label', 'α', 'κ', 'n'], rows, (r) => [r.label, r.alpha, r.kappa, String(r.num)]);
const agreement = (a) => el('section', { class: 'dg-sec', 'aria-label': 'Agreement' },
  el('div', { class: 'dg-head' }, el('h3', {}, 'Agreement'), el('span', { class: 'dg-meta' }, a.about)),
  labelled(a.rows),
  el('details', { open: unfolded, ontoggle: (event) => { unfolded = event.target.open; } }, el('summary', { class: 'dg-meta' }, a.pairs.length ? 'All labels, κ by pair' : 'All labels'),
    labelled(a.more), table(['Pair', 'κ', 'n'], a.pairs, (r) => [`${r.label}: ${r.pair}`, r.kappa, String(r.num)])),
  a.undefined && el('p', { class: 'dg-meta' }, `Undefined: ${a.undefined} (${a.why}).`),
  a.disputed && el('p', {}, el('a', { href: a.disputed.href }, `${a.disputed.num} to settle`)));

dg.mount(element, props, watch, (root, v) => {
  if (!asked && !v.name && !v.is_login && remembered()) trigger('name_me', { name: remembered(), remembered: true });
  asked = true;
  const typed = root.querySelector('#dg-annotator');
  const kept = typed && document.activeElement === typed ? typed.value : null;
  for (const id of ticked) if (!v.rows.some((r) => r.id === id && !r.done)) ticked.delete(id);
  const apply = applier(v);
  root.replaceChildren(
    el('section', { class: 'dg-sec dg-stack', 'aria-label': 'Queue' }, who(v), choice(v), progress(v)),
    ...(v.notice ? [dg.notice(v.notice)] : []),
    ...(v.empty ? [el('p', { class: 'dg-meta dg-sec' }, v.empty)] : []),
    el('ul', { class: 'dg-waiting', 'aria-label': 'Items' }, v.rows.map((r) => row(v, r, apply))),
    ...(apply ? [apply] : []),
    ...(v.agreement ? [agreement(v.agreement)] : []));
  if (kept !== null) root.querySelector('#dg-annotator').value = kept;
});
