// The model that is served: its text and ids, its name, and the thread that computes it.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/json.h"
#include "loading/model.h"
#include "schema/json_rule.h"
#include "serve/request.h"
#include "serve/worker.h"

namespace dsmoe::serve {

struct BackendOptions {
  std::string name;         ///< what clients call the model
  std::string chat_format;  ///< empty: the model's own
  SchedulerOptions scheduler;
};

class Backend {
 public:
  /// The model must have a tokenizer (else Error(kInvalid)). A model whose chat template is not known is served without
  /// chat: chat completions are refused with the reason.
  Backend(loading::Model model, const BackendOptions& options);

  const std::string& name() const { return options_.name; }
  int64_t context() const { return options_.scheduler.context; }
  const spec::ModelConfig& config() const { return config_; }
  const tokenizer::Tokenizer& tokenizer() const { return *tokenizer_; }
  Worker& worker() { return worker_; }
  /// Begins texts of this form. The first one sorts the vocabulary, a tenth of a second for a large one.
  engine::MakeTokenRule rule_of(std::shared_ptr<const schema::Grammar> form);

  /// A prompt, and how many of its ids are no part of its text (what the tokenizer begins every text with).
  struct Prompt {
    std::vector<int32_t> ids;
    int64_t before = 0;
  };
  Prompt prompt(const TextOrIds& given, bool add_special);
  Prompt chat_prompt(std::span<const tokenizer::ChatMessage> messages, bool answers) const;
  /// The model's own ends of an answer, and a turn's for a chat.
  std::vector<int32_t> ends(bool chat) const;
  /// Whether a space that the model begins its answer with is the chat format's rather than the answer's: the format
  /// writes it before an earlier answer and leaves it to the model before the one that comes.
  bool answers_begin_with_space() const;
  /// The mixture as a client may want to draw it: {layers, experts, experts_per_tok, shared}; null for a dense model.
  base::Json mixture() const;
  /// bos_token, eos_token, pad_token and chat_template, as tokenizer_config.json names them.
  base::Json tokenizer_info() const;

 private:
  loading::Model model_;
  BackendOptions options_;
  const spec::ModelConfig config_;
  const tokenizer::Tokenizer* tokenizer_;
  std::optional<tokenizer::ChatEncoder> chat_;
  std::string no_chat_;  // why not
  std::vector<int32_t> ends_;
  std::once_flag sorted_;
  std::shared_ptr<const schema::Vocabulary> vocabulary_;
  Worker worker_;
};

}  // namespace dsmoe::serve
