// Text to compare on: what people write (the corpus where it is, the project's own files) and what they never would.
import fs from 'fs';
import path from 'path';

// xorshift32: the same texts on every machine
export function random(seed) {
  let state = seed >>> 0 || 1;
  return (bound) => {
    state ^= state << 13; state >>>= 0;
    state ^= state >>> 17;
    state ^= state << 5; state >>>= 0;
    return state % bound;
  };
}

function* files(folder) {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const full = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* files(full);
    else yield full;
  }
}

// Lines of the corpus, from all over it; documents now and then whole.
export function corpusTexts(folder, lines) {
  const texts = [];
  if (!fs.existsSync(folder)) return texts;
  const names = [...files(folder)].filter((name) => name.endsWith('.jsonl'));
  for (const name of names) {
    const documents = fs.readFileSync(name, 'utf8').split('\n').filter(Boolean);
    const wanted = Math.ceil(lines / names.length);
    const step = Math.max(1, Math.floor(documents.length / 60));
    let taken = 0;
    for (let i = 0; i < documents.length && taken < wanted; i += step) {
      const text = JSON.parse(documents[i]).text;
      if (text.length < 20000) texts.push(text);
      for (const line of text.split('\n')) {
        if (line && taken++ < wanted) texts.push(line);
      }
    }
  }
  return texts;
}

export function treeTexts(root) {
  const texts = [];
  for (const part of ['src', 'tools', 'docs', 'cmake']) {
    if (!fs.existsSync(path.join(root, part))) continue;
    for (const name of files(path.join(root, part))) {
      const text = fs.readFileSync(name, 'utf8');
      if (text.length > 200000) continue;
      texts.push(text, ...text.split('\n').filter(Boolean));
    }
  }
  return texts;
}

const newInBmp = /[\u0897\u0c5c\u0cdc\u0cf3\u0ece\u1b4e\u1b4f\u1b7f\u1c89\u1c8a\u2427-\u2429\u2ffc-\u2fff\u31e4\u31e5\u31ef\ua7cb-\ua7cf\ua7d2\ua7d4\ua7da-\ua7dc\ua7f1]/;

// Strings of characters from everywhere: the borders between classes are where rules differ.
// `settled` keeps to characters that Unicode 14 knows, for expressions that PCRE2 runs with its own tables.
export function strangeTexts(count, seed, added, settled = false) {
  const next = random(seed);
  const pools = [
    () => ' \t\n\r\u00a0\u3000\u2028\u0085\u200b\u180e\v\f'[next(12)],
    () => ' ', () => '\n', () => '\r\n',
    () => 'etaoinshrdluETAOIN'[next(18)],
    () => '0123456789'[next(10)],
    () => '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~'[next(32)],
    () => ["'s", "'S", "'t", "'RE", "'Ve", "'m", "'LL", "'d", "'\u017f", "' s"][next(10)],
    () => String.fromCodePoint(0x4e00 + next(0x5300)), () => String.fromCodePoint(0x3040 + next(0xc0)),
    () => String.fromCodePoint(0x400 + next(0x100)), () => String.fromCodePoint(0xc0 + next(0x180)),
    () => String.fromCodePoint(0x300 + next(0x70)), () => String.fromCodePoint(0xac00 + next(0x2ba4)),
    () => String.fromCodePoint(0x1f300 + next(0x400)) + (next(3) ? '' : '\u200d'),
    () => '½²௧Ⅷ一〇๓٣𝟙①'[next(9)], () => '，。！？：；（）「」、～·…—“”‘’'[next(20)],
    () => added[next(added.length)],
    () => {
      const code = next(0x30000);
      const c = String.fromCodePoint(code);
      const old = code < 0x10000 ? !newInBmp.test(c) : code >= 0x1d400 && (code < 0x1d800 || code >= 0x20000) && code < 0x2a6d0;
      return (code >= 0xd800 && code < 0xe000) || (settled && !old) ? 'x' : c;
    },
  ];
  const texts = [];
  for (let i = 0; i < count; ++i) {
    let text = '';
    let pool = next(pools.length);
    for (let n = next(30); n >= 0; --n) {
      if (next(2)) pool = next(pools.length);
      text += pools[pool]();
    }
    // \u180e and lone surrogates from half a pair in a pool would not survive UTF-8
    texts.push(text.toWellFormed());
  }
  return texts;
}
