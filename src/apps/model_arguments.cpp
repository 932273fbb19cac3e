#include "apps/model_arguments.h"

#include <charconv>

#include "base/error.h"
#include "base/file.h"

namespace dsmoe::apps {

void ModelArguments::add_to(CLI::App& command) {
  command.add_option("-m,--model", path, "a model folder, as dsmoe train and Hugging Face leave it")->required();
  command.add_option("-t,--threads", threads, "0: as many as the machine has; results do not depend on it")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
}

engine::Engine open_engine(const ModelArguments& arguments) {
  return engine::Engine::load(arguments.path, {.threads = arguments.threads});
}

std::optional<data::Tokenizer> open_tokenizer(const ModelArguments& arguments, const spec::ModelConfig& config) {
  const base::fs::path file = base::fs::path(arguments.path) / "tokenizer.json";
  std::error_code ignored;
  if (!base::fs::exists(file, ignored)) return std::nullopt;
  data::Tokenizer tokenizer = data::Tokenizer::load(file);
  if (tokenizer.vocab_size() > config.vocab_size) {
    base::fail_invalid("tokenizer", "it may have at most the model's vocab_size of tokens",
                       std::to_string(tokenizer.vocab_size()) + " and " + std::to_string(config.vocab_size),
                       file.string() + " belongs to another model");
  }
  return tokenizer;
}

data::Tokenizer require_tokenizer(const ModelArguments& arguments, const spec::ModelConfig& config,
                                  std::string_view instead) {
  auto tokenizer = open_tokenizer(arguments, config);
  if (!tokenizer) base::fail_invalid("tokenizer", "the model folder has no tokenizer.json", arguments.path, instead);
  return std::move(*tokenizer);
}

std::vector<int32_t> parse_token_ids(std::string_view text) {
  std::vector<int32_t> ids;
  const auto refuse = [&] {
    base::fail(base::ErrorKind::kUsage, "tokens", "token ids are written 1,2,3", base::in_quotes(text));
  };
  const char *at = text.data(), *end = at + text.size();
  const auto skip_spaces = [&] {
    while (at < end && *at == ' ') ++at;
  };
  for (;;) {
    skip_spaces();
    int32_t id = 0;
    const auto [next, fault] = std::from_chars(at, end, id);
    if (fault != std::errc() || id < 0) refuse();
    ids.push_back(id);
    at = next;
    skip_spaces();
    if (at == end) return ids;
    if (*at++ != ',') refuse();
  }
}

}  // namespace dsmoe::apps
