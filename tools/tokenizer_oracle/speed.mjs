// How fast Hugging Face's Rust library turns text into ids, on one thread, as processor time: the figure that
// build/bench/tokenizer_bench is compared with.
//
//   node tools/tokenizer_oracle/speed.mjs FOLDER FILE.jsonl...      (after tools/tokenizer_oracle/setup)
//
// Every FILE is encoded document by document and in pieces of 1,000 and 10,000 characters; the best of the three counts.
import { createRequire } from 'module';
import fs from 'fs';
import path from 'path';
import { fileURLToPath } from 'url';

process.env.TOKENIZERS_PARALLELISM = 'false';
process.env.RAYON_NUM_THREADS = '1';
const oracle = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../build/oracles/tokenizer/package.json');
const { Tokenizer } = createRequire(oracle)('tokenizers');
const [folder, ...files] = process.argv.slice(2);
const tokenizer = Tokenizer.fromFile(path.join(folder, 'tokenizer.json'));

function pieces(texts, length) {
  if (!length) return texts;
  return texts.flatMap((text) => {
    const parts = [];
    for (let at = 0; at < text.length; at += length) parts.push(text.slice(at, at + length).toWellFormed());
    return parts;
  });
}

async function seconds(texts) {
  const before = process.cpuUsage();
  for (const text of texts) (await tokenizer.encode(text, null, { addSpecialTokens: false })).getLength();
  const used = process.cpuUsage(before);
  return (used.user + used.system) / 1e6;
}

let allBytes = 0, allSeconds = 0;
for (const file of files) {
  const texts = fs.readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line).text);
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  const times = [];
  for (const length of [0, 1000, 10000]) times.push(await seconds(pieces(texts, length)));
  const best = Math.min(...times);
  console.log(`${path.basename(file).padEnd(20)} ${(bytes / 1e6).toFixed(1).padStart(6)} MB  ` +
    `${times.map((time) => (bytes / time / 1e6).toFixed(2).padStart(6)).join('')} MB/s (documents, 1,000, 10,000 characters)`);
  allBytes += bytes;
  allSeconds += best;
}
console.log(`all                  ${(allBytes / 1e6).toFixed(1).padStart(6)} MB  ${(allBytes / allSeconds / 1e6).toFixed(2).padStart(6)} MB/s`);
