// Small tokenizers that each try one part of the format: what is laid over a plain file (a JSON merge patch).
const byteLevel = (more = {}) => ({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false, ...more });
const only = (...pretokenizers) => ({ pre_tokenizer: { type: 'Sequence', pretokenizers } });
const sequence = (...pretokenizers) => only(...pretokenizers, byteLevel());
const split = (pattern, behavior, invert = false) => ({ type: 'Split', pattern, behavior, invert });
// The library wants ids as it would give them: the vocabulary's own, or the next ones behind it.
function adding(vocab, ...tokens) {
  let next = Object.keys(vocab).length;
  return {
      added_tokens: tokens.map(([content, flags = {}]) => ({
        id: vocab[content] ?? next++, content,
        single_word: false, lstrip: false, rstrip: false, normalized: false, special: false, ...flags,
      })),
    };
  }

  const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
  const spaces = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
  const llama = (digits) => `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`;

export const deepseekV3 = sequence(
  split({ Regex: '\\p{N}{1,3}' }, 'Isolated'),
  split({ Regex: '[一-龥\u3040-ゟ゠-ヿ]+' }, 'Isolated'),
  split({
    Regex: '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|' +
      ' ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+',
  }, 'Isolated'),
).pre_tokenizer;

export function parts(vocab) {
  const added = (...tokens) => adding(vocab, ...tokens);
  return {
    deepseek_v3: {},
    llama3: sequence(split({ Regex: llama('\\p{N}{1,3}') }, 'Isolated')),
    qwen2: { ...sequence(split({ Regex: llama('\\p{N}') }, 'Isolated')), normalizer: { type: 'NFC' } },
    gpt2: only(byteLevel({ use_regex: true })),
    gpt2_prefix_space: only(byteLevel({ use_regex: true, add_prefix_space: true })),
    prefix_space: only(byteLevel({ add_prefix_space: true })),
    digits: sequence({ type: 'Digits', individual_digits: false }),
    single_digits: sequence({ type: 'Digits', individual_digits: true }),
    // GPT-4o's: unknown to dsmoe by name, so PCRE2 runs it
    gpt4o: sequence(split({
      Regex: '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:\'s|\'t|\'re|\'ve|\'m|\'ll|\'d)?|' +
        '[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:\'s|\'t|\'re|\'ve|\'m|\'ll|\'d)?|' +
        `\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`,
    }, 'Isolated')),
    words: sequence(split({ Regex: '\\w+|[^\\w\\s]+' }, 'Isolated')),
    not_words: sequence(split({ Regex: '\\W' }, 'MergedWithPrevious')),
    line_ends: sequence(split({ Regex: '\\s+$' }, 'Isolated')),
    look_ahead: sequence(split({ Regex: '(?=[A-Z])' }, 'Isolated')),
    maybe_nothing: sequence(split({ Regex: 'a*' }, 'MergedWithNext')),
    ...Object.fromEntries(['Isolated', 'Removed', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'].flatMap((behavior) => [
      [`string_${behavior}`, sequence(split({ String: ' ' }, behavior))],
      [`regex_${behavior}`, sequence(split({ Regex: '\\p{P}' }, behavior))],
      [`inverted_${behavior}`, sequence(split({ Regex: '[a-z]+' }, behavior, true))],
    ])),
    ignore_merges: { model: { ignore_merges: true } },
    added: added(['<|x|>', { special: true }], ['the'], ['<|x|><|x|>'], ['é'], ['\n\n']),
    added_strip: added(['<|x|>', { lstrip: true }], ['e', { rstrip: true }], ['(', { lstrip: true, rstrip: true }], [' t']),
    added_single: added(['t', { single_word: true }], ['a', { single_word: true, lstrip: true }], ['é', { single_word: true }]),
    added_normalized: { normalizer: { type: 'NFC' }, ...added(['e\u0301', { normalized: true }], ['\u00c5'], ['o\u0302'], ['<|x|>', { normalized: true }]) },
  };
}

export function merged(base, patch) {
  if (patch === null || typeof patch !== 'object' || Array.isArray(patch)) return patch;
  const out = base !== null && typeof base === 'object' && !Array.isArray(base) ? { ...base } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete out[key];
    else out[key] = merged(out[key], value);
  }
  return out;
}

// FNV-1a of a text's UTF-8, as 16 hex digits.
export function fnv(text) {
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text)) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return hash.toString(16).padStart(16, '0');
}
