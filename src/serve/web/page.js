// The page: a conversation, whose words show the experts that read them.
// @ts-check
import { Answer, markParting } from './answer.js';
import { Load, choicesOf } from './experts.js';
import { Refusal, get, setKey } from './server.js';

/** @typedef {import('./answer.js').Token} Token */
/** What a request changes about the experts: masked, experts_per_tok, shared. @typedef {Record<string, any>} Change */

/** @param {string} id @returns {any} */
const at = (id) => document.getElementById(id);

/** @type {{role: string, content: string}[]} */
let messages = [];
/** @type {AbortController | null} */
let running = null;
/** @type {any} */
let model = null;
/** @type {Load | null} */
let load = null;
/** @type {Answer[]} */
let answers = [];
/** What the first one of two answers side by side is made with. @type {Change} */
let leftChange = {};

/** @type {import('./answer.js').View} */
const view = {
  layer: () => Number(at('layer').value),
  describe,
  routed: (routed) => load?.add(routed),
  grown: () => (at('log').scrollTop = at('log').scrollHeight),
};

async function open() {
  try {
    model = (await get('v1/models')).data[0];
  } catch (error) {
    if (error instanceof Refusal && error.status === 401) return askForKey();
    at('status').textContent = String(/** @type {Error} */ (error).message);
    if (error instanceof Refusal && error.status === 503) setTimeout(open, 1000);
    return;
  }
  at('status').textContent = '';
  at('name').textContent = model.id;
  document.title = `${model.id}, dsmoe`;
  const m = model.mixture;
  at('facts').textContent = m
    ? `${m.layers.length} mixture layers of ${m.experts} routed experts, ${m.experts_per_tok} for a token, and ${m.shared} shared; context ${model.max_model_len}`
    : `a dense model; context ${model.max_model_len}`;
  at('experts').hidden = !m;
  if (!m || load) return;
  for (const layer of m.layers) at('layer').add(new Option(String(layer), String(at('layer').length)));
  at('topk').max = at('topk').value = m.experts_per_tok;
  load = new Load(at('heat'), m, () => (at('status').textContent = 'The next answer is made without the experts that are off.'));
}

function askForKey() {
  at('key-dialog').showModal();
  at('key-dialog').addEventListener('close', () => {
    setKey(at('key').value);
    open();
  }, { once: true });
}

/** @param {string} role @param {string} text @param {HTMLElement} [place] @param {string} [name] */
function addTurn(role, text, place = at('log'), name = role === 'user' ? 'you' : model.id) {
  const turn = document.createElement('p');
  turn.className = `turn ${role}`;
  const who = document.createElement('span');
  who.className = 'who';
  who.textContent = name;
  turn.append(who, text);
  place.append(turn);
  at('log').scrollTop = at('log').scrollHeight;
  return turn;
}

/** What the switches change. @returns {Change} */
function change() {
  if (!load) return {};
  const masked = load.asRequest(), topk = Number(at('topk').value);
  return {
    ...(masked ? { masked } : {}),
    ...(topk && topk !== model.mixture.experts_per_tok ? { experts_per_tok: topk } : {}),
    ...(at('shared').checked ? {} : { shared: false }),
  };
}

/** A change in words. @param {Change} change */
function wordsOf(change) {
  const off = Object.values(change.masked ?? {}).flat().length;
  const parts = [
    ...(off ? [`${off} ${off === 1 ? 'expert' : 'experts'} off`] : []),
    ...(change.experts_per_tok ? [`${change.experts_per_tok} of ${model.mixture.experts_per_tok} for a token`] : []),
    ...(change.shared === false ? ['none shared'] : []),
  ];
  return parts.join(', ') || 'all experts on';
}

/** What the next answer is to be made of. @param {Change} change */
function request(change) {
  const system = at('system').value ? [{ role: 'system', content: at('system').value }] : [];
  /** @type {any} */
  const body = {
    model: model.id,
    messages: [...system, ...messages],
    temperature: Number(at('temperature').value),
    top_p: Number(at('top_p').value),
    max_tokens: Number(at('max_tokens').value),
    logprobs: true,
    top_logprobs: 5,
    stream: true,
    stream_options: { include_usage: true },
  };
  if (at('seed').value !== '') body.seed = Number(at('seed').value);
  if (load) body.routed_experts = true;
  if (Object.keys(change).length > 0) body.intervention = change;
  return body;
}

/** @param {boolean} busy */
function setBusy(busy) {
  at('send').disabled = busy;
  at('stop').disabled = !busy;
  at('retry').disabled = at('edit').disabled = at('compare').disabled = busy || messages.length === 0;
}

