// Holds `dsmoe tokenizer` to Hugging Face's tokenizers: the same ids for the same text, token for token.
//
//   node tools/tokenizer_oracle/compare.mjs DSMOE [LINES]
//
// Needs what tools/tokenizer_oracle/setup fetches. For a tokenizer of our own (trained here), DeepSeek-LLM's (from
// DSMOE_SHARED's GGUF file, where it is), DeepSeek-V3's, Llama 3's and Qwen 3's. The Rust library judges every text, the
// JavaScript one every tenth (its Unicode is Node's, not the pinned 16.0; texts where the two disagree are counted).
import { execFileSync } from 'child_process';
import { createRequire } from 'module';
import fs from 'fs';
import os from 'os';
import path from 'path';
import { fileURLToPath } from 'url';
import { corpusTexts, strangeTexts, treeTexts } from './texts.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const oracle = path.join(root, 'build/oracles/tokenizer');
const require = createRequire(path.join(oracle, 'package.json'));
const rust = require('tokenizers');
const javascript = await import(path.join(oracle, 'node_modules/@huggingface/tokenizers/dist/tokenizers.mjs'));
const dsmoe = path.resolve(process.argv[2]);
const lines = Number(process.argv[3] ?? 50000);
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tokenizer-oracle-'));
const run = (...args) => execFileSync(dsmoe, ['tokenizer', ...args], { maxBuffer: 2 ** 30, stdio: ['ignore', 'pipe', 'pipe'] });

function tokenizers() {
  const found = { deepseek_v3: 'deepseek_v3', llama3: 'llama3', qwen3: 'qwen3' };
  for (const name in found) found[name] = path.join(oracle, found[name]);
  const shared = process.env.DSMOE_SHARED ?? path.join(root, '../shared');
  const gguf = path.join(shared, 'data/deepseek-llm-vocab.gguf');
  if (fs.existsSync(gguf)) {
    found.deepseek_llm = path.join(scratch, 'deepseek_llm');
    execFileSync(path.join(root, 'tools/gguf_tokenizer'), [gguf, found.deepseek_llm]);
  } else {
    console.log('deepseek_llm: skipped, no data/deepseek-llm-vocab.gguf in DSMOE_SHARED');
  }
  return found;
}

function writeTexts(name, texts) {
  const file = path.join(scratch, name + '.jsonl');
  fs.writeFileSync(file, texts.map((text) => JSON.stringify({ text })).join('\n') + '\n');
  return file;
}

let faults = 0;
async function compare(name, folder, texts) {
  const json = fs.readFileSync(path.join(folder, 'tokenizer.json'), 'utf8');
  const config = JSON.parse(fs.readFileSync(path.join(folder, 'tokenizer_config.json'), 'utf8'));
  const judge = rust.Tokenizer.fromString(json);
  const second = new javascript.Tokenizer(JSON.parse(json), config);
  const added = JSON.parse(json).added_tokens.map((token) => token.content);
  const all = [...texts, ...strangeTexts(Math.max(2000, lines / 5), 17, added)];
  const ours = run('encode', '-m', folder, '--lines', writeTexts(name, all)).toString().split('\n');
  let different = 0, disagree = 0, compared = 0, ids = 0, javascriptOnly = 0;
  for (let i = 0; i < all.length; ++i) {
    const theirs = (await judge.encode(all[i], null, { addSpecialTokens: false })).getIds();
    ids += theirs.length;
    if (ours[i] !== theirs.join(' ')) {
      if (++different <= 5) {
        console.log(`${name}: ${JSON.stringify(all[i].slice(0, 200))}\n  dsmoe ${ours[i].slice(0, 300)}\n  rust  ${theirs.slice(0, 60).join(' ')}`);
      }
    }
    if (i % 10 === 0) {
      ++compared;
      const others = second.encode(all[i], { add_special_tokens: false }).ids.join(' ');
      if (others !== theirs.join(' ')) ++disagree;
      if (others !== ours[i]) ++javascriptOnly;
    }
  }
  console.log(`${name}: ${all.length} texts, ${ids} ids, ${different} differ from Rust's; of ${compared} in JavaScript ` +
    `${javascriptOnly} differ (${disagree} where JavaScript and Rust disagree)`);
  if (different > 0 || javascriptOnly > disagree) ++faults;
}

// The first merges of the Rust library's own trainer, under GPT-2's pre-tokenizer (it takes no other settings from Node).
async function compareTraining(texts) {
  const file = path.join(scratch, 'train.txt');
  fs.writeFileSync(file, texts.join('\n') + '\n');
  // the library trains on lines, each with its line feed
  const lineByLine = writeTexts('train', texts.join('\n').split('\n').map((line) => line + '\n'));
  const theirs = new rust.Tokenizer(rust.BPE.empty());
  theirs.setPreTokenizer(rust.byteLevelPreTokenizer(false));
  theirs.train([file]);
  theirs.save(path.join(scratch, 'theirs.json'));
  const merges = JSON.parse(fs.readFileSync(path.join(scratch, 'theirs.json'), 'utf8')).model.merges;
  const count = Math.min(merges.length, 8000);
  run('train', '--pre', 'gpt-2', '--min-frequency', '1', '--vocab-size', String(259 + count), '--out', path.join(scratch, 'ours'), lineByLine);
  const ours = JSON.parse(fs.readFileSync(path.join(scratch, 'ours/tokenizer.json'), 'utf8')).model.merges;
  const text = (merge) => (Array.isArray(merge) ? merge.join(' ') : merge);
  let same = 0;
  while (same < count && text(merges[same]) === text(ours[same])) ++same;
  console.log(`training: the first ${same} of ${count} merges are those of the Rust library`);
  if (same < count) {
    console.log(`  dsmoe ${text(ours[same])}\n  rust  ${text(merges[same])}`);
    ++faults;
  }
}

const tree = treeTexts(root);
const step = Math.ceil(tree.length / (lines / 3));
const texts = [...corpusTexts(process.env.DSMOE_CORPUS ?? path.join(root, 'corpus/text'), lines),
  ...tree.filter((_, i) => i % step === 0)];
while (texts.length < lines) texts.push(...strangeTexts(5000, texts.length, ['<|x|>']));
console.log(`${texts.length} texts, ${texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)} bytes`);
const own = path.join(scratch, 'own');
run('train', '--vocab-size', '4096', '--out', own, writeTexts('texts', texts));
await compareTraining(texts.filter((_, i) => i % 7 === 0));
for (const [name, folder] of Object.entries({ own, ...tokenizers() })) await compare(name, folder, texts);
fs.rmSync(scratch, { recursive: true });
process.exit(faults ? 1 : 0);
