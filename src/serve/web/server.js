// What the page asks of its server: JSON, streams of events, and a key where one is wanted.
// @ts-check

let key = sessionStorage.getItem('key') ?? '';

/** An error that the server has put into words. */
export class Refusal extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @param {string} text */
export function setKey(text) {
  key = text;
  sessionStorage.setItem('key', text);
}

/** @param {string} path @param {RequestInit} [more] */
async function request(path, more = {}) {
  const headers = { 'Content-Type': 'application/json', ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const response = await fetch(path, { ...more, headers });
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  throw new Refusal(response.status, body?.error?.message ?? `the server says ${response.status}`);
}

/** @param {string} path */
export async function get(path) {
  return (await request(path)).json();
}

/**
 * The events of a streamed answer, as they come.
 * @param {string} path @param {object} body @param {AbortSignal} signal
 */
export async function* stream(path, body, signal) {
  const response = await request(path, { method: 'POST', body: JSON.stringify(body), signal });
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
      const data = text.slice(0, end).replace(/^data: /, '');
      if (data === '[DONE]') return;
      const event = JSON.parse(data);
      if (event.error) throw new Refusal(0, event.error.message);
      yield event;
    }
  }
}
