// Which format a model's own chat template is: Jinja text, told apart without being run.
//
// A template is brought into a canonical form (white space as Jinja's control of it says, quotes, message['role'] and
// message.role, outputs in one piece or several, comments, the usual default of add_generation_prompt) and compared
// with those of the templates known here, as a whole. A template that differs in anything else is not known: it may
// well render differently. A default system text of ChatML is read out of the template instead.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokenizer/chat_format.h"

namespace dsmoe::tokenizer {

/// The plain format as a template: what models made here carry in tokenizer_config.json.
extern const std::string_view kPlainChatTemplate;

/// Nothing where the template is not known. Never throws.
std::optional<ChatFormat> recognise_chat_template(std::string_view text);

/// The format of a model with this template: the recognised one, or the plain one where there is no template at all.
/// Throws Error(kInvalid) naming `where` and the template's beginning for one that is not known.
ChatFormat chat_format_of(std::string_view chat_template, std::string_view where);

struct CanonicalTemplate {
  std::string text;                           ///< equal for templates that say the same in the same order
  std::optional<std::string> default_system;  ///< taken out of `text`
};
/// Nothing for what is not Jinja (a tag without an end, say).
std::optional<CanonicalTemplate> canonical_template(std::string_view text);

}  // namespace dsmoe::tokenizer
