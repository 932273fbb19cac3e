// Holds `dsmoe tokenizer chat` to @huggingface/jinja: the same text for the same conversation, byte for byte.
//
//   node tools/chat_oracle/compare.mjs DSMOE [CONVERSATIONS] [TEMPLATE.jinja...]
//
// Needs what tools/chat_oracle/setup fetches. Three laws:
//   1. a published template that dsmoe knows (those of the packages, and those given) is written as Jinja writes it, and
//      with a real vocabulary the ids are those of Hugging Face's tokenizers;
//   2. a format by its name is written as our own template for it (templates.mjs) is;
//   3. a template with one character changed is refused, or written as Jinja writes it.
import { spawnSync } from 'child_process';
import { createRequire } from 'module';
import fs from 'fs';
import os from 'os';
import path from 'path';
import { fileURLToPath } from 'url';
import { random } from '../tokenizer_oracle/texts.mjs';
import { conversations } from './conversations.mjs';
import { templates } from './templates.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const oracles = path.join(root, 'build/oracles');
const { Template } = createRequire(path.join(oracles, 'chat/package.json'))('@huggingface/jinja');
const rust = createRequire(path.join(oracles, 'tokenizer/package.json'))('tokenizers');
const dsmoe = path.resolve(process.argv[2]);
const count = Number(process.argv[3] ?? 1000);
const given = process.argv.slice(4);
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'chat-oracle-'));
const all = conversations(count, random(11));
const few = all.filter((_, i) => i % 7 === 0);
let faults = 0;

function run(args, input) {
  const { status, stdout, stderr } = spawnSync(dsmoe, ['tokenizer', ...args], { input, maxBuffer: 2 ** 30, encoding: 'utf8' });
  return { status, out: stdout, err: stderr };
}

function fault(name, conversation, theirs, ours) {
  if (++faults <= 20) console.log(`${name}: ${JSON.stringify(conversation)}\n  jinja ${JSON.stringify(theirs)}\n  dsmoe ${JSON.stringify(ours)}`);
}

const markers = ['<|im_start|>', '<|im_end|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>', '<｜User｜>', '<｜Assistant｜>'];

// A small tokenizer with every format's markers.
function bareTokenizer() {
  const text = path.join(scratch, 'text.txt');
  fs.writeFileSync(text, 'User: hello\n\nAssistant: hello to you\n'.repeat(20));
  const made = run(['train', '--vocab-size', '270', '--out', path.join(scratch, 'bare'), text]);
  if (made.status !== 0) throw new Error(made.err);
  const tokenizer = JSON.parse(fs.readFileSync(path.join(scratch, 'bare/tokenizer.json'), 'utf8'));
  let id = Object.keys(tokenizer.model.vocab).length;
  for (const content of markers) {
    tokenizer.added_tokens.push({ id: id++, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true });
  }
  return JSON.stringify(tokenizer);
}
const bare = bareTokenizer();

function modelFolder(template) {
  const folder = path.join(scratch, 'model');
  fs.mkdirSync(folder, { recursive: true });
  fs.writeFileSync(path.join(folder, 'tokenizer.json'), bare);
  const config = { bos_token: '<｜begin▁of▁sentence｜>', eos_token: '<｜end▁of▁sentence｜>', chat_template: template };
  fs.writeFileSync(path.join(folder, 'tokenizer_config.json'), JSON.stringify(config));
  return folder;
}

const lines = (list) => list.map((one) => JSON.stringify(one)).join('\n') + '\n';
const text = (token) => (token && typeof token === 'object' ? token.content : token) ?? undefined;

// How many conversations were compared, or null where dsmoe does not know the template.
async function compare(name, folder, template, list, { format, judge } = {}) {
  const config = JSON.parse(fs.readFileSync(path.join(folder, 'tokenizer_config.json'), 'utf8'));
  const { status, out, err } = run(['chat', '-m', folder, '--lines', '--json', ...(format ? ['--chat-format', format] : [])], lines(list));
  if (status === 3 && !format && err.includes('chat template')) return null;
  if (status !== 0) {
    fault(name, 'dsmoe failed', status, err);
    return 0;
  }
  const jinja = new Template(template);
  const ours = out.split('\n');
  for (let i = 0; i < list.length; ++i) {
    const theirs = jinja.render({ ...list[i], bos_token: text(config.bos_token), eos_token: text(config.eos_token) });
    const mine = JSON.parse(ours[i]);
    if (mine.text !== theirs) fault(name, list[i], theirs, mine.text);
    if (!judge || list[i].messages.some((message) => message.content.includes('<'))) continue;
    const ids = (await judge.encode(theirs, null, { addSpecialTokens: false })).getIds().join(' ');
    if (ids !== mine.ids.join(' ')) fault(`${name}, ids`, list[i], ids, mine.ids.join(' '));
  }
  return list.length;
}

const published = {};
for (const name of ['deepseek_v3', 'llama3', 'qwen3']) {
  const folder = path.join(oracles, 'tokenizer', name);
  published[name] = JSON.parse(fs.readFileSync(path.join(folder, 'tokenizer_config.json'), 'utf8')).chat_template;
  const judge = rust.Tokenizer.fromString(fs.readFileSync(path.join(folder, 'tokenizer.json'), 'utf8'));
  const compared = await compare(name, folder, published[name], all, { judge });
  if (compared === null) fault(name, 'a published template', 'known', 'unknown');
  console.log(`${name}, published: ${compared} conversations, with ids`);
}
for (const file of given) {
  const template = fs.readFileSync(file, 'utf8');
  let compared = null;
  try {
    compared = await compare(file, modelFolder(template), template, all);
  } catch (error) {
    fault(file, 'Jinja failed', String(error), 'known');
  }
  if (compared !== null) published[path.basename(file)] = template;
  console.log(`${file}: ${compared === null ? 'not known' : `${compared} conversations`}`);
}
for (const [format, template] of Object.entries(templates)) {
  const compared = await compare(format, modelFolder(template), template, all, { format });
  console.log(`${format}, by name: ${compared} conversations`);
}

const next = random(23);
let known = 0, mutants = 0;
for (const [name, template] of Object.entries(published)) {
  for (let i = 0; i < 15; ++i) {
    const at = next(template.length), other = template[next(template.length)];
    const changed = template.slice(0, at) + ['', other, template[at] + other, ' ' + template[at], template[at] + '\n'][next(5)] + template.slice(at + 1);
    let compared = null;
    ++mutants;
    try {
      compared = await compare(`${name} with a change at ${at}`, modelFolder(changed), changed, few);
    } catch (error) {
      continue;  // no longer Jinja, or fails on some conversation
    }
    if (compared !== null) ++known;
  }
}
console.log(`${mutants} templates with one change: ${known} still known, and the same`);
fs.rmSync(scratch, { recursive: true });
process.exit(faults ? 1 : 0);
