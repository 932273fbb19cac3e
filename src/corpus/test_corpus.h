// For tests, of other rooms too: small corpora made of given texts, and tokens that are bytes.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/test_files.h"
#include "corpus/dataset_builder.h"
#include "tokenizer/bpe_alphabet.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::corpus {

/// A byte is a token; 256 begins a document and 257 ends it.
inline CorpusEncoder byte_encoder() {
  return {[](std::string_view text) {
            std::vector<int32_t> ids;
            for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
            return ids;
          },
          258,
          256,
          257,
          "bytes",
          {{"tokenizer.json", "{}"}}};
}

/// A tokenizer of the same; the names are those of 256, which goes before a text, and 257. Without them neither is
/// there.
inline tokenizer::TokenizerSpec byte_tokenizer(const std::vector<std::string>& bos_and_eos = {}) {
  tokenizer::TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) {
    spec.tokens.push_back(tokenizer::bytes_to_alphabet(std::string(1, static_cast<char>(byte))));
  }
  for (const std::string& name : bos_and_eos) {
    spec.added_tokens.push_back({.id = static_cast<int32_t>(spec.tokens.size()), .content = name, .special = true});
    spec.tokens.push_back(name);
  }
  spec.pre_tokenizer = {tokenizer::ByteLevelStep{}};
  if (bos_and_eos.empty()) return spec;
  spec.prefix = {256};
  spec.bos = 256;
  spec.eos = 257;
  return spec;
}

/// What the byte encoder makes of a document.
inline std::vector<int32_t> framed(const std::string& text) {
  std::vector<int32_t> ids{256};
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  ids.push_back(257);
  return ids;
}

/// "word 0", "word 1", ...
inline std::vector<std::string> numbered(const std::string& word, int count) {
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) out.push_back(word + " " + std::to_string(i));
  return out;
}

/// A .jsonl line for each text.
inline std::string json_lines(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += base::dump_json({{"text", text}}) + "\n";
  return out;
}

using NamedTexts = std::vector<std::pair<std::string, std::vector<std::string>>>;

/// Writes a .jsonl file for each domain into `folder` and builds `folder`/out from them.
inline base::Json build_test_corpus(const base::TestFolder& folder, const NamedTexts& domains,
                                    const CorpusEncoder& encoder, const BuildOptions& options = {},
                                    const base::ParallelFor& parallel = base::serial_for) {
  std::vector<CorpusDomain> sources;
  for (const auto& [name, texts] : domains) {
    sources.push_back({name, {folder.write(name + ".jsonl", json_lines(texts))}});
  }
  return build_corpus(folder / "out", sources, encoder, options, parallel, base::unsynced_files);
}

}  // namespace dsmoe::corpus
