// The page: a conversation, whose words show the experts that read them.
// @ts-check
import { Load, choicesOf, hueOf } from './experts.js';
import { Refusal, get, setKey, stream } from './server.js';

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
// What is known of each token that is shown: its element, its text, what else was likely, and its routing once it is read.
/** @type {{element: HTMLElement, entry: any, routed: any, index: number}[]} */
let shown = [];

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

/** @param {string} role @param {string} text */
function addTurn(role, text) {
  const turn = document.createElement('p');
  turn.className = `turn ${role}`;
  const who = document.createElement('span');
  who.className = 'who';
  who.textContent = role === 'user' ? 'you' : model.id;
  turn.append(who, text);
  at('log').append(turn);
  at('log').scrollTop = at('log').scrollHeight;
  return turn;
}

/** What the next answer is to be made of. */
function request() {
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
  if (!load) return body;
  body.routed_experts = true;
  const masked = load.asRequest(), topk = Number(at('topk').value);
  const changes = {
    ...(masked ? { masked } : {}),
    ...(topk && topk !== model.mixture.experts_per_tok ? { experts_per_tok: topk } : {}),
    ...(at('shared').checked ? {} : { shared: false }),
  };
  if (Object.keys(changes).length > 0) body.intervention = changes;
  return body;
}

/** @param {boolean} busy */
function setBusy(busy) {
  at('send').disabled = busy;
  at('stop').disabled = !busy;
  at('retry').disabled = at('edit').disabled = busy || messages.length === 0;
}

async function answer() {
  running = new AbortController();
  setBusy(true);
  at('status').textContent = 'reading …';
  const turn = addTurn('assistant', '');
  const message = { role: 'assistant', content: '' };
  const started = performance.now();
  /** @type {typeof shown} */
  const tokens = [];
  const characters = new TextDecoder();  // a character may be cut over tokens: the last of them shows it
  let prompt = -1;  // tokens of the prompt, known with the first routing
  try {
    for await (const event of stream('v1/chat/completions', request(), running.signal)) {
      if (event.usage) at('status').textContent = summary(event.usage, started);
      const choice = event.choices[0];
      if (!choice) continue;
      if (choice.delta.content) message.content += choice.delta.content;
      for (const entry of choice.logprobs?.content ?? []) tokens.push(addToken(turn, entry, characters));
      if (choice.routed_experts) {
        if (prompt < 0) prompt = choice.routed_experts.layers * choice.routed_experts.slots
          ? choice.routed_experts.experts.length / (choice.routed_experts.layers * choice.routed_experts.slots) : 0;
        route(choice.routed_experts, tokens, prompt);
      }
      at('log').scrollTop = at('log').scrollHeight;
    }
  } catch (error) {
    const left = /** @type {Error} */ (error);
    at('status').textContent = left.name === 'AbortError' ? 'stopped' : left.message;
    if (error instanceof Refusal && error.status === 401) askForKey();
  }
  messages.push(message);
  running = null;
  setBusy(false);
}

/** @param {any} usage @param {number} started */
function summary(usage, started) {
  const seconds = (performance.now() - started) / 1000;
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  return `${usage.prompt_tokens} tokens read (${cached} known already), ${usage.completion_tokens} written in ${seconds.toFixed(1)} s`;
}

/** @param {HTMLElement} turn @param {any} entry @param {TextDecoder} characters */
function addToken(turn, entry, characters) {
  const element = document.createElement('span');
  element.className = 'token';
  element.textContent = characters.decode(new Uint8Array(entry.bytes), { stream: true });
  const token = { element, entry, routed: null, index: 0 };
  element.addEventListener('pointerenter', () => describe(token));
  element.addEventListener('click', () => describe(token));
  turn.append(element);
  shown.push(token);
  return token;
}

/**
 * Routing comes when a token is read, a step after it was written: the prompt's first, then one by one.
 * @param {any} routed @param {typeof shown} tokens @param {number} prompt
 */
function route(routed, tokens, prompt) {
  load?.add(routed);
  const count = routed.experts.length / (routed.layers * routed.slots);
  for (let t = 0; t < count; ++t) {
    const token = tokens[routed.first + t - prompt];
    if (!token) continue;
    token.routed = routed;
    token.index = t;
    colour(token);
  }
}

/** @param {typeof shown[0]} token */
function colour(token) {
  if (!token.routed) return;
  const first = choicesOf(token.routed, token.index, Number(at('layer').value))[0];
  if (!first) return;
  token.element.classList.add('routed');
  token.element.style.setProperty('--hue', String(hueOf(first.expert)));
}

/** @param {typeof shown[0]} token */
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
  shown = [];
  at('log').replaceChildren();
  load?.reset();
  setBusy(false);
});
at('layer').addEventListener('change', () => shown.forEach(colour));
at('restore').addEventListener('click', () => {
  load?.restore();
  at('shared').checked = true;
  if (model?.mixture) at('topk').value = model.mixture.experts_per_tok;
});

open();
