// Models: each model's process, vLLM servers, the machine. Value: lab.viewmodels.models.models_value, asked for anew every
// two seconds while the tab is seen.
const { el } = dg;

const chip = (m) => el('span', { class: `dg-chip ${m.tint}` }, m.word);
const figure = (label, value) => el('div', { class: 'dg-fig' }, el('b', {}, String(value)), el('span', {}, label));

const model = (m) => el('section', { class: 'dg-model' },
  el('div', { class: 'dg-head' }, el('h3', {}, m.environment), chip(m), el('code', { class: 'dg-mono12' }, m.name)),
  el('p', { class: 'dg-meta' }, m.detail, m.pid ? `, process ${m.pid}` : '', m.reason ? ` · ${m.reason}` : ''),
  m.tokens !== undefined && el('div', { class: 'dg-figs' },
    figure('memory', m.memory), figure('replies', m.replies), figure('tokens written', m.tokens),
    figure('tokens a second', m.speed), figure('waiting', m.waiting)));

const halt = async (s) => {
  if (!s.ends || await dg.confirm(`Stop the server of ${s.model}?`, 'Runs and dreams that use it get an error.', 'Stop the server')) trigger('end', { server: s.number });
};
const served = (s, readOnly) => el('section', { class: 'dg-model' },
  el('div', { class: 'dg-head' }, el('h3', {}, s.model), chip(s),
    !readOnly && el('button', { type: 'button', class: 'dg-btn s', 'data-key': `halt-${s.number}`, onclick: () => halt(s) }, s.ends ? 'Stop' : 'Remove')),
  el('p', { class: 'dg-meta' }, [s.detail, s.pid && `process ${s.pid}`, s.memory !== '–' && s.memory, s.reason].filter(Boolean).join(' · ')),
  s.word === 'ready' && dg.command(s.use),
  s.log.length > 0 && el('details', { open: s.word === 'failed', 'data-log': s.number }, el('summary', {}, `Log: ${s.log_path}`),
    el('div', { class: 'dg-term' }, el('pre', { tabindex: '0', 'aria-label': `Log of ${s.model}` }, s.log.join('\n')))));

const part = (p) => [el('span', {}, p.name),
  p.percent === null ? el('span', { class: 'dg-meta' }, p.text) : el('div', { class: 'dg-bar', style: `--v:${p.percent}` }),
  el('span', { class: 'dg-num' }, p.percent === null ? '–' : p.text)];

const root = element.querySelector('.dg-root');
const lost = el('p', { class: 'dg-meta dg-bad', role: 'status' });
const body = el('div', { class: 'dg-models' });
root.append(body, lost);

const draw = (v) => {
  const before = new Map([...body.querySelectorAll('[data-log]')].map((d) => [d.dataset.log, d.open]));
  dg.keepFocus(body, () => body.replaceChildren(
    el('section', {}, el('h2', {}, 'Bundled models'), v.models.map(model)),
    el('section', {}, el('div', { class: 'dg-head' }, el('h2', {}, 'This machine'), el('span', { class: 'dg-meta' }, `at ${v.at}`)),
      el('div', { class: 'dg-resources' }, v.parts.flatMap(part))),
    el('section', {}, el('h2', {}, 'vLLM servers'),
      v.read_only && el('p', { class: 'dg-meta' }, v.read_only),
      v.empty && el('div', { class: 'dg-first' }, el('p', {}, v.empty), dg.command(v.by_hand)),
      v.servers.map((s) => served(s, v.read_only)))));
  for (const details of body.querySelectorAll('[data-log]')) if (before.has(details.dataset.log)) details.open = before.get(details.dataset.log);
};

if (props.value) draw(props.value);
watch('value', () => { if (props.value) draw(props.value); });
dg.live.on('models-lost', 'models', (v) => { lost.textContent = v.text; });
dg.live.poll('models', 'models-lost', props, watch, () => server.tick({}), (asked, answer) => draw(answer));
