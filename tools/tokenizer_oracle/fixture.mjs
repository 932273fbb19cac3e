// Writes src/tokenizer/testdata/tokenizer_oracle.json, which holds `dsmoe` to Hugging Face's library where it is not installed:
// a small tokenizer, texts, and for every part of the format (parts.mjs) a hash of the ids that the Rust library gives for
// these texts. The tokenizer's merges come from the library's trainer over whole lines, so that they run across words and
// every cut that a pre-tokenizer makes or misses shows in the ids.
//
//   node tools/tokenizer_oracle/fixture.mjs > src/tokenizer/testdata/tokenizer_oracle.json
import { createRequire } from 'module';
import fs from 'fs';
import os from 'os';
import path from 'path';
import { fileURLToPath } from 'url';
import { deepseekV3, fnv, merged, parts } from './parts.mjs';
import { strangeTexts } from './texts.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(path.join(here, '../../build/oracles/tokenizer/package.json'));
const { BPE, Tokenizer, byteLevelPreTokenizer } = require('tokenizers');

const texts = [
  'The quick brown fox doesn\'t jump over 12345 lazy dogs.\n\n  It is 3.14 (or so)…\n',
  'const x = require("tokenizers");\nif (x !== null) {\n\treturn x[0];\n}\n', '中文字符 and ひらがな・カタカナ, 한국어 2024年',
  'Ça va? L\'été, Führer, Ångström, e\u0301te\u0301 \u212b', '<|x|> <|x|><|x|>  the(the) t a', '',
  ...strangeTexts(250, 5, ['<|x|>', 'e\u0301', 'the', ' t', '</s>'], true),
];
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tokenizer-fixture-'));
const trained = new Tokenizer(BPE.empty());
trained.setPreTokenizer(byteLevelPreTokenizer(false, false, false));
const words = 'the quick brown fox  doesn\'t jump; it (IT) sleeps:\t12 345 times, a day';
const lines = [...texts, ...Array.from(words, (_, i) => words.slice(i, i + 9)).flatMap((line) => [line, line.toUpperCase()])];
fs.writeFileSync(path.join(scratch, 'lines.txt'), [...lines, ...lines].join('\n'));
trained.train([path.join(scratch, 'lines.txt')]);
trained.save(path.join(scratch, 'tokenizer.json'));
const file = JSON.parse(fs.readFileSync(path.join(scratch, 'tokenizer.json'), 'utf8'));
fs.rmSync(scratch, { recursive: true });
file.pre_tokenizer = deepseekV3;
file.decoder = file.post_processor = null;
file.model.merges = file.model.merges.slice(0, 900).map((merge) => (Array.isArray(merge) ? merge.join(' ') : merge));
const letters = Array.from({ length: 0x144 }, (_, code) => String.fromCodePoint(code))
  .filter((c, code) => (code > 32 && code < 127) || (code > 160 && code !== 173));
file.model.vocab = {};
for (const token of [...letters, ...file.model.merges.map((merge) => merge.replace(' ', ''))]) {
  file.model.vocab[token] ??= Object.keys(file.model.vocab).length;
}
const hashes = {};
for (const [name, patch] of Object.entries(parts(file.model.vocab))) {
  const tokenizer = Tokenizer.fromString(JSON.stringify(merged(file, patch)));
  let ids = '';
  for (const text of texts) ids += (await tokenizer.encode(text, null, { addSpecialTokens: false })).getIds().join(' ') + '\n';
  hashes[name] = { patch, ids: fnv(ids) };
}
process.stdout.write(JSON.stringify({ made_by: 'tools/tokenizer_oracle/fixture.mjs with tokenizers 0.23.2', tokenizer: file, texts, parts: hashes }, null, 1) + '\n');
