// What a page shows more of: switched in the browser, as nothing is read for it, and said by the addresses of the tabs that
// have it, e.g. `&tint=on`. A switch stays as it is when a link is followed; the tint is also kept for the next visit.
dg.switches = (() => {
  const TABS = { tint: ['inspect', 'dream'], reply: ['inspect'] };
  const KEPT = ['tint'];
  const page = document.documentElement.dataset;
  const key = (name) => `dg${name[0].toUpperCase()}${name.slice(1)}`;
  const isOn = (name) => page[key(name)] === 'on';
  const put = (name, on) => { if (on) page[key(name)] = 'on'; else delete page[key(name)]; };

  const kept = (name) => { try { return KEPT.includes(name) && localStorage.getItem(`dg-${name}`) === 'on'; } catch { return false; /* no storage */ } };
  const asked = new URLSearchParams(location.search);
  Object.keys(TABS).forEach((name) => put(name, asked.get(name) === 'on' || kept(name)));

  const listeners = [];
  const turn = (name) => {
    put(name, !isOn(name));
    try { if (KEPT.includes(name)) localStorage.setItem(`dg-${name}`, page[key(name)] || ''); } catch { /* kept for this visit */ }
    listeners.forEach((each) => each());
  };
  // What an address says behind the rest.
  const query = (tab) => Object.keys(TABS).filter((name) => TABS[name].includes(tab) && isOn(name)).map((name) => `&${name}=on`).join('');

  return { isOn, turn, query, onTurn: (listener) => listeners.push(listener) };
})();
