// How sure the model was of each token: one switch for Inspect, its microscope and Dream. Both ways of showing a text stand on
// the page, and the switch says which is seen. Value of a tint: lab.viewmodels.tint.tint_view.
dg.tint = (() => {
  const { el, kbd } = dg;
  const DOUBTFUL = 5;
  const turn = () => {
    dg.switches.turn('tint');
    document.querySelectorAll('.dg-tint-switch').forEach((each) => each.setAttribute('aria-pressed', String(dg.switches.isOn('tint'))));
  };
  const button = () => el('button', { type: 'button', class: 'dg-btn s dg-tint-switch', 'data-key': 'w', 'aria-pressed': String(dg.switches.isOn('tint')), onclick: turn }, 'Tint: confidence ', kbd('w'));

  // Colour, underline and the figure at the pointer are for the eye; of a doubtful token the figure is read out too. The
  // space before a word stays white, and a space that was a guess gets a sign.
  const token = ([text, figure, bin], place, isListed) => {
    const doubt = bin < DOUBTFUL, blank = !text.trim();
    const word = blank ? text : text.trimStart();
    return [blank ? '' : text.slice(0, text.length - word.length), el('span', {
      class: `dg-tok t${bin}${doubt ? ' doubt' : ''}`, 'data-place': place, 'data-figure': figure, tabindex: isListed ? '0' : null,
    }, doubt && blank && el('i', { 'aria-hidden': 'true' }, text.includes('\n') ? '↵' : '␣'), word,
    doubt && el('span', { class: 'dg-sr' }, ` (${figure}) `))];
  };

  const tokens = (tint, part) => {
    const listed = new Set(tint.least.map((each) => each.place));
    return tint.parts[part].map((piece, at) => token(piece, `${part}-${at}`, listed.has(`${part}-${at}`)));
  };
  // What is too long to be drawn at once is not tinted either: a token has an element of its own.
  const isShort = (pieces) => pieces.reduce((sum, [text]) => sum + text.length, 0) <= dg.GATE;
  const has = (tint, part) => Boolean(tint?.parts?.[part]) && isShort(tint.parts[part]);

  // What is seen without the tint, and the same text as tokens; where no tokens are known it stays as it is.
  // A state that was refused stays beside what the reply says.
  const text = (tint, part, plain, makeTinted) => {
    if (!has(tint, part)) return plain;
    const keeps = part === 'state' && tint.refused;
    return [el('div', { class: keeps ? null : 'dg-when-plain' }, plain),
      el('div', { class: 'dg-when-tinted' }, keeps && el('p', { class: 'dg-meta' }, 'The reply says:'), makeTinted(tokens(tint, part)))];
  };

  // That a state is shown against another one is so without the tint.
  const against = (tint, label) => el('span', { class: has(tint, 'state') && !tint.refused ? 'dg-when-plain' : null }, label);

  const written = (tint) => has(tint, 'reward') && el('p', { class: 'dg-when-tinted dg-meta' },
    'As written: reward ', el('code', {}, tokens(tint, 'reward')), ', done ', el('code', {}, tokens(tint, 'done')));

  const jump = (place) => (event) => {
    const found = event.currentTarget.closest('.dg-root').querySelector(`[data-place="${place}"]`);
    found?.closest('.dg-fold')?.querySelector('[aria-expanded=false]:not([hidden])')?.click();
    found?.focus({ preventScroll: true });
    found?.scrollIntoView({ block: 'center' });
  };
  const least = (tint) => (tint.least.length
    ? el('ol', { class: 'dg-least', 'aria-label': 'Least sure tokens' }, tint.least.map((each) => el('li', {},
      el('button', { type: 'button', class: 'dg-btn s', title: `Go to it in the ${each.part}`, onclick: jump(each.place) },
        el('code', {}, each.text), ' ', el('b', {}, each.figure), ' ', el('span', { class: 'dg-meta' }, each.part)))))
    : el('p', { class: 'dg-meta' }, 'Every token had at least 90 %.'));

  const legend = () => el('p', { class: 'dg-legend' }, el('span', {}, 'probability of a token, %'),
    el('span', { class: 'dg-scale' }, [...Array(10).keys()].map((bin) => el('span', { class: `dg-tok t${bin}${bin < DOUBTFUL ? ' doubt' : ''}` }, bin === 9 ? '90–100' : String(10 * bin)))),
    el('span', {}, 'underlined: under 50'));

  // The legend and where the model guessed, or why there is nothing to tint; seen while the tint is on.
  const summary = (tint) => (tint.why ? el('p', { class: 'dg-meta', role: 'note' }, tint.why) : [legend(), least(tint)]);

  return { button, text, against, written, summary };
})();
