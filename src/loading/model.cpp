#include "loading/model.h"

#include <malloc.h>

#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/chat_templates.h"
#include "formats/checkpoint_folders.h"
#include "formats/end_tokens.h"
#include "formats/gguf_tokenizer.h"
#include "formats/verified.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::loading {
namespace {

bool is_file(const base::fs::path& path) {
  std::error_code ignored;
  return base::fs::is_regular_file(path, ignored);
}

std::optional<tokenizer::Tokenizer> read_tokenizer(const base::fs::path& model) {
  if (is_file(model)) {
    auto spec = formats::tokenizer_from_gguf(formats::GgufFile(model));
    if (!spec) return std::nullopt;
    return tokenizer::Tokenizer(std::move(*spec));
  }
  const base::fs::path file = model / "tokenizer.json";
  std::error_code ignored;
  if (!base::fs::exists(file, ignored)) return std::nullopt;
  return tokenizer::load_tokenizer(file);
}

engine::Weights converted(const base::fs::path& path, const ModelOptions& options) {
  if (is_file(path)) {
    base::fail(base::ErrorKind::kUsage, "model", "-q quantises a model folder", path.string(),
               "a GGUF file runs as it is");
  }
  return options.convert(formats::ModelFolder::open(path));
}

// data.chat_format of a run's run.toml; empty where there is none or it says nothing.
std::string tuned_format_of(const base::fs::path& folder) {
  const base::fs::path run = folder / "run.toml";
  std::error_code ignored;
  if (!base::fs::is_regular_file(run, ignored)) return {};
  const base::Json data = base::parse_toml(base::read_file(run), run.string()).value("data", base::Json::object());
  const auto format = data.find("chat_format");
  return format == data.end() || !format->is_string() ? std::string() : format->get<std::string>();
}

}  // namespace

Model::Model(base::fs::path path, engine::Engine engine, const ModelOptions& options)
    : path_(std::move(path)), engine_(std::move(engine)), config_(engine_.config()) {
  for (const AdapterChoice& adapter : options.adapters) {
    if (tuned_format_.empty()) tuned_format_ = tuned_format_of(formats::newest_adapter(adapter.path));
  }
  if (tuned_format_.empty()) tuned_format_ = tuned_format_of(path_);
  const int64_t context = options.context;
  if (context <= 0) return;
  if (context > config_.max_position_embeddings) {
    base::fail(base::ErrorKind::kUsage, "context",
               "the model can have at most " + std::to_string(config_.max_position_embeddings) + " tokens",
               std::to_string(context), "leave it out: memory grows as the context fills");
  }
  config_.max_position_embeddings = context;
}

namespace {

engine::Weights weights_of(const base::fs::path& path, const ModelOptions& options) {
  engine::Weights weights = options.convert ? converted(path, options) : engine::Weights::load(path);
  if (options.adapters.empty()) return weights;
  {
    base::ThreadPool pool(options.engine.threads);
    const std::vector<formats::Adapter> adapters = read_adapters(options.adapters, path, pool.parallel_for());
    std::vector<formats::ScaledAdapter> scaled;
    for (size_t i = 0; i < adapters.size(); ++i) scaled.push_back({&adapters[i], options.adapters[i].scale});
    weights.add_adapters(scaled);
  }
  // Thousands of small matrices were read and copied; the heap keeps what they took unless it is told.
  ::malloc_trim(0);
  return weights;
}

}  // namespace

Model open_model(const base::fs::path& named, const ModelOptions& options) {
  const base::fs::path path = formats::newest_model(named);
  if (options.verify) verify_model(path, options.engine.threads, options.verifying);
  return {path, engine::Engine(weights_of(path, options), options.engine), options};
}

AdapterChoice adapter_choice(const std::string& text) {
  std::error_code ignored;
  const size_t equals = text.rfind('=');
  if (equals == text.npos || base::fs::exists(text, ignored)) return {text, 1};
  AdapterChoice choice{text.substr(0, equals), 0};
  const char* const end = text.data() + text.size();
  const auto [next, fault] = std::from_chars(text.data() + equals + 1, end, choice.scale);
  if (fault != std::errc() || next != end || !std::isfinite(choice.scale)) {
    base::fail(base::ErrorKind::kUsage, "adapter", "it must be DIR or DIR=SCALE, SCALE a number",
               base::in_quotes(text));
  }
  return choice;
}

