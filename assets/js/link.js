// The one place where a link inside the lab is followed. Every <a href="?tab=…"> stays a real link (new tab, copy); a plain
// click asks the server for the new selection. The link travels as this component's value and not with the event: of
// several clicks during one answer Gradio repeats the first event, but reads the value again.
dg.follow = (href, over = false) => { // over: a whole address, whose answer makes no entry in the history
  dg.lastLink = href;
  props.value = dg.entries.ask(href, over);
  trigger('go');
};

document.addEventListener('click', (event) => {
  const a = event.target.closest?.('a[href^="?"]');
  if (!a || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  dg.follow(a.getAttribute('href'));
});
