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

  // Draw now and after every change of the value. The root stays, so that listeners on it do too.
  const mount = (element, props, watch, draw) => {
    const root = element.querySelector('.dg-root');
    const again = () => { if (props.value) draw(root, props.value); };
    again();
    watch('value', again);
    return root;
  };

  const kbd = (key) => el('kbd', { 'aria-hidden': 'true' }, key);
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

  // Folded text: first lines, then a button. Opened once, it stays open for the rest of the visit.
  let unfolded = false;
  const fold = (text, maxLines) => {
    const lines = text.split('\n');
    if (lines.length <= maxLines) return el('pre', {}, text);
    const pre = el('pre', {});
    const button = el('button', { type: 'button', class: 'dg-link-button', 'data-key': 'o' });
    const show = () => {
      pre.textContent = unfolded ? text : lines.slice(0, maxLines).join('\n') + '\n…';
      button.replaceChildren(unfolded ? 'Fold ' : `${lines.length - maxLines} more lines `, kbd('o'));
      button.setAttribute('aria-expanded', String(unfolded));
    };
    button.addEventListener('click', () => { unfolded = !unfolded; show(); });
    show();
    return el('div', {}, pre, button);
  };

  return { el, mount, kbd, worldGlyph, segments, facts, copy, fold };
})();
