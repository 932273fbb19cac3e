// What a run trains on, is scored on, and keeps of it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "corpus/batch_source.h"
#include "spec/settings.h"

namespace dsmoe::train {

struct RunData {
  std::shared_ptr<const void> owner;  ///< of what the others refer to
  std::unique_ptr<const corpus::BatchSource> batches;
  std::unique_ptr<const corpus::ScoredTexts> validation;  ///< null: there is nothing to validate on
  bool validates_first = false;                           ///< also before the first step: what the run began with
  std::string hash;                                       ///< names the content; a resumed run needs the same
  base::fs::path tokenizer_from;           ///< a folder whose tokenizer files go into checkpoints; empty: none
  std::vector<int64_t> token_frequencies;  ///< by id, for a balanced hash table; empty for every other router
  std::string without_validation;          ///< where there is none: what would bring some
  base::Json description;                  ///< what a person wants to know of it, kept as data.json; null: nothing
};

/// The corpus at data.path, made by `dsmoe data build`. The tokens that begin and end a document are its tokenizer's to
/// say, and `config` takes them. `init`, the folder of the first weights, may be empty. Throws Error: kIo, kInvalid
/// where the corpus does not fit the model or its tokenizer is another than that of `init`.
RunData open_corpus(spec::ResolvedConfig& config, const base::fs::path& init);

}  // namespace dsmoe::train
