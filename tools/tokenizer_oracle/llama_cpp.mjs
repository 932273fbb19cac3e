// Holds `dsmoe tokenizer` to llama.cpp: a vocabulary written as GGUF with tokenizer.ggml.pre = deepseek-v3 must give the
// same ids there, or an exported model would read another text than it was trained on.
//
//   node tools/tokenizer_oracle/llama_cpp.mjs DSMOE [LINES]      (after tools/tokenizer_oracle/setup llama)
import { execFileSync } from 'child_process';
import fs from 'fs';
import os from 'os';
import path from 'path';
import { fileURLToPath, pathToFileURL } from 'url';
import { corpusTexts, strangeTexts, treeTexts } from './texts.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const oracle = path.join(root, 'build/oracles/tokenizer');
const { getLlama } = await import(pathToFileURL(path.join(oracle, 'llama/node_modules/node-llama-cpp/dist/index.js')));
const dsmoe = path.resolve(process.argv[2]);
const lines = Number(process.argv[3] ?? 10000);
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'llama-oracle-'));
const run = (...args) => execFileSync(dsmoe, ['tokenizer', ...args], { maxBuffer: 2 ** 30, stdio: ['ignore', 'pipe', 'pipe'] });

// The keys of a GGUF file without tensors: just enough for llama.cpp to load the vocabulary.
function vocabularyGguf(folder) {
  const file = JSON.parse(fs.readFileSync(path.join(folder, 'tokenizer.json'), 'utf8'));
  const tokens = [], types = [];
  const put = (token, id, type) => { tokens[id] = token; types[id] = type; };
  for (const [token, id] of Object.entries(file.model.vocab)) put(token, id, 1);
  for (const token of file.added_tokens) put(token.content, token.id, token.special ? 3 : 4);
  const u32 = (value) => { const b = Buffer.alloc(4); b.writeUInt32LE(value); return b; };
  const u64 = (value) => { const b = Buffer.alloc(8); b.writeBigUInt64LE(BigInt(value)); return b; };
  const f32 = (value) => { const b = Buffer.alloc(4); b.writeFloatLE(value); return b; };
  const text = (value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
  const list = (type, values, write) => Buffer.concat([u32(type), u64(values.length), ...values.map(write)]);
  const keys = [
    ['general.architecture', 8, text('llama')],
    ...Object.entries({ block_count: 1, context_length: 4096, embedding_length: 64, feed_forward_length: 64,
      'attention.head_count': 2, 'rope.dimension_count': 32, vocab_size: tokens.length })
      .map(([key, value]) => ['llama.' + key, 4, u32(value)]),
    ['llama.attention.layer_norm_rms_epsilon', 6, f32(1e-6)],
    ['tokenizer.ggml.model', 8, text('gpt2')], ['tokenizer.ggml.pre', 8, text('deepseek-v3')],
    ['tokenizer.ggml.tokens', 9, list(8, tokens, text)], ['tokenizer.ggml.token_type', 9, list(5, types, u32)],
    ['tokenizer.ggml.merges', 9, list(8, file.model.merges, text)],
    ['tokenizer.ggml.bos_token_id', 4, u32(0)], ['tokenizer.ggml.eos_token_id', 4, u32(1)],
    ['tokenizer.ggml.add_bos_token', 7, Buffer.from([0])],
  ];
  const out = path.join(scratch, 'vocabulary.gguf');
  fs.writeFileSync(out, Buffer.concat([Buffer.from('GGUF'), u32(3), u64(0), u64(keys.length),
    ...keys.map(([key, type, value]) => Buffer.concat([text(key), u32(type), value]))]));
  return out;
}

const tree = treeTexts(root);
const step = Math.ceil(tree.length / (lines / 3));
const texts = [...corpusTexts(process.env.DSMOE_CORPUS ?? path.join(root, 'corpus/text'), lines),
  ...tree.filter((_, i) => i % step === 0), ...strangeTexts(3000, 23, ['<|x|>'], true)];
const input = path.join(scratch, 'texts.jsonl');
fs.writeFileSync(input, texts.map((text) => JSON.stringify({ text })).join('\n') + '\n');
const own = path.join(scratch, 'own');
run('train', '--vocab-size', '4096', '--out', own, input);

let faults = 0;
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'disabled' });
for (const [name, folder] of Object.entries({ own, deepseek_v3: path.join(oracle, 'deepseek_v3') })) {
  const model = await llama.loadModel({ modelPath: vocabularyGguf(folder), vocabOnly: true });
  const ours = run('encode', '-m', folder, '--lines', input).toString().split('\n');
  let different = 0;
  for (const [i, text] of texts.entries()) {
    const theirs = [...model.tokenize(text, true)].join(' ');
    if (theirs !== ours[i] && ++different <= 5) {
      console.log(`${name}: ${JSON.stringify(text.slice(0, 200))}\n  dsmoe     ${ours[i].slice(0, 300)}\n  llama.cpp ${theirs.slice(0, 300)}`);
    }
  }
  console.log(`${name}: ${texts.length} texts, ${different} differ from llama.cpp's`);
  faults += different;
}
fs.rmSync(scratch, { recursive: true });
process.exit(faults ? 1 : 0);
