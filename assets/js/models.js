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
  s.word === 'ready' && el('div', { class: 'dg-figs' },
    figure('tokens a second', s.speed), figure('being answered', s.running), figure('waiting', s.waiting)),
  s.word === 'ready' && dg.command(s.use),
  s.log.length > 0 && el('details', { open: s.word === 'failed', 'data-log': s.number }, el('summary', {}, `Log: ${s.log_path}`),
    el('div', { class: 'dg-term' }, el('pre', { tabindex: '0', 'aria-label': `Log of ${s.model}` }, s.log.join('\n')))));

const act = (label, key, ask, run) => el('button', { type: 'button', class: 'dg-btn s', 'data-key': key, onclick: async () => { if (!ask || await dg.confirm(...ask)) run(); } }, label);
const promote = (name) => trigger('promote', { name });
const rollback = (name) => trigger('rollback', { name });
const score = (s) => el('tr', {}, el('td', {}, s.name), el('td', { class: 'dg-num' }, s.before), el('td', { class: 'dg-num' }, s.after),
  el('td', { class: 'dg-num' }, el('b', {}, s.change), s.interval && el('span', { class: 'dg-meta' }, ` ${s.interval}`)), el('td', { class: 'dg-num' }, String(s.num)));
const scores = (rows) => rows.length > 0 && el('table', { class: 'dg-plain dg-scores' },
  el('thead', {}, el('tr', {}, ['Right steps of', 'before', 'after', 'points', 'n'].map((h) => el('th', { scope: 'col' }, h)))), el('tbody', {}, rows.map(score)));
// A version or a job that an address can name: its heading is the link to it.
let chosen = '';
const section = (one, ...parts) => el('section', { class: 'dg-model', 'aria-current': one.href === chosen && 'true' }, ...parts);
const name = (one, text) => el('h3', {}, el('a', { href: one.href }, text));
const version = (v, readOnly) => section(v,
  el('div', { class: 'dg-head' }, name(v, v.id), v.in_use && el('span', { class: 'dg-chip ok' }, '✓ in use'), v.problem && el('span', { class: 'dg-chip bad' }, '✕ damaged'),
    !readOnly && !v.in_use && !v.problem && act('Promote', `promote-${v.id}`, ['Use this version?', 'The lab and new runs of this workspace dream with it; a roll back brings back what was before.', 'Promote'], () => promote(v.id)),
    !readOnly && !v.in_use && act('Discard', `discard-${v.id}`, ['Discard this version?', `It is no longer listed. Its folder stays; this brings it back: ${v.add_command}`, 'Discard'], () => trigger('discard', { name: v.id }))),
  el('p', { class: 'dg-meta' }, v.about), v.problem && el('p', { class: 'dg-bad' }, v.problem),
  scores(v.scores),
  v.command && dg.command(v.command));
const job = (j, readOnly) => section(j,
  el('div', { class: 'dg-head' }, name(j, `${j.kind}, ${j.id}`), chip(j),
    !readOnly && j.stops && act('Stop', `stop-${j.id}`, ['Stop this job?', 'It ends with a checkpoint, and can go on from there.', 'Stop'], () => trigger('stop_job', { name: j.id })),
    !readOnly && j.resumes && act('Resume', `resume-${j.id}`, null, () => trigger('resume_job', { name: j.id }))),
  el('p', { class: 'dg-meta' }, j.message), el('div', { class: 'dg-bar', role: 'img', 'aria-label': `${j.percent} %`, style: `--v:${j.percent}` }),
  scores(j.scores),
  j.log.length > 0 && el('details', { open: j.tint === 'bad', 'data-log': j.id }, el('summary', {}, 'Log'), el('div', { class: 'dg-term' }, el('pre', { tabindex: '0', 'aria-label': `Log of ${j.id}` }, j.log.join('\n')))),
  j.command && dg.command(j.command));

const part = (p) => [el('span', {}, p.name),
  p.percent === null ? el('span', { class: 'dg-meta' }, p.text) : el('div', { class: 'dg-bar', style: `--v:${p.percent}` }),
  el('span', { class: 'dg-num' }, p.percent === null ? '–' : p.text)];

const root = element.querySelector('.dg-root');
const lost = el('p', { class: 'dg-meta dg-bad', role: 'status' });
const body = el('div', { class: 'dg-models' });
root.append(body, lost);

const draw = (v) => {
  const before = new Map([...body.querySelectorAll('[data-log]')].map((d) => [d.dataset.log, d.open]));
  dg.keepFocus(body, () => body.replaceChildren(...[
    el('section', {}, el('h2', {}, 'Models'), v.models.map(model)),
    el('section', {}, el('div', { class: 'dg-head' }, el('h2', {}, 'This machine'), el('span', { class: 'dg-meta' }, `at ${v.at}`)),
      el('div', { class: 'dg-resources' }, v.parts.flatMap(part))),
    el('section', {}, el('div', { class: 'dg-head' }, el('h2', {}, 'Versions'),
      v.versions.in_use.map((one) => !v.read_only && act(`Roll back ${one.environment}`, `back-${one.environment}`, [`Roll back ${one.environment}?`, `${one.id} goes out of use, and what dreamed before it comes back.`, 'Roll back'], () => rollback(one.environment)))),
      v.versions.behind.map((text) => el('p', { class: 'dg-warned', role: 'status' }, text)),
      v.versions.rows.length ? v.versions.rows.map((one) => version(one, v.read_only))
        : el('p', { class: 'dg-meta' }, 'The bundled models are in use. A repair from annotations (Annotate) or a hardening round (Compare, Exploits) makes a version, which is measured here before anybody uses it.')),
    v.jobs.length > 0 && el('section', {}, el('h2', {}, 'Repairs and hardening rounds'), v.jobs.map((one) => job(one, v.read_only))),
    el('section', {}, el('h2', {}, 'vLLM servers'),
      v.read_only && el('p', { class: 'dg-meta' }, v.read_only),
      v.empty && el('div', { class: 'dg-first' }, el('p', {}, v.empty), dg.command(v.by_hand)),
      v.servers.map((s) => served(s, v.read_only)))].filter(Boolean)));
  for (const details of body.querySelectorAll('[data-log]')) if (before.has(details.dataset.log)) details.open = before.get(details.dataset.log);
};

// Only the answer to an address says what is chosen; a look at what is new leaves it, and the page where it stands.
const open = () => {
  if (!props.value) return;
  const isAddress = props.value.chosen !== undefined;
  if (isAddress) chosen = props.value.chosen;
  draw(props.value);
  if (isAddress) requestAnimationFrame(() => body.querySelector('section[aria-current]')?.scrollIntoView({ block: 'nearest' }));
};
open();
watch('value', open);
dg.live.on('models-lost', 'models', (v) => { lost.textContent = v.text; });
dg.live.poll('models', 'models-lost', props, watch, () => server.tick({}), (asked, answer) => draw(answer));
