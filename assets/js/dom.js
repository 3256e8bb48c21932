// Helpers that every component uses. Text reaches the page through textContent only.
window.dg = (() => {
  const el = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === undefined || value === null || value === false) continue;
      if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
      else node.setAttribute(name, value === true ? '' : value);
    }
    node.append(...children.flat(9).filter((c) => c !== undefined && c !== null && c !== false));
    return node;
  };

  // A redraw must not take the keyboard away: focus goes back to the control of the same name.
  const keepFocus = (root, redraw) => {
    const focused = root.contains(document.activeElement) ? document.activeElement : null;
    const name = focused && ['id', 'data-key', 'href'].find((n) => focused.hasAttribute(n));
    const wanted = name && `[${name}="${CSS.escape(focused.getAttribute(name))}"]`;
    redraw();
    if (wanted && !root.contains(document.activeElement)) root.querySelector(wanted)?.focus({ preventScroll: true });
  };

  const svg = (tag, attributes, ...children) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children.flat(9));
    return node;
  };

  // Draw now and after every change of the value. The root stays, so that listeners on it do too.
  const mount = (element, props, watch, draw) => {
    const root = element.querySelector('.dg-root');
    const again = () => { if (props.value) keepFocus(root, () => draw(root, props.value)); };
    again();
    watch('value', again);
    return root;
  };

  const kbd = (key) => el('kbd', { 'aria-hidden': 'true' }, key);
  // A small button back or on, by its key; without a place to go it is seen and does nothing.
  const turn = (href, key, label) => el(href ? 'a' : 'span', { class: 'dg-btn s', href, 'data-key': href && key, 'aria-disabled': href ? null : 'true', 'aria-label': label }, '[k'.includes(key) ? '‹ ' : '› ', kbd(key));
  // A value of reward entropy on its step of the colour scale: { text, bin, light }.
  const civ = (bin) => `var(--dg-civ-${bin})`;
  const value = (v) => el('span', { class: `dg-value ${v.light ? 'light' : ''}`, style: v.bin === null ? null : `--c:${civ(v.bin)}` }, v.text);
  const worldGlyph = (world) => el('i', { class: `dg-w ${world}`, role: 'img', 'aria-label': world, title: world });

  // Segments of a diff: [["equal" | "delete" | "insert", text], …]
  const segments = (parts) => parts.map(([op, text]) =>
    op === 'equal' ? text : el(op === 'delete' ? 'del' : 'ins', {}, text));

  // Fact chips: [["kept" | "lost" | "invented" | "+" | "-", text], …]
  const factClass = { kept: 'kept', lost: 'lost', invented: 'inv', '+': 'inv', '-': 'lost' };
  const facts = (chips, label) => el('div', { class: 'dg-facts', 'aria-label': label },
    chips.map(([kind, text]) => el('span', { class: `dg-fact ${factClass[kind]}` }, el('span', {}, text))));

  const copy = async (text, button) => {
    const before = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = el('textarea', { class: 'dg-sr' });
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand('copy');
      area.remove();
    }
    button.textContent = 'Copied';
    setTimeout(() => { button.textContent = before; }, 1200);
  };

  // Text of a stored step or a reply. Of more characters than GATE only the first are drawn, with a button for the rest.
  const GATE = 20000;
  const textOf = (node) => node.textContent ?? node;
  const long = (attributes, ...content) => {
    const nodes = content.flat(9).filter(Boolean);
    const size = nodes.reduce((sum, node) => sum + textOf(node).length, 0);
    if (size <= GATE) return [el('pre', attributes, nodes), null];
    let room = GATE;
    const first = nodes.map((node) => {
      const shown = textOf(node).slice(0, room);
      room -= shown.length;
      return typeof node === 'string' || !shown ? shown : Object.assign(node.cloneNode(), { textContent: shown });
    });
    const pre = el('pre', attributes, first);
    const more = el('button', { type: 'button', class: 'dg-text-button', onclick: () => { pre.replaceChildren(...nodes); more.remove(); } },
      `Show all ${size.toLocaleString('en')} characters`);
    return [pre, more];
  };

  // Folded text: the first lines and a button, when there are more. All fold together, and stay open for the visit.
  let unfolded = false;
  const fold = (text, maxLines, border) => {
    const [pre, more] = long({ class: border, style: `--lines:${maxLines}` }, text);
    const button = el('button', { type: 'button', class: 'dg-text-button', 'data-key': 'o', hidden: true });
    const show = () => {
      pre.classList.add('dg-folded');
      button.hidden = pre.scrollHeight <= pre.clientHeight + 1;
      pre.classList.toggle('dg-folded', !unfolded);
      button.replaceChildren(unfolded ? 'Fold ' : 'Show all ', kbd('o'));
      button.setAttribute('aria-expanded', String(unfolded));
      if (more) more.hidden = !unfolded && !button.hidden;
    };
    button.addEventListener('click', () => {
      unfolded = !unfolded;
      document.querySelectorAll('.dg-fold').forEach((each) => each.show());
    });
    new ResizeObserver(show).observe(pre);
    return Object.assign(el('div', { class: 'dg-fold' }, pre, button, ' ', more), { show });
  };
  const STATE_LINES = 40;
  const state = (world, ...content) => fold(content, STATE_LINES, world === 'real' ? 'dg-reald' : 'dg-dreamed');

  // Step strip: one link a step; the arrows stand on the neighbours of the current one. A step that was just asked for
  // is marked although the answer shows an earlier one still.
  const strip = (cells) => {
    const nav = el('nav', { class: 'dg-strip', 'aria-label': 'Steps' }, cells.map((c) => el('a', {
      href: c.href, class: `d${c.tint}${c.failed ? ' failed' : ''}`, title: c.title, 'aria-current': c.current ? 'step' : null,
    }, el('span', {}, el('b', {}, String(c.step)), el('span', {}, c.figure)), el('span', {}, c.word))));
    const links = [...nav.children];
    const mark = (at) => links.forEach((a, i) => {
      if (i === at) a.setAttribute('aria-current', 'step'); else a.removeAttribute('aria-current');
      if (i === at - 1) a.dataset.key = '←'; else if (i === at + 1) a.dataset.key = '→'; else delete a.dataset.key;
    });
    const followed = links.findIndex((a) => a.getAttribute('href') === dg.lastLink);
    mark(followed >= 0 ? followed : links.findIndex((a) => a.hasAttribute('aria-current')));
    nav.addEventListener('click', (event) => {
      const at = links.indexOf(event.target.closest('a'));
      if (at >= 0) mark(at);
    });
    requestAnimationFrame(() => {
      const current = nav.querySelector('[aria-current]');
      if (current) nav.scrollLeft = current.offsetLeft - nav.clientWidth / 2;
    });
    return nav;
  };

  // One retrieved transition: similarity, link, action, what came of it; where it was left out, what that changed.
  const neighbour = (n) => el('div', { class: 'dg-nb' },
    el('div', {}, el('span', { class: 'sim' }, n.similarity), el('div', { class: 'dg-bar', style: `--v:${n.percent}` })),
    n.missing
      ? el('div', {}, el('span', { class: 'dg-mono12' }, n.id), el('span', { class: 'dg-meta dg-ell' }, 'not in this workspace'))
      : el('div', {},
        el('div', { class: 'dg-row dg-gap-1' }, worldGlyph(n.world), el('a', { class: 'dg-mono12', href: n.href }, n.id),
          n.corrected && el('span', { class: 'dg-chip', title: 'As a person corrected it; a dream from before that was shown the wrong step.' }, 'corrected'),
          n.cause && [el('span', { class: 'dg-fill' }), el('span', { class: n.cause.flag ? 'dg-flag' : 'dg-meta' }, n.cause.text)]),
        el('code', { class: 'dg-ell', title: n.action }, n.action),
        el('span', { class: 'dg-meta dg-ell', title: n.next_state }, n.summary),
        n.chips?.length > 0 && facts(n.chips, 'Facts without this neighbour')));

  const notice = (text) => el('div', { class: 'dg-alert', role: 'status' }, el('b', {}, 'Not found'), el('span', {}, text));
  // What a reply claimed, and why the guard did not let it happen.
  const guard = (g) => el('div', {},
    el('p', {}, el('span', { class: 'dg-chip warn' }, '⊘ refused by the guard'), ' ', g.reason),
    g.claim && el('p', { class: 'dg-meta' }, 'The reply says: ', g.claim));
  // A dreamed step that its own earlier states forbid.
  const lie = (l) => el('div', { class: 'dg-alert lie' }, el('b', {}, `⚑ ${l.title}`), el('span', {}, l.text));
  // Lines break between words alone: a browser would also break behind the first "-" of "--set".
  const command = (text) => {
    const words = text.split(/( )/).map((word) => (word.trim() ? el('span', { class: 'dg-word' }, word) : word));
    const button = el('button', { type: 'button', class: 'dg-btn s' }, 'Copy');
    button.addEventListener('click', () => copy(text, button));
    return el('div', { class: 'dg-term' }, el('pre', {}, words), button);
  };

  // The button that asks for rows as a file, { format }; off, it says why.
  const exporting = (title, ask, off = false) => {
    if (off) return el('button', { type: 'button', class: 'dg-btn s', disabled: true, title }, 'Export');
    const format = (name, label) => el('button', { type: 'button', class: 'dg-btn s', onclick: () => { details.open = false; ask({ format: name }); } }, label);
    const details = el('details', { class: 'dg-menu' }, el('summary', { class: 'dg-btn s', title }, 'Export'),
      el('div', {}, format('jsonl', 'JSON lines'), format('parquet', 'Parquet')));
    const middle = (one) => { const box = one.getBoundingClientRect(); return box.left + box.width / 2; };
    details.addEventListener('toggle', () => details.classList.toggle('start', middle(details) < middle(details.closest('.dg-root'))));
    return details;
  };

  // Ask before something that cannot be taken back; resolves to the answer.
  const confirm = (title, text, yes) => new Promise((resolve) => {
    const dialog = el('dialog', { class: 'dg-root dg-confirm', 'aria-label': title },
      el('h2', {}, title), el('p', {}, text),
      el('form', { method: 'dialog', class: 'dg-row' },
        el('button', { class: 'dg-btn', value: '' }, 'Cancel ', kbd('Esc')), el('button', { class: 'dg-btn pri', value: 'yes' }, yes)));
    dialog.addEventListener('close', () => { dialog.remove(); resolve(dialog.returnValue === 'yes'); });
    document.body.append(dialog);
    dialog.showModal();
  });

  return { el, svg, mount, keepFocus, confirm, kbd, turn, civ, value, worldGlyph, segments, facts, copy, GATE, long, fold, state, strip, neighbour, notice, guard, lie, command, exporting };
})();
