// Holds a server to the clients that people use: node tools/serve_clients/clients.mjs http://127.0.0.1:PORT
import assert from 'assert';
import { spawnSync } from 'child_process';
import fs from 'fs';
import { createRequire } from 'module';
import path from 'path';
import { fileURLToPath } from 'url';
import { hostileTexts } from './hostile.mjs';

const server = process.argv[2];
const packages = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../build/oracles/serve/package.json');
const require = createRequire(packages);
const OpenAI = require('openai').default ?? require('openai');
const skipped = [];

const client = new OpenAI({ baseURL: `${server}/v1`, apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: 'Tell me about rooms and floors' }];

async function metric(name) {
  const text = await (await fetch(`${server}/metrics`)).text();
  return Number(text.match(new RegExp(`^${name} (.*)$`, 'm'))[1]);
}

async function streamsSayWhatAnswersSay(model) {
  for (const seed of [1, 2, 3]) {
    const asked = { model, messages, seed, max_tokens: 40, logprobs: true, top_logprobs: 3 };
    const whole = await client.chat.completions.create(asked);
    const stream = await client.chat.completions.create({ ...asked, stream: true, stream_options: { include_usage: true } });
    let text = '', usage = null;
    const scores = [];
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? '';
      scores.push(...(chunk.choices[0]?.logprobs?.content ?? []));
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.deepEqual(scores, whole.choices[0].logprobs.content);
    assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
  }
}

async function refusalsAreErrorsOfTheClient(model) {
  for (const [more, param] of [[{ n: 99 }, 'n'], [{ response_format: { type: 'xml' } }, 'response_format.type'],
    [{ tools: [{ type: 'function', function: { name: 'f' } }] }, 'tools'], [{ max_tokens: 1e6 }, 'messages']]) {
    await assert.rejects(client.chat.completions.create({ model, messages, ...more }),
      (error) => error instanceof OpenAI.BadRequestError && error.param === param);
  }
  await assert.rejects(client.chat.completions.create({ model: 'another', messages }), OpenAI.NotFoundError);
}

// Structured outputs as OpenAI's client asks for them: of the schema's form, or cut off and said so.
async function schemasAreHeldTo(model) {
  const schema = {
    type: 'object',
    properties: { name: { type: 'string', maxLength: 12 }, day: { type: 'string', pattern: '^\\d{4}-[01]\\d$' }, size: { enum: [1, 2] }, tags: { type: 'array', items: { type: 'boolean' }, maxItems: 3 } },
    required: ['name', 'day', 'size', 'tags'],
    additionalProperties: false,
  };
  const ask = (form, seed) => client.chat.completions.create({
    model, messages, seed, max_tokens: 300, response_format: { type: 'json_schema', json_schema: { name: 'thing', strict: true, schema: form } },
  });
  let whole = 0;
  for (let seed = 0; seed < 10; ++seed) {
    const { message, finish_reason: reason } = (await ask(schema, seed)).choices[0];
    if (reason === 'length') continue;
    assert.equal(reason, 'stop');
    const thing = JSON.parse(message.content);
    assert.deepEqual(Object.keys(thing), ['name', 'day', 'size', 'tags']);
    assert.match(thing.day, /^\d{4}-[01]\d$/);
    assert.ok([...thing.name].length <= 12 && [1, 2].includes(thing.size) && thing.tags.length <= 3, message.content);
    whole += 1;
  }
  assert.ok(whole > 0);
  await assert.rejects(ask({ type: 'string', pattern: '(' }, 1), (error) => error.status === 400 && error.param === 'response_format');
}

async function whoLeavesFreesTheSlot(model) {
  const stream = await client.chat.completions.create({ model, messages, max_tokens: 400, stream: true });
  for await (const _ of stream) break;
  stream.controller.abort();
  for (let i = 0; i < 100 && (await metric('dsmoe_requests_running')) > 0; ++i) await new Promise((done) => setTimeout(done, 20));
  assert.equal(await metric('dsmoe_requests_running'), 0);
}

