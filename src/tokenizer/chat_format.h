// How a conversation is written as text: one fixed format as data, the table of those known here, and the writing.
//
// A format says what stands before and after the content of each message. <bos>, <eos> and <date> in its strings stand
// for the model's own tokens of that name and for a day; `bound_to` puts them in. What a person wrote is never searched
// for anything: it becomes `content` and nothing else.
//
// Conversations come out byte for byte as the models' published Jinja templates write them (tools/chat_oracle).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dsmoe::tokenizer {

enum class ChatRole { kSystem, kUser, kAssistant };
struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::string content;
};
/// Throws Error(kInvalid) naming `where` for any other than system, user and assistant.
ChatRole chat_role_from(std::string_view name, std::string_view where);

/// What stands around the content of a message.
struct ChatFrame {
  std::string before, after;
};

enum class ChatSystem {
  kInPlace,  ///< every system message where it stands
  kJoined,   ///< all of them first, with an empty line between
  kLast,     ///< the last of them first, the others nowhere
};

/// What becomes of reasoning, which ends with </think>, in an earlier answer.
enum class ChatThinking {
  kKept,
  kCut,         ///< only what follows it is written
  kAfterQuery,  ///< the same, but answers behind the last question keep it (Qwen 3)
};

struct ChatFormat {
  std::string name = {};
  std::string models = {};  ///< a few words on whose format it is
  std::string opening = {};
  ChatFrame system = {}, user = {}, assistant = {};
  std::string generation = {};            ///< what stands before an answer that the model is to write
  std::vector<std::string> markers = {};  ///< tokens in these strings, beside <bos> and <eos>
  ChatSystem systems = ChatSystem::kInPlace;
  /// The content of a system message that a conversation gets which does not begin with one.
  std::optional<std::string> default_system = {};
  std::string system_heading = {};  ///< stands before the content of a first system message
  bool trims = false;               ///< contents lose white space at both ends
  bool always_generates = false;    ///< the generation prompt is written asked for or not
  bool leaves_last_open =
      false;  ///< where no answer is asked for, the last message has no end; an answer gets no other
  bool questions_open_answers = false;  ///< behind a question no generation prompt is needed
  ChatThinking thinking = ChatThinking::kKept;

  /// With <bos>, <eos> and <date> replaced. A text that is empty stands for a token that the model does not have.
  ChatFormat bound_to(std::string_view bos, std::string_view eos, std::string_view date) const;
};

/// The formats known here, each with a name of its own.
std::span<const ChatFormat> chat_formats();
/// Throws Error(kUsage) with all the names for one that is not known.
const ChatFormat& chat_format_named(std::string_view name);
/// "chatml, deepseek-r1, ...", for messages and help.
std::string chat_format_names();

/// One message as it is written.
struct ChatPart {
  std::string before, content, after;
  std::optional<size_t> message;  ///< which message it is; none for what the format adds, or makes of several
};

struct ChatRendering {
  std::string opening;
  std::vector<ChatPart> parts;
  std::string generation;
  std::string text() const;
};

/// `format` is bound. `generate`: whether the model is to answer now.
ChatRendering render_chat(const ChatFormat& format, std::span<const ChatMessage> messages, bool generate);

/// "07 Mar 2025" of the machine's clock and time zone: what templates that ask for the day get.
std::string chat_date_today();

}  // namespace dsmoe::tokenizer
