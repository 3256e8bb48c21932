// The browser's history. Who goes to another thing makes an entry; a step, a page, a filter or a setting writes over the
// present one, or else Back would be swamped. Back and Forward ask for the entry's address as a link does, and so may what
// nobody clicked: `over` numbers the question, its answer ends in "#" and the number and is written over the present
// entry, and until it comes no other answer is written there.
dg.entries = (() => {
  const THINGS = ['tab', 'task', 'tree', 'of', 'queue', 'like', 'run', 'cell', 'ver', 'job'];
  let opened = false;
  let asked = 0;
  let awaited = 0; // 0: nothing

  // Of a trajectory's steps, and of the items that Annotate goes through, none is a thing of its own.
  const thing = (query) => {
    const named = new URLSearchParams(query);
    const trajectory = named.get('tab') === 'annotate' ? '' : (named.get('t') || '').split('.')[0];
    return JSON.stringify([trajectory, ...THINGS.map((name) => named.get(name))]);
  };
  const isNew = (from, to) => thing(from) !== thing(to);

  const ask = (href, over) => {
    awaited = over ? ++asked : 0;
    return over ? `${href}&over=${awaited}` : href;
  };
  const write = (query, answered, url) => {
    if (awaited && answered !== awaited) return;
    const pushes = opened && !awaited && isNew(location.search, query);
    history[pushes ? 'pushState' : 'replaceState'](null, '', url);
    opened = true;
    awaited = 0;
  };
  window.addEventListener('popstate', () => dg.follow(location.search, true));

  return { isNew, ask, write };
})();
