// A file that the browser makes of a text: { name, type, text, number }. Nothing is left on the server, and nothing shown.
watch('value', () => {
  const v = props.value;
  if (!v) return;
  const url = URL.createObjectURL(new Blob([v.text], { type: v.type }));
  dg.el('a', { href: url, download: v.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
});