async function promtoolHasNothingToSay() {
  if (spawnSync('promtool', ['--version']).error) return skipped.push('promtool');
  const input = await (await fetch(`${server}/metrics`)).text();
  const said = spawnSync('promtool', ['check', 'metrics'], { input });
  assert.equal(said.status, 0, String(said.stderr));
}

// A stream as the server would send it, of texts that are anything but harmless in a page.
function hostileStream(texts) {
  const event = (choice) => `data: ${JSON.stringify({ id: 'x', model: 'x', choices: [{ index: 0, finish_reason: null, ...choice }] })}\n\n`;
  const entry = (token) => ({ token, logprob: -1, bytes: [...Buffer.from(token)], top_logprobs: [{ token, logprob: -1, bytes: [] }] });
  return texts.map((text) => event({ delta: { content: text }, logprobs: { content: [entry(text)] } })).join('') + 'data: [DONE]\n\n';
}

async function thePageWorksAndNothingRunsInIt() {
  const executablePath = ['/usr/bin/chromium', '/usr/bin/google-chrome'].find(fs.existsSync);
  if (!executablePath) return skipped.push('Chromium');
  const browser = await require('playwright-core').chromium.launch({ executablePath, args: ['--no-sandbox'] });
  try {
    for (const [width, colorScheme] of [[390, 'light'], [1400, 'dark']]) await onePage(browser, width, colorScheme);
  } finally {
    await browser.close();
  }
}

async function onePage(browser, width, colorScheme) {
  const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme, bypassCSP: false });
  const faults = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('dialog', (dialog) => faults.push(`dialog: ${dialog.message()}`));
  page.on('request', (request) => /^(data:|http:\/\/127\.0\.0\.1:)/.test(request.url()) || faults.push(request.url()));
  const ready = () => page.waitForFunction(() => !document.getElementById('send').disabled);
  await page.goto(server);
  await page.waitForSelector('#heat button');
  await page.fill('#max_tokens', '30');
  await page.fill('#seed', '3');
  await page.fill('#question', 'Tell me <img src=x onerror=alert(1)>');
  await page.click('#send');
  await page.waitForFunction(() => document.querySelectorAll('.token.routed').length > 10);
  await ready();
  await page.locator('.token').nth(5).click();
  assert.match(await page.textContent('#word'), /layer \d+: expert \d+/);
  const before = await page.textContent('.turn.assistant');
  await page.uncheck('#shared');
  await page.click('#retry');
  await page.waitForFunction((text) => document.querySelector('.turn.assistant').textContent.length > 30
    && document.querySelector('.turn.assistant').textContent !== text, before);
  await ready();
  await page.click('#compare');
  await page.waitForFunction(() => /^(They part at token|Both say the same)/.test(document.getElementById('status').textContent));
  assert.deepEqual(await page.locator('.pair .who').allTextContents(), ['all experts on', 'none shared']);
  assert.equal(await page.locator('.turn.assistant').count(), 2);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false);
  await page.evaluate(fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8'));
  const found = await page.evaluate(async () => (await globalThis.axe.run()).violations.map((v) => v.id));
  assert.deepEqual(found, []);
  const texts = hostileTexts();
  await page.route('**/v1/chat/completions', (route) => route.fulfill({ contentType: 'text/event-stream', body: hostileStream(texts) }));
  await page.fill('#question', texts.join(' '));
  await page.click('#send');
  await page.waitForFunction((count) => document.querySelectorAll('.token').length > count, texts.length);
  await ready();
  for (const token of await page.locator('.token').all()) await token.dispatchEvent('click');
  assert.equal(await page.evaluate(() => document.querySelectorAll('#log img, #log script, #log iframe, #log svg').length), 0);
  assert.equal(await page.evaluate(() => globalThis.harmed), undefined);
  assert.deepEqual(faults, []);
  await page.close();
}

const model = (await client.models.list()).data[0].id;
await streamsSayWhatAnswersSay(model);
await refusalsAreErrorsOfTheClient(model);
await schemasAreHeldTo(model);
await whoLeavesFreesTheSlot(model);
await promtoolHasNothingToSay();
await thePageWorksAndNothingRunsInIt();
console.log(`clients agree${skipped.length ? `; not installed: ${skipped.join(', ')}` : ''}`);
