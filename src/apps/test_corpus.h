// For this room's tests: a corpus for the models of testing.h.
#pragma once

#include <string_view>

#include "apps/testing.h"

namespace dsmoe::apps {

/// The whole of `texts` as the split train of a corpus in `folder`/out, in tokens of this tokenizer.
inline void write_corpus(const base::TestFolder& folder, const corpus::NamedTexts& texts,
                         const tokenizer::TokenizerSpec& spec = corpus::byte_tokenizer()) {
  const tokenizer::Tokenizer tokenizer(spec);
  const corpus::CorpusEncoder encoder{[&](std::string_view text) { return tokenizer.encode(text); },
                                      tokenizer.vocab_size() + 2,
                                      tokenizer.vocab_size(),
                                      tokenizer.vocab_size() + 1,
                                      tokenizer::tokenizer_hash(tokenizer),
                                      {}};
  corpus::BuildOptions options;
  options.valid_share = 0;
  base::fs::remove_all(folder / "out");
  corpus::build_test_corpus(folder, texts, encoder, options);
}

/// Three documents of prose and one of code.
inline const corpus::NamedTexts kFourTexts = {{"prose", {"the text", "another text, there", "the end"}},
                                              {"code", {"x = 1"}}};

}  // namespace dsmoe::apps
