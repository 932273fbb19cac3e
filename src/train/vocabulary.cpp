#include "train/vocabulary.h"

#include "formats/model_folder.h"

namespace dsmoe::train {
namespace {

constexpr const char* kKey = "model.vocab_size";

bool somebody_set(const spec::ResolvedConfig& config) {
  const auto origin = config.origins.find(kKey);
  if (origin == config.origins.end()) return false;
  return origin->second == "command line" || origin->second.starts_with("file ");
}

void take(spec::ResolvedConfig& config, int64_t vocab_size, const char* origin) {
  if (somebody_set(config)) return;
  config.config.model.vocab_size = vocab_size;
  config.origins[kKey] = origin;
}

}  // namespace

void take_vocabulary(spec::ResolvedConfig& config, const corpus::TokenDataset& data, const base::fs::path& init) {
  std::error_code ignored;
  if (!init.empty() && base::fs::exists(init / "config.json", ignored)) {
    take(config, formats::ModelFolder::open(init).config().vocab_size, "the model of --init");
  } else {
    take(config, data.vocab_size(), "data");
  }
}

void take_vocabulary(spec::ResolvedConfig& config, const spec::ModelConfig& checkpoint) {
  if (config.config.model.vocab_size != checkpoint.vocab_size) take(config, checkpoint.vocab_size, "checkpoint");
}

}  // namespace dsmoe::train
