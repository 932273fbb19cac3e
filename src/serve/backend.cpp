#include "serve/backend.h"

#include <utility>

#include "base/error.h"
#include "serve/api_error.h"

namespace dsmoe::serve {

Backend::Backend(loading::Model model, const BackendOptions& options)
    : model_(std::move(model)),
      options_(options),
      config_(model_.config()),
      tokenizer_(&model_.require_tokenizer("a server speaks in text")),
      ends_(model_.end_tokens()),
      worker_(model_.engine(), tokenizer_, options_.scheduler) {
  try {
    chat_.emplace(model_.chat_encoder(options.chat_format));
  } catch (const base::Error& error) {
    if (!options.chat_format.empty()) throw;
    no_chat_ = error.what();
  }
}

Backend::Prompt Backend::prompt(const TextOrIds& given, bool add_special) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&given)) return {*ids, 0};
  const std::string& text = std::get<std::string>(given);
  if (!add_special) return {tokenizer_->encode(text), 0};
  Prompt prompt{model_.prompt(text).ids, std::ssize(tokenizer_->spec().prefix)};
  if (prompt.ids.empty() && model_.config().bos_token_id >= 0) {
    prompt = {{static_cast<int32_t>(model_.config().bos_token_id)}, 1};
  }
  return prompt;
}

Backend::Prompt Backend::chat_prompt(std::span<const tokenizer::ChatMessage> messages, bool answers) const {
  if (!chat_) throw ApiError(400, "this model cannot chat: " + no_chat_).code("no_chat_template");
  return {chat_->encode(chat_->render(messages, answers)), 0};
}

engine::MakeTokenRule Backend::rule_of(std::shared_ptr<const schema::Grammar> form) {
  std::call_once(sorted_, [this] { vocabulary_ = std::make_shared<schema::Vocabulary>(*tokenizer_); });
  return [form = std::move(form), vocabulary = vocabulary_] {
    return std::make_unique<schema::JsonRule>(form, vocabulary);
  };
}

std::vector<int32_t> Backend::ends(bool chat) const {
  std::vector<int32_t> ends = ends_;
  if (chat && chat_) ends.push_back(chat_->end_of_turn());
  return ends;
}

bool Backend::answers_begin_with_space() const {
  return chat_ && chat_->format().assistant.before == chat_->format().generation + " ";
}

base::Json Backend::mixture() const {
  if (!config_.is_moe()) return nullptr;
  base::Json layers = base::Json::array();
  for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
    if (config_.is_moe_layer(layer)) layers.push_back(layer);
  }
  return {{"layers", std::move(layers)},
          {"experts", config_.n_routed_experts},
          {"experts_per_tok", config_.num_experts_per_tok},
          {"shared", config_.n_shared_experts}};
}

base::Json Backend::tokenizer_info() const {
  base::Json info;
  const auto token = [&](const char* key, std::optional<int32_t> id) {
    info[key] = id ? base::Json(std::string(tokenizer_->token_bytes(*id))) : base::Json();
  };
  token("bos_token", tokenizer_->bos_id());
  token("eos_token", tokenizer_->eos_id());
  token("pad_token", tokenizer_->pad_id());
  const std::string chat_template = model_.chat_template();
  info["chat_template"] = chat_template.empty() ? base::Json() : base::Json(chat_template);
  info["vocab_size"] = tokenizer_->vocab_size();
  return info;
}

}  // namespace dsmoe::serve
