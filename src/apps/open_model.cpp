#include "apps/open_model.h"

#include <iostream>
#include <optional>

#include "apps/progress.h"
#include "quantize/in_memory.h"

namespace dsmoe::apps {
namespace {

constexpr uint64_t kWorthABar = uint64_t{1} << 31;

// The weights that dsmoe quantize would write, in memory.
engine::Weights quantised(const formats::ModelFolder& folder, const quantize::Recipe& recipe, int threads) {
  base::ThreadPool pool(threads);
  std::optional<Progress> progress;
  quantize::ExportOptions options;
  options.recipe = recipe;
  options.with_tokenizer = false;
  options.parallel_for = pool.parallel_for();
  options.progress = [&](uint64_t written, uint64_t total) {
    if (!progress) progress.emplace("quantising", total, bytes_text);
    progress->update(written);
  };
  return engine::Weights::from_gguf(quantize::quantised_in_memory(folder, options));
}

// Shown only where there is much to read.
std::function<void(uint64_t read, uint64_t total)> checking_bar(std::optional<Progress>& progress) {
  return [&progress](uint64_t read, uint64_t total) {
    if (total < kWorthABar) return;
    if (!progress) progress.emplace("checking", total, bytes_text);
    progress->update(read);
  };
}

}  // namespace

void verify_model(const std::string& path, int threads) {
  std::optional<Progress> checking;
  loading::verify_model(path, threads, checking_bar(checking));
}

loading::Model open_model(const ModelArguments& arguments) {
  loading::ModelOptions options;
  options.engine.threads = arguments.threads;
  options.engine.cache = engine::cache_type_from(arguments.cache_type);
  if (arguments.chunk > 0) options.engine.chunk = arguments.chunk;
  options.verify = !arguments.no_verify;
  options.context = arguments.context;
  for (const std::string& text : arguments.adapters) options.adapters.push_back(loading::adapter_choice(text));
  std::optional<Progress> checking;
  options.verifying = checking_bar(checking);
  if (!arguments.quantise.empty()) {
    options.convert = [recipe = quantize::recipe_named(arguments.quantise), threads = arguments.threads](
                          const formats::ModelFolder& folder) { return quantised(folder, recipe, threads); };
  }
  return loading::open_model(arguments.path, options);
}

std::vector<int32_t> text_ids(loading::Model& model, std::string_view text) {
  loading::Model::Prompt prompt = model.prompt(text);
  if (prompt.left_out_bos) {
    std::cerr << "the prompt begins with bos, which the tokenizer puts before every text: one of the two is left out\n";
  }
  return std::move(prompt.ids);
}

}  // namespace dsmoe::apps
