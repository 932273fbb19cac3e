// One answer as it comes: its words, what else was likely, and the experts that read them.
// @ts-check
import { choicesOf, hueOf } from './experts.js';
import { stream } from './server.js';

/**
 * A token that is shown: its element, its entry of the log-probabilities, and its routing once it is read.
 * @typedef {{element: HTMLElement, entry: any, routed: any, index: number}} Token
 */
/**
 * What an answer asks of the page: the layer that colours words, and to hear of words that are pointed at, routing and growth.
 * @typedef {{layer: () => number, describe: (token: Token) => void, routed: (routed: any) => void, grown: () => void}} View
 */

export class Answer {
  /** @param {HTMLElement} turn @param {View} view */
  constructor(turn, view) {
    this.turn = turn;
    this.view = view;
    /** @type {Token[]} */
    this.tokens = [];
    this.text = '';
    /** @type {any} */
    this.usage = null;
    this.characters = new TextDecoder();  // a character may be cut over tokens: the last of them shows it
    this.prompt = -1;  // tokens of the prompt, known with the first routing
  }

  /** Asks for it and shows it. @param {object} body @param {AbortSignal} signal */
  async read(body, signal) {
    for await (const event of stream('v1/chat/completions', body, signal)) {
      if (event.usage) this.usage = event.usage;
      const choice = event.choices[0];
      if (!choice) continue;
      if (choice.delta.content) this.text += choice.delta.content;
      for (const entry of choice.logprobs?.content ?? []) this.addToken(entry);
      if (choice.routed_experts) this.route(choice.routed_experts);
      this.view.grown();
    }
  }

  /** @param {any} entry */
  addToken(entry) {
    const element = document.createElement('span');
    element.className = 'token';
    element.textContent = this.characters.decode(new Uint8Array(entry.bytes), { stream: true });
    const token = { element, entry, routed: null, index: 0 };
    element.addEventListener('pointerenter', () => this.view.describe(token));
    element.addEventListener('click', () => this.view.describe(token));
    this.turn.append(element);
    this.tokens.push(token);
  }

  /** Routing comes when a token is read, a step after it was written: the prompt's first, then one by one. @param {any} routed */
  route(routed) {
    this.view.routed(routed);
    const picks = routed.layers * routed.slots;
    const count = picks > 0 ? routed.experts.length / picks : 0;
    if (this.prompt < 0) this.prompt = count;
    for (let t = 0; t < count; ++t) {
      const token = this.tokens[routed.first + t - this.prompt];
      if (!token) continue;
      token.routed = routed;
      token.index = t;
    }
    this.colour();
  }

  /** Each word in the colour of the expert that counted most for it. */
  colour() {
    for (const token of this.tokens) {
      const first = token.routed ? choicesOf(token.routed, token.index, this.view.layer())[0] : undefined;
      if (!first) continue;
      token.element.classList.add('routed');
      token.element.style.setProperty('--hue', String(hueOf(first.expert)));
    }
  }
}

/**
 * Marks the first token in which two answers part, and says so in words.
 * @param {Answer} left @param {Answer} right
 */
export function markParting(left, right) {
  const length = Math.max(left.tokens.length, right.tokens.length);
  let at = 0;
  while (at < length && left.tokens[at]?.entry.token === right.tokens[at]?.entry.token) ++at;
  if (at === length) return `Both say the same in all ${length} tokens.`;
  const said = [left, right].map((side) => {
    side.tokens[at]?.element.classList.add('parting');
    return side.tokens[at] ? JSON.stringify(side.tokens[at].entry.token) : 'the end';
  });
  return `They part at token ${at + 1}: ${said[0]} in the first, ${said[1]} in the second.`;
}
