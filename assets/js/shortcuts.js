// Keyboard: one listener. A key clicks a real control, so that nothing can be done with a key that cannot be seen.
// Elements that our components draw name their key with data-key; Gradio's own controls cannot carry that and are
// listed with their element id. An entry without a tab works everywhere.
dg.shortcuts = [
  { keys: ['1', '2', '3', '4', '5', '6', '7', '8'], help: 'Home, Inspect, Dream, Compare, Curriculum, Train, Annotate, Models; in Annotate they mark errors' },
  { keys: ['y'], help: 'Copy the link to what is shown' },
  { keys: ['z'], help: 'Saved views' },
  { keys: ['?'], help: 'Show this list' },
  { keys: ['Esc'], help: 'Leave a field, close this list' },
  { tab: 'inspect', keys: ['j', 'k'], help: 'Next, previous row of the list' },
  { tab: 'inspect', keys: ['→', '←'], help: 'Next, previous step of the episode' },
  { tab: 'inspect', keys: ['/'], help: 'Search', focus: 'dg-search' },
  { tab: 'inspect', keys: ['t'], help: 'Transitions or trajectories', toggle: 'dg-rows' },
  { tab: 'inspect', keys: ['f'], help: 'Go to the filters', focus: 'dg-filter-world' },
  { tab: 'inspect', keys: ['x'], help: 'Clear all filters' },
  { tab: 'inspect', keys: ['o'], help: 'Fold or unfold long texts' },
  { tab: 'inspect', keys: ['v'], help: 'Next state against the state before, or plain' },
  { tab: 'inspect', keys: ['[', ']'], help: 'Previous, next page of the list' },
  { tab: 'inspect', keys: ['w'], help: 'Tint each token by its probability' },
  { tab: 'inspect', keys: ['r'], help: 'The raw reply of the experience model' },
  { tab: 'inspect', keys: ['i'], help: 'Copy the step as JSON' },
  { tab: 'inspect', keys: ['m'], help: 'Microscope: dream the step again' },
  { tab: 'inspect', keys: ['e'], help: 'Leave each demonstration out in turn' },
  { tab: 'inspect', keys: ['l'], help: 'Dream it many times by chance' },
  { tab: 'inspect', keys: ['c'], help: 'Compare with the other world' },
  { tab: 'inspect', keys: ['d'], help: 'Dream on from here' },
  { tab: 'inspect', keys: ['a'], help: 'Annotate the step' },
  { tab: 'dream', keys: ['/'], help: 'Type an action', focus: 'dg-action' },
  { tab: 'dream', keys: ['Enter'], help: 'Dream the typed action' },
  { tab: 'dream', keys: ['p', 'e'], help: 'Let the policy, or the expert, play on' },
  { tab: 'dream', keys: ['q'], help: 'Stop what plays on' },
  { tab: 'dream', keys: ['u'], help: 'Undo the last step of the branch' },
  { tab: 'dream', keys: ['b'], help: 'Go back a step, to try another action; the branch stays' },
  { tab: 'dream', keys: ['c'], help: 'Compare two branches, or close the comparison' },
  { tab: 'dream', keys: ['o'], help: 'Fold or unfold long texts' },
  { tab: 'dream', keys: ['w'], help: 'Tint each token by its probability' },
  { tab: 'dream', keys: ['a'], help: 'Annotate the step' },
  { tab: 'dream', keys: ['s'], help: 'Save the trajectory' },
  { tab: 'dream', keys: ['r'], help: 'Replay in the real engine, and compare' },
  { tab: 'compare', keys: ['n'], help: 'Next step where the worlds differ' },
  { tab: 'compare', keys: ['j', 'k'], help: 'Next, previous trajectory' },
  { tab: 'compare', keys: ['→', '←'], help: 'Next, previous step' },
  { tab: 'compare', keys: ['i'], help: 'Open in Inspect' },
  { tab: 'compare', keys: ['h'], help: 'Save the comparison as one HTML file' },
  { tab: 'compare', keys: ['d'], help: 'Dream on from here' },
  { tab: 'curriculum', keys: ['→', '←', '↑', '↓'], help: 'Move in the heatmap; Enter opens a cell' },
  { tab: 'curriculum', keys: ['[', ']'], help: 'Earlier, later iterations' },
  { tab: 'curriculum', keys: ['f'], help: 'Families or clusters' },
  { tab: 'curriculum', keys: ['g'], help: 'Generate variations of the chosen task' },
  { tab: 'curriculum', keys: ['l'], help: 'Launch a run on the ticked tasks' },
  { tab: 'curriculum', keys: ['p'], help: 'Pin the ticked tasks into the run' },
  { tab: 'train', keys: ['j', 'k'], help: 'Next, previous run' },
  { tab: 'train', keys: ['/'], help: 'Find a run', focus: 'dg-run-find' },
  { tab: 'train', keys: ['x'], help: 'Clear the filters' },
  { tab: 'train', keys: ['r'], help: 'Rollouts of the last iteration' },
  { tab: 'train', keys: ['[', ']'], help: 'Rollouts of the previous, next iteration' },
  { tab: 'train', keys: ['n'], help: 'New run: go to the presets', focus: 'dg-train-preset' },
  { tab: 'train', keys: ['l'], help: 'Launch the run whose command is shown' },
  { tab: 'annotate', keys: ['1', '…', '8'], help: 'Mark an error, at the selected text if there is some; again: take it off' },
  { tab: 'annotate', keys: ['h'], help: 'Mark a place by keyboard; again: in the next text' },
  { tab: 'annotate', keys: ['←', '→', 'Shift+←', 'Shift+→'], help: 'The word before, the next one; with Shift take it in, or leave it out; Esc ends' },
  { tab: 'annotate', keys: ['a', 's', 'd', 'f'], help: 'Rate an axis, then', also: ['0', '1', '2'] },
  { tab: 'annotate', keys: ['e', 'r', 'n'], help: 'Write the correct next state, the reasoning, a note; Esc leaves the field' },
  { tab: 'annotate', keys: ['Enter'], help: 'Submit and next; Ctrl+Enter in a field' },
  { tab: 'annotate', keys: ['c'], help: 'Nothing is wrong: say so, and next' },
  { tab: 'annotate', keys: ['x', 'u'], help: 'Leave it for later; take the last answer back' },
  { tab: 'annotate', keys: ['v'], help: 'What the real engine says, after your answer' },
  { tab: 'annotate', keys: ['m'], help: 'More steps like this one' },
  { tab: 'annotate', keys: ['p'], help: 'Say of the ticked steps what was said of the one that they resemble' },
  { tab: 'annotate', keys: ['w'], help: 'Correct the reward', focus: 'dg-correct-reward' },
  { tab: 'annotate', keys: ['t', 'o', 'k'], help: 'Correct: done, solved; no correction' },
  { tab: 'annotate', keys: ['q'], help: 'Choose a queue', focus: 'dg-queue' },
  { tab: 'models', keys: ['n'], help: 'New vLLM server: name its model', focus: 'dg-server-model' },
];

