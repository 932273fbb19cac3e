// The chat templates that come with a model, Jinja text: which one its conversations are written by.
#pragma once

#include <string>
#include <vector>

#include "base/file.h"

namespace dsmoe::formats {

struct ChatTemplates {
  std::string conversation;             ///< empty where there is none
  std::vector<std::string> other_uses;  ///< the names of all others (tool_use, rag, ...)
};

/// Of a GGUF file its tokenizer.chat_template keys. Of a folder the first that is there: chat_template.jinja, the
/// chat_template of tokenizer_config.json, that of chat_template.json (of several, the one called default);
/// additional_chat_templates/NAME.jinja are other uses. Throws Error(kInvalid) for files that are not of this form.
ChatTemplates chat_templates_of(const base::fs::path& model);

/// The text of the one for conversations, empty where the model has no template at all. Throws Error(kInvalid) where it
/// has templates for other uses only: none of them is a guess worth making.
std::string chat_template_of(const base::fs::path& model);

}  // namespace dsmoe::formats
