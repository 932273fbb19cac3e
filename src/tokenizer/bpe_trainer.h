// Training a byte-level BPE vocabulary: join the most frequent pair of neighbours, again and again.
//
// Sennrich et al. 2016 (arXiv 1508.07909), over bytes as GPT-2 has it. Counts are kept up to date merge by merge; a
// pair of equal count goes first if its ids are smaller, left before right, which is the order of Hugging Face's
// trainer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tokenizer/bpe_words.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::tokenizer {

struct BpeTrainOptions {
  /// All tokens: special ones, 256 bytes, merges.
  int32_t vocab_size = 8192;
  /// A pair that comes less often is not merged.
  uint64_t min_frequency = 2;
  /// The first ids, in this order: beginning of text, end of text, padding (DeepSeek-V3's).
  std::vector<std::string> special_tokens = {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"};
  PreTokenizerSteps pre_tokenizer = *pretokenizer_steps("deepseek-v3");
  /// Told the tokens there are so far, from time to time; may be empty.
  std::function<void(int32_t tokens)> progress;
};

/// The vocabulary: special tokens, then all bytes in the order of their letters, then merges. Encoding with
/// add_special begins with the first special token.
/// Throws Error(kInvalid) when the words do not support a vocabulary of that size, naming the size they do.
TokenizerSpec train_bpe(const WordCounts& words, const BpeTrainOptions& options);

}  // namespace dsmoe::tokenizer