(() => {
  const names = { ArrowRight: '→', ArrowLeft: '←', ArrowUp: '↑', ArrowDown: '↓', Escape: 'Esc' };
  // A radio button or a closed list takes no text, so that keys go on working after a choice with the mouse.
  const typing = (node) => Boolean(node?.closest?.('textarea, select, [contenteditable=true]'))
    || (node?.matches?.('input:not([type=radio], [type=checkbox], [type=range])') && !(node.readOnly && node.ariaExpanded === 'false'));
  const visible = (node) => node.getClientRects().length > 0;
  const currentTab = () => document.documentElement.dataset.dgTab || 'home';

  const openTab = (number) => {
    const buttons = [...document.querySelectorAll('#dg-tabs [role=tab]')].filter(visible);
    buttons[number - 1]?.click();
  };

  dg.help = () => {
    document.getElementById('dg-help')?.remove();
    const groups = Map.groupBy(dg.shortcuts, (s) => s.tab || 'everywhere');
    const dialog = dg.el('dialog', { id: 'dg-help', class: 'dg-root', 'aria-label': 'Keyboard shortcuts' },
      dg.el('h2', {}, 'Keyboard'),
      dg.el('div', { class: 'dg-sections' }, [...groups].map(([group, entries]) => dg.el('section', {},
        dg.el('h3', {}, group === 'everywhere' ? 'Everywhere' : group[0].toUpperCase() + group.slice(1)),
        dg.el('dl', {}, entries.map((s) => [dg.el('dt', {}, s.keys.map((k) => dg.kbd(k))), dg.el('dd', {}, s.help, s.also?.map((k) => [' ', dg.kbd(k)]))]))))),
      dg.el('p', { class: 'dg-meta' }, 'No key acts while you type. A link opens in a new tab as on any page.'),
      dg.el('form', { method: 'dialog' }, dg.el('button', { class: 'dg-btn' }, 'Close ', dg.kbd('Esc'))));
    dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
    document.body.append(dialog);
    dialog.showModal();
  };

  const act = (key) => {
    if (key === '?') return dg.help(), true;
    const control = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find(visible);
    if (control) return control.click(), true;
    if (/^[1-8]$/.test(key)) return openTab(Number(key)), true;
    const entry = dg.shortcuts.find((s) => s.keys.includes(key) && (!s.tab || s.tab === currentTab()) && (s.focus || s.click || s.toggle));
    const node = entry && document.getElementById(entry.focus || entry.click || entry.toggle);
    if (!node || !visible(node)) return false;
    if (entry.toggle) return node.querySelector('label:not(.selected)')?.click(), true;
    const target = node.matches('button,input,textarea,select') ? node : node.querySelector('input,textarea,button');
    if (entry.focus) target?.focus(); else target?.click();
    return Boolean(target);
  };

  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector('dialog[open]')) return;
    const key = `${event.shiftKey && /^Arrow[LR]/.test(event.key) ? 'Shift+' : ''}${names[event.key] || event.key}`;
    if (typing(event.target)) {
      if (key === 'Esc' || (key === 'Enter' && event.target.closest('#dg-search, #dg-run-find'))) event.target.blur();
      return;
    }
    if (key === 'Enter' && event.target.closest?.('a, button, summary, [role=button]')) return;
    // The arrows belong to a widget that uses them itself.
    if (/[←→↑↓]/.test(key) && event.target.closest?.('[role=tab], [role=radio], [role=slider], [role=listbox], [role=combobox], [role=grid], input')) return;
    if (act(key)) event.preventDefault();
  });
})();
