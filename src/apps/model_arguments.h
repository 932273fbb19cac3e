// What the command lines of commands that run a model share: the model, sampling, lists of token ids.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "engine/generate.h"

namespace dsmoe::apps {

struct ModelArguments {
  std::string path;
  int threads = 0;
  int64_t chunk = 0;                  ///< 0: the engine's own
  std::string cache_type = "f32";     ///< the default; commands that generate set f16
  std::string quantise;               ///< a type of dsmoe quantize, for a folder; empty: as it is stored
  std::vector<std::string> adapters;  ///< DIR or DIR=SCALE
  bool no_verify = false;
  int64_t context = 0;  ///< the most tokens a sequence may have; 0: all that the model can
  /// -m,--model, --adapter, -t,--threads and -q,--quantize, --cache-type, --ubatch-size, --no-verify.
  void add_to(CLI::App& command);
  /// -c,--ctx-size, for commands that generate.
  void add_context(CLI::App& command);
};
/// --no-verify, for every command that opens a model.
void add_no_verify(CLI::App& command, bool& no_verify);
/// The options of sampling and of where generation ends.
void add_sampling(CLI::App& command, engine::GenerateOptions& generate);

/// "1,2,3" (spaces allowed). Throws Error(kUsage) for anything else; ids are checked against the model later.
std::vector<int32_t> parse_token_ids(std::string_view text);

}  // namespace dsmoe::apps
