// A conversation in one format: which messages are written, in which order, with what of their contents.
#include <algorithm>

#include "base/utf8.h"
#include "tokenizer/chat_format.h"

namespace dsmoe::tokenizer {
namespace {

constexpr std::string_view kEndOfThinking = "</think>", kThinking = "<think>";

// What JavaScript's trim() takes away, which is what the templates' oracle does.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000 || c == 0xFEFF;
}

std::string_view trim(std::string_view text, bool at_start = true, bool at_end = true) {
  size_t first = std::string_view::npos, end = 0;
  for (size_t at = 0; at < text.size();) {
    char32_t code_point = 0;
    const size_t length = base::utf8_decode(text, at, code_point);
    if (length == 0 || !is_space(code_point)) {
      first = std::min(first, at);
      end = at + std::max<size_t>(length, 1);
    }
    at += std::max<size_t>(length, 1);
  }
  if (first == std::string_view::npos) return {};
  if (!at_start) first = 0;
  return text.substr(first, (at_end ? end : text.size()) - first);
}
std::string_view trim_start(std::string_view text) { return trim(text, true, false); }
std::string_view trim_end(std::string_view text) { return trim(text, false, true); }

std::string_view after_last(std::string_view text, std::string_view mark) {
  const size_t at = text.rfind(mark);
  return at == text.npos ? text : text.substr(at + mark.size());
}

// What Qwen 3's template makes of answers: reasoning is a part of its own, written only behind the last question.
class Qwen3Answers {
 public:
  explicit Qwen3Answers(std::span<const ChatMessage> messages) : count_(messages.size()) {
    last_query_ = count_ == 0 ? 0 : count_ - 1;
    for (size_t i = count_; i-- > 0;) {
      const std::string& content = messages[i].content;
      const bool is_tool = content.starts_with("<tool_response>") && content.ends_with("</tool_response>");
      if (messages[i].role != ChatRole::kUser || is_tool) continue;
      last_query_ = i;
      break;
    }
  }

  std::string content(size_t index, std::string_view content) const {
    std::string_view thinking;
    if (const size_t end = content.find(kEndOfThinking); end != content.npos) {
      thinking = trim_start(after_last(trim_end(content.substr(0, end)), kThinking));
      content = trim_start(after_last(content, kEndOfThinking));
    }
    const bool is_last = index + 1 == count_;
    if (index <= last_query_ || !(is_last || !thinking.empty())) return std::string(content);
    return std::string(kThinking) + "\n" + std::string(trim(thinking)) + "\n" + std::string(kEndOfThinking) + "\n\n" +
           std::string(trim_start(content));
  }

 private:
  size_t count_, last_query_;
};

class Renderer {
 public:
  Renderer(const ChatFormat& format, std::span<const ChatMessage> messages)
      : format_(format), messages_(messages), qwen3_(messages) {
    rendering_.opening = format.opening;
  }

  ChatRendering render(bool generate) {
    put_first_system();
    for (size_t i = first_; i < messages_.size(); ++i) {
      if (messages_[i].role == ChatRole::kSystem && format_.systems != ChatSystem::kInPlace) continue;
      put(messages_[i].role, content_of(i), i);
    }
    if (format_.leaves_last_open && !generate && !messages_.empty()) rendering_.parts.back().after.clear();
    if (format_.always_generates || (generate && !is_open())) rendering_.generation = format_.generation;
    return std::move(rendering_);
  }

 private:
  // Whether an answer is begun already, or cannot be.
  bool is_open() const {
    if (format_.leaves_last_open) return !messages_.empty() && messages_.back().role == ChatRole::kAssistant;
    if (!format_.questions_open_answers) return false;
    const auto last = std::find_if(messages_.rbegin(), messages_.rend(),
                                   [](const ChatMessage& message) { return message.role != ChatRole::kSystem; });
    return last != messages_.rend() && last->role == ChatRole::kUser;
  }

  void put(ChatRole role, std::string content, std::optional<size_t> message) {
    const ChatFrame& frame = role == ChatRole::kSystem ? format_.system
                             : role == ChatRole::kUser ? format_.user
                                                       : format_.assistant;
    rendering_.parts.push_back({frame.before, std::move(content), frame.after, message});
  }

  std::string content_of(size_t index) const {
    std::string_view content = messages_[index].content;
    if (format_.trims) content = trim(content);
    if (messages_[index].role != ChatRole::kAssistant) return std::string(content);
    if (format_.thinking == ChatThinking::kCut) content = after_last(content, kEndOfThinking);
    if (format_.thinking == ChatThinking::kAfterQuery) return qwen3_.content(index, content);
    return std::string(content);
  }

  // A system message that stands before all others, given or made.
  void put_first_system() {
    if (format_.systems != ChatSystem::kInPlace) return put_gathered_system();
    if (messages_.empty()) return;
    const bool given = messages_.front().role == ChatRole::kSystem;
    if (given) {
      put(ChatRole::kSystem, content_of(0), 0);
    } else if (format_.default_system) {
      put(ChatRole::kSystem, *format_.default_system, std::nullopt);
    } else {
      return;
    }
    first_ = given ? 1 : 0;
    rendering_.parts.back().before += format_.system_heading;
  }

  void put_gathered_system() {
    std::optional<std::string> text;
    for (const ChatMessage& message : messages_) {
      if (message.role != ChatRole::kSystem) continue;
      const bool joins = text && format_.systems == ChatSystem::kJoined;
      text = joins ? *text + "\n\n" + message.content : message.content;
    }
    if (text) put(ChatRole::kSystem, std::move(*text), std::nullopt);
  }

  const ChatFormat& format_;
  std::span<const ChatMessage> messages_;
  Qwen3Answers qwen3_;
  ChatRendering rendering_;
  size_t first_ = 0;
};

}  // namespace

std::string ChatRendering::text() const {
  std::string text = opening;
  for (const ChatPart& part : parts) text += part.before + part.content + part.after;
  return text + generation;
}

ChatRendering render_chat(const ChatFormat& format, std::span<const ChatMessage> messages, bool generate) {
  return Renderer(format, messages).render(generate);
}

}  // namespace dsmoe::tokenizer
