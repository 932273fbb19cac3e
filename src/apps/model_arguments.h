// What commands that run a model share: the model argument, its tokenizer, lists of token ids.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "engine/generate.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::apps {

struct ModelArguments {
  std::string path;
  int threads = 0;
  int64_t chunk = 0;               ///< 0: the engine's own
  std::string cache_type = "f32";  ///< the default; commands that generate set f16
  std::string quantise;            ///< a type of dsmoe quantize, for a folder; empty: as it is stored
  /// -m,--model, -t,--threads and -q,--quantize, --cache-type, --ubatch-size.
  void add_to(CLI::App& command);
};
/// The options of sampling and of where generation ends.
void add_sampling(CLI::App& command, engine::GenerateOptions& generate);

engine::EngineOptions engine_options(const ModelArguments& arguments);
engine::Engine open_engine(const ModelArguments& arguments);
/// The model's tokenizer, or nothing where it has none. Throws Error(kInvalid) where it has more tokens than the
/// model has rows.
std::optional<tokenizer::Tokenizer> open_tokenizer(const ModelArguments& arguments, const spec::ModelConfig& config);
/// The same, but none is Error(kInvalid), with `instead` as the hint.
tokenizer::Tokenizer require_tokenizer(const ModelArguments& arguments, const spec::ModelConfig& config,
                                       std::string_view instead);

/// "1,2,3" (spaces allowed). Throws Error(kUsage) for anything else; ids are checked against the model later.
std::vector<int32_t> parse_token_ids(std::string_view text);

}  // namespace dsmoe::apps