/**
 * Answers that are written at the same time, into turns that are there; the last one is what the conversation goes on with.
 * @param {HTMLElement[]} turns @param {object[]} bodies
 */
async function answerInto(turns, bodies) {
  running = new AbortController();
  setBusy(true);
  at('status').textContent = 'reading …';
  const started = performance.now();
  const made = turns.map((turn) => new Answer(turn, view));
  answers.push(...made);
  try {
    const { signal } = running;
    await Promise.all(made.map((one, i) => one.read(bodies[i], signal)));
    at('status').textContent = made.length === 2 ? markParting(made[0], made[1]) : summary(made[0].usage, started);
  } catch (error) {
    running.abort();
    const left = /** @type {Error} */ (error);
    at('status').textContent = left.name === 'AbortError' ? 'stopped' : left.message;
    if (error instanceof Refusal && error.status === 401) askForKey();
  }
  messages.push({ role: 'assistant', content: made[made.length - 1].text });
  running = null;
  setBusy(false);
}

function answer() {
  return answerInto([addTurn('assistant', '')], [request(change())]);
}

/** The last question answered twice from the same seed: with the first switches and with the present ones. */
function answerSideBySide() {
  const right = change();
  if (JSON.stringify(right) === JSON.stringify(leftChange)) {
    at('status').textContent = 'Both sides would be the same: switch something first.';
    return;
  }
  takeBack();
  const pair = document.createElement('div');
  pair.className = 'pair';
  pair.setAttribute('role', 'group');
  pair.setAttribute('aria-label', 'Two answers side by side');
  at('log').append(pair);
  const sides = [leftChange, right];
  const seed = Math.floor(Math.random() * 2 ** 31);
  answerInto(
    sides.map((side) => addTurn('assistant', '', pair, wordsOf(side))),
    sides.map((side) => ({ seed, ...request(side) })),
  );
}

/** @param {any} usage @param {number} started */
function summary(usage, started) {
  if (!usage) return '';
  const seconds = (performance.now() - started) / 1000;
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  return `${usage.prompt_tokens} tokens read (${cached} known already), ${usage.completion_tokens} written in ${seconds.toFixed(1)} s`;
}

/** @param {Token} token */
function describe(token) {
  for (const other of document.querySelectorAll('.token.chosen')) other.classList.remove('chosen');
  token.element.classList.add('chosen');
  const layer = Number(at('layer').value);
  const experts = token.routed
    ? choicesOf(token.routed, token.index, layer).map(({ expert, affinity }) => `expert ${expert} (${affinity.toFixed(3)})`).join(', ')
    : 'not read by the model yet';
  const likely = token.entry.top_logprobs
    .map((/** @type {any} */ one) => `${JSON.stringify(one.token)} ${(100 * Math.exp(one.logprob)).toFixed(1)} %`)
    .join(', ');
  const chance = (100 * Math.exp(token.entry.logprob)).toFixed(1);
  at('word').textContent =
    `${JSON.stringify(token.entry.token)}, ${chance} % likely\nlayer ${model.mixture?.layers[layer] ?? '–'}: ${experts}\nlikeliest: ${likely}`;
}

/** @param {string} text */
function ask(text) {
  messages.push({ role: 'user', content: text });
  addTurn('user', text);
  answer();
}

/** Takes the last answer back, and returns the question before it. */
function takeBack() {
  while (messages.length > 0 && messages[messages.length - 1].role === 'assistant') {
    messages.pop();
    at('log').lastElementChild?.remove();
  }
  return messages[messages.length - 1]?.content ?? '';
}

at('ask').addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault();
  const text = at('question').value;
  if (!text.trim() || running || !model) return;
  at('question').value = '';
  ask(text);
});
at('question').addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    at('ask').requestSubmit();
  }
});
at('stop').addEventListener('click', () => running?.abort());
at('retry').addEventListener('click', () => {
  takeBack();
  answer();
});
at('edit').addEventListener('click', () => {
  at('question').value = takeBack();
  messages.pop();
  at('log').lastElementChild?.remove();
  setBusy(false);
  at('question').focus();
});
at('clear').addEventListener('click', () => {
  running?.abort();
  messages = [];
  answers = [];
  at('log').replaceChildren();
  load?.reset();
  setBusy(false);
});
at('layer').addEventListener('change', () => answers.forEach((one) => one.colour()));
at('restore').addEventListener('click', () => {
  load?.restore();
  at('shared').checked = true;
  if (model?.mixture) at('topk').value = model.mixture.experts_per_tok;
});
at('pin').addEventListener('click', () => {
  leftChange = change();
  at('sides').textContent = `First: ${wordsOf(leftChange)}. Second: the switches as they are then.`;
});
at('compare').addEventListener('click', answerSideBySide);

open();
