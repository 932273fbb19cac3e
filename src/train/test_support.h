// For this room's tests: a corpus of bytes, a run small enough to repeat a hundred times.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/test_files.h"
#include "corpus/dataset_builder.h"
#include "spec/settings.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::train::testing {

namespace fs = base::fs;

/// Tampering: no care taken.
inline void overwrite(const fs::path& path, const std::string& text) {
  base::write_file(path, text, base::unsynced_files);
}

/// Two domains of made-up words; a token is a byte plus 2. bos 0, eos 1, as the presets have them.
inline void make_corpus(const fs::path& folder, int documents = 120) {
  const fs::path texts = folder.parent_path() / (folder.filename().string() + "_text");
  fs::create_directories(texts);
  std::vector<corpus::CorpusDomain> domains;
  for (const std::string domain : {"words", "digits"}) {
    base::Rng rng(domain.size());
    std::string lines;
    for (int d = 0; d < documents; ++d) {
      std::string text;
      for (int w = 0; w < 40; ++w) {
        text += domain == "words" ? std::string(1 + rng.below(6), static_cast<char>('a' + rng.below(26)))
                                  : std::to_string(rng.below(1000));
        text += ' ';
      }
      lines += "{\"text\":\"" + text + "\"}\n";
    }
    overwrite(texts / (domain + ".jsonl"), lines);
    domains.push_back({domain, {texts / (domain + ".jsonl")}});
  }
  corpus::CorpusEncoder encoder;
  encoder.encode = [](std::string_view text) {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c) + 2);
    return ids;
  };
  encoder.vocab_size = 258;
  encoder.bos_id = 0;
  encoder.eos_id = 1;
  encoder.hash = "bytes";
  corpus::BuildOptions options;
  options.valid_share = 0.1;
  corpus::build_corpus(folder, domains, encoder, options, base::serial_for, base::unsynced_files);
}

/// For runs that write samples: three special tokens and the bytes, no merge.
inline void write_byte_tokenizer(const fs::path& folder) {
  tokenizer::BpeTrainOptions options;
  options.vocab_size = 259;
  tokenizer::WordCounts words;
  words.add("any");
  tokenizer::save_tokenizer(tokenizer::train_bpe(words, options), folder);
}

/// The preset tiny with further settings.
inline spec::ResolvedConfig tiny_run(const fs::path& corpus, const fs::path& output,
                                     std::vector<std::string> settings = {}) {
  std::vector<std::string> all = {
      "data.path=" + corpus.string(), "output.dir=" + output.string(), "train.steps=12",
      "train.warmup_steps=3",         "train.micro_batch=2",           "train.global_batch=4",
      "train.validate_every=5",       "train.validate_tokens=1000",    "train.checkpoint_every=4",
      "train.precision=f32"};
  all.insert(all.end(), settings.begin(), settings.end());
  return spec::resolve("tiny", all);
}

template <class Action>
base::Error error_of(const Action& action) {
  try {
    action();
  } catch (const base::Error& error) {
    return error;
  }
  return {base::ErrorKind::kFailure, "(no error)"};
}

}  // namespace dsmoe::train::testing