std::vector<formats::Adapter> read_adapters(const std::vector<AdapterChoice>& choices, const base::fs::path& model,
                                            const base::ParallelFor& parallel_for) {
  std::vector<formats::Adapter> adapters;
  std::string base_hash;
  for (const AdapterChoice& choice : choices) {
    const base::fs::path path = formats::newest_adapter(choice.path);
    if (!formats::is_adapter(path)) {
      base::fail_invalid("adapter", "it must be a folder with adapter_config.json", path.string(),
                         "dsmoe sft --lora makes one");
    }
    adapters.push_back(formats::read_adapter(path));
    const bool known = !adapters.back().base_hash.empty() && !is_file(model);
    if (known && base_hash.empty()) base_hash = formats::hash_of_weights(model, parallel_for);
    formats::require_base(adapters.back(), base_hash, path.string());
  }
  return adapters;
}

void verify_model(const base::fs::path& path, int threads,
                  const std::function<void(uint64_t read, uint64_t total)>& verifying) {
  if (!formats::has_manifest(path)) return;
  base::ThreadPool pool(threads);
  formats::VerifyOptions options;
  options.parallel_for = pool.parallel_for();
  options.progress = verifying;
  formats::verify_once(path, options);
}

std::optional<tokenizer::Tokenizer> tokenizer_of(const base::fs::path& path, const spec::ModelConfig& config) {
  auto read = read_tokenizer(path);
  if (read && read->vocab_size() > config.vocab_size) {
    base::fail_invalid("tokenizer", "it may have at most the model's vocab_size of tokens",
                       std::to_string(read->vocab_size()) + " and " + std::to_string(config.vocab_size),
                       path.string() + "'s belongs to another model");
  }
  return read;
}

const tokenizer::Tokenizer* Model::tokenizer() {
  if (!tokenizer_read_) {
    tokenizer_ = tokenizer_of(path_, config());
    tokenizer_read_ = true;
  }
  return tokenizer_ ? &*tokenizer_ : nullptr;
}

void Model::require_same_tokens(const corpus::TokenDataset& corpus) {
  corpus.require_vocabulary(config().vocab_size);
  const tokenizer::Tokenizer* own = tokenizer();
  if (own != nullptr && !corpus.tokenizer_hash().empty() &&
      corpus.tokenizer_hash() != tokenizer::tokenizer_hash(*own)) {
    base::fail_invalid("corpus", "the corpus was built with another tokenizer than the model's",
                       corpus.folder().string(), "build it with the model's tokenizer.json");
  }
}

const tokenizer::Tokenizer& Model::require_tokenizer(std::string_view instead) {
  const tokenizer::Tokenizer* found = tokenizer();
  if (found == nullptr) base::fail_invalid("tokenizer", "the model has no tokenizer", path_.string(), instead);
  return *found;
}

std::vector<int32_t> Model::end_tokens() {
  if (is_file(path_)) return formats::end_tokens(formats::GgufFile(path_), config());
  const tokenizer::Tokenizer* found = tokenizer();
  return formats::end_tokens(path_, config(), found != nullptr ? found->eos_id() : std::nullopt);
}

Model::Prompt Model::prompt(std::string_view text) {
  const tokenizer::Tokenizer& found = require_tokenizer("give --tokens instead of a prompt");
  Prompt prompt{found.encode(text, true)};
  const std::vector<int32_t>& before = found.spec().prefix;
  const auto bos = found.bos_id();
  if (!bos || before.empty() || before.back() != *bos || prompt.ids.size() <= before.size()) return prompt;
  const auto second = prompt.ids.begin() + std::ssize(before);
  if (*second != *bos) return prompt;
  prompt.ids.erase(second);
  prompt.left_out_bos = true;
  return prompt;
}

std::string Model::chat_template() const { return formats::chat_template_of(path_); }

tokenizer::ChatEncoder Model::chat_encoder(std::string_view format) {
  if (format.empty() && tuned_format_ != "own") format = tuned_format_;
  return chat_encoder_of(path_, require_tokenizer("chat needs one"), config(), format);
}

tokenizer::ChatEncoder chat_encoder_of(const base::fs::path& path, const tokenizer::Tokenizer& tokenizer,
                                       const spec::ModelConfig& config, std::string_view format) {
  const auto id = [](std::optional<int32_t> own, int64_t models) {
    return own || models < 0 ? own : std::optional(static_cast<int32_t>(models));
  };
  return tokenizer::ChatEncoder(
      tokenizer,
      format.empty() ? tokenizer::chat_format_of(formats::chat_template_of(path), path.string())
                     : tokenizer::chat_format_named(format),
      {id(tokenizer.bos_id(), config.bos_token_id), id(tokenizer.eos_id(), config.eos_token_id)});
}

}  // namespace dsmoe::loading
