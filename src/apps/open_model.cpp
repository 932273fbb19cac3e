#include "apps/open_model.h"

#include <optional>

#include "apps/progress.h"
#include "quantize/in_memory.h"

namespace dsmoe::apps {
namespace {

// The weights that dsmoe quantize would write, in memory.
engine::Weights quantised(const formats::ModelFolder& folder, const ModelArguments& arguments) {
  base::ThreadPool pool(arguments.threads);
  std::optional<Progress> progress;
  quantize::ExportOptions options;
  options.recipe = quantize::recipe_named(arguments.quantise);
  options.with_tokenizer = false;
  options.parallel_for = pool.parallel_for();
  options.progress = [&](uint64_t written, uint64_t total) {
    if (!progress) progress.emplace("quantising", total, bytes_text);
    progress->update(written);
  };
  return engine::Weights::from_gguf(quantize::quantised_in_memory(folder, options));
}

}  // namespace

loading::Model open_model(const ModelArguments& arguments) {
  loading::ModelOptions options;
  options.engine.threads = arguments.threads;
  options.engine.cache = engine::cache_type_from(arguments.cache_type);
  if (arguments.chunk > 0) options.engine.chunk = arguments.chunk;
  if (!arguments.quantise.empty()) {
    options.convert = [&](const formats::ModelFolder& folder) { return quantised(folder, arguments); };
  }
  return loading::open_model(arguments.path, options);
}

}  // namespace dsmoe::apps
