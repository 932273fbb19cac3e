#include "tokenizer/chat_format.h"

#include <algorithm>
#include <ctime>

#include "base/error.h"

namespace dsmoe::tokenizer {
namespace {

ChatFormat plain() {
  return {.name = "plain",
          .models = "User: and Assistant:, of models trained here, DeepSeek LLM, DeepSeekMoE and DeepSeek-V2",
          .opening = "<bos>",
          .system = {"", "\n\n"},
          .user = {"User: ", "\n\n"},
          .assistant = {"Assistant: ", "<eos>"},
          .generation = "Assistant:"};
}

ChatFormat deepseek(std::string name, std::string models, ChatSystem systems) {
  return {.name = std::move(name),
          .models = std::move(models),
          .opening = "<bos>",
          .user = {"<｜User｜>", ""},
          .assistant = {"<｜Assistant｜>", "<｜end▁of▁sentence｜>"},
          .generation = "<｜Assistant｜>",
          .markers = {"<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"},
          .systems = systems};
}

// The answer's marker stands behind each question, as a part of it.
ChatFormat deepseek_v3_0324() {
  ChatFormat format = deepseek("deepseek-v3-0324", "DeepSeek-V3-0324", ChatSystem::kJoined);
  format.user.after = format.generation;
  format.assistant.before.clear();
  format.questions_open_answers = true;
  return format;
}

ChatFormat deepseek_v2_5() {
  ChatFormat format = deepseek("deepseek-v2.5", "DeepSeek-V2 of June 2024 and V2.5", ChatSystem::kInPlace);
  format.system.after = "\n\n";
  format.assistant.after = "<eos>";
  format.markers.pop_back();
  return format;
}

ChatFormat deepseek_r1(std::string name, std::string models, ChatSystem systems, std::string_view generation) {
  ChatFormat format = deepseek(std::move(name), std::move(models), systems);
  format.generation += generation;
  format.thinking = ChatThinking::kCut;
  return format;
}

ChatFormat chatml(std::string name, std::string models, std::optional<std::string> default_system = {}) {
  return {.name = std::move(name),
          .models = std::move(models),
          .system = {"<|im_start|>system\n", "<|im_end|>\n"},
          .user = {"<|im_start|>user\n", "<|im_end|>\n"},
          .assistant = {"<|im_start|>assistant\n", "<|im_end|>\n"},
          .generation = "<|im_start|>assistant\n",
          .markers = {"<|im_start|>", "<|im_end|>"},
          .default_system = std::move(default_system)};
}

ChatFormat chatml_with_bos() {
  ChatFormat format = chatml("chatml-bos", "ChatML behind a bos token");
  format.opening = "<bos>";
  return format;
}

ChatFormat qwen1_5() {
  ChatFormat format = chatml("qwen1.5", "Qwen 1.5", "You are a helpful assistant");
  format.leaves_last_open = true;
  return format;
}

ChatFormat qwen3() {
  ChatFormat format = chatml("qwen3", "Qwen 3");
  format.thinking = ChatThinking::kAfterQuery;
  return format;
}

ChatFormat llama3(std::string name, std::string models) {
  const auto frame = [](const std::string& role) {
    return ChatFrame{"<|start_header_id|>" + role + "<|end_header_id|>\n\n", "<|eot_id|>"};
  };
  return {.name = std::move(name),
          .models = std::move(models),
          .opening = "<bos>",
          .system = frame("system"),
          .user = frame("user"),
          .assistant = frame("assistant"),
          .generation = frame("assistant").before,
          .markers = {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
          .trims = true};
}

ChatFormat llama3_always() {
  ChatFormat format = llama3("llama3-first", "Llama 3 as first published");
  format.always_generates = true;
  return format;
}

ChatFormat llama3_dated(std::string name, std::string models, const std::string& date) {
  ChatFormat format = llama3(std::move(name), std::move(models));
  format.default_system = "";
  format.system_heading = "Cutting Knowledge Date: December 2023\nToday Date: " + date + "\n\n";
  return format;
}

void replace_all(std::string& text, std::string_view what, std::string_view by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
}

}  // namespace

std::span<const ChatFormat> chat_formats() {
  static const std::vector<ChatFormat> formats = {
      plain(),
      deepseek_v2_5(),
      deepseek("deepseek-v3", "DeepSeek-V3", ChatSystem::kJoined),
      deepseek_v3_0324(),
      deepseek_r1("deepseek-r1", "DeepSeek-R1", ChatSystem::kJoined, "<think>\n"),
      deepseek_r1("deepseek-r1-first", "DeepSeek-R1 as first published", ChatSystem::kJoined, ""),
      deepseek_r1("deepseek-r1-distill", "models distilled from DeepSeek-R1", ChatSystem::kLast, "<think>\n"),
      deepseek_r1("deepseek-r1-distill-first", "the same as first published", ChatSystem::kLast, ""),
      chatml("chatml", "ChatML"),
      chatml_with_bos(),
      qwen1_5(),
      chatml("qwen2", "Qwen 2", "You are a helpful assistant."),
      chatml("qwen2.5", "Qwen 2.5", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
      qwen3(),
      llama3("llama3", "Llama 3"),
      llama3_always(),
      llama3_dated("llama3.1", "Llama 3.1 and 3.3", "26 Jul 2024"),
      llama3_dated("llama3.2", "Llama 3.2, which names the day", "<date>"),
  };
  return formats;
}

ChatRole chat_role_from(std::string_view name, std::string_view where) {
  if (name == "system") return ChatRole::kSystem;
  if (name == "user") return ChatRole::kUser;
  if (name == "assistant") return ChatRole::kAssistant;
  base::fail_invalid("chat", "a role is system, user or assistant", std::string(where) + ", " + base::in_quotes(name));
}

ChatFormat ChatFormat::bound_to(std::string_view bos, std::string_view eos, std::string_view date) const {
  ChatFormat bound = *this;
  for (std::string* text :
       {&bound.opening, &bound.system.before, &bound.system.after, &bound.user.before, &bound.user.after,
        &bound.assistant.before, &bound.assistant.after, &bound.generation, &bound.system_heading}) {
    replace_all(*text, "<bos>", bos);
    replace_all(*text, "<eos>", eos);
    replace_all(*text, "<date>", date);
  }
  return bound;
}

const ChatFormat& chat_format_named(std::string_view name) {
  const auto formats = chat_formats();
  const auto found = std::ranges::find(formats, name, &ChatFormat::name);
  if (found == formats.end()) {
    base::fail(base::ErrorKind::kUsage, "chat", "no chat format of this name", base::in_quotes(name),
               "there are " + chat_format_names());
  }
  return *found;
}

std::string chat_format_names() {
  std::string names;
  for (const ChatFormat& format : chat_formats()) names += (names.empty() ? "" : ", ") + format.name;
  return names;
}

std::string chat_date_today() {
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm day{};
  ::localtime_r(&now, &day);
  const std::string number = std::to_string(day.tm_mday);
  return (number.size() < 2 ? "0" : "") + number + " " + kMonths[day.tm_mon] + " " + std::to_string(day.tm_year + 1900);
}

}  // namespace dsmoe::tokenizer
