#include "loading/model.h"

#include "base/error.h"
#include "base/file.h"
#include "formats/gguf_tokenizer.h"
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

}  // namespace

Model open_model(const base::fs::path& path, const ModelOptions& options) {
  return {path,
          engine::Engine(options.convert ? converted(path, options) : engine::Weights::load(path), options.engine)};
}

const tokenizer::Tokenizer* Model::tokenizer() {
  if (!tokenizer_read_) {
    auto read = read_tokenizer(path_);
    if (read && read->vocab_size() > config().vocab_size) {
      base::fail_invalid("tokenizer", "it may have at most the model's vocab_size of tokens",
                         std::to_string(read->vocab_size()) + " and " + std::to_string(config().vocab_size),
                         path_.string() + "'s belongs to another model");
    }
    tokenizer_ = std::move(read);
    tokenizer_read_ = true;
  }
  return tokenizer_ ? &*tokenizer_ : nullptr;
}

const tokenizer::Tokenizer& Model::require_tokenizer(std::string_view instead) {
  const tokenizer::Tokenizer* found = tokenizer();
  if (found == nullptr) base::fail_invalid("tokenizer", "the model has no tokenizer", path_.string(), instead);
  return *found;
}

std::string Model::chat_template() const { return formats::chat_template_of(path_); }

tokenizer::ChatEncoder Model::chat_encoder(std::string_view format) {
  const tokenizer::Tokenizer& tokenizer = require_tokenizer("chat needs one");
  const auto id = [](std::optional<int32_t> own, int64_t models) {
    return own || models < 0 ? own : std::optional(static_cast<int32_t>(models));
  };
  return tokenizer::ChatEncoder(
      tokenizer,
      format.empty() ? tokenizer::chat_format_of(chat_template(), path_.string())
                     : tokenizer::chat_format_named(format),
      {id(tokenizer.bos_id(), config().bos_token_id), id(tokenizer.eos_id(), config().eos_token_id)});
}

}  // namespace dsmoe::loading
