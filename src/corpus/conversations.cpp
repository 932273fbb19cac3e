#include "corpus/conversations.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace dsmoe::corpus {
namespace {

using base::fail_invalid;
using base::in_quotes;
using base::Json;
using tokenizer::ChatRole;

constexpr const char* kShapes =
    R"(a line is {"messages": [{"role": ..., "content": ...}, ...]}, {"instruction": ..., "output": ...} or )"
    R"({"conversations": [{"from": ..., "value": ...}, ...]})";

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos; }

const Json& require_list(const Json& object, const char* key, const std::string& where) {
  const Json& list = base::require_member(object, key, where);
  if (!list.is_array()) {
    fail_invalid(where, std::string(key) + " must be a list of turns", in_quotes(base::dump_json(list)), kShapes);
  }
  return list;
}

ChatRole role_of(const std::string& name, const std::string& where) {
  constexpr std::pair<std::string_view, ChatRole> kNames[] = {
      {"system", ChatRole::kSystem},       {"user", ChatRole::kUser},     {"human", ChatRole::kUser},
      {"assistant", ChatRole::kAssistant}, {"gpt", ChatRole::kAssistant}, {"chatgpt", ChatRole::kAssistant}};
  const auto* found = std::ranges::find(kNames, name, &std::pair<std::string_view, ChatRole>::first);
  if (found != std::end(kNames)) return found->second;
  fail_invalid(where, "a turn is of system, user (or human) or assistant (or gpt)", in_quotes(name),
               "turns of tools are not learnt from: leave such conversations out");
}

void add(Conversation& conversation, ChatRole role, std::string text, bool trained) {
  conversation.messages.push_back({role, std::move(text)});
  conversation.trained.push_back(trained && role == ChatRole::kAssistant);
}

/// Lists of turns, whatever the keys are called.
struct TurnKeys {
  const char *list, *role, *text;
};

Conversation from_turns(const Json& object, const TurnKeys& keys, const std::string& where) {
  Conversation conversation;
  if (object.contains("system") && object["system"].is_string() && !is_blank(object["system"].get<std::string>())) {
    add(conversation, ChatRole::kSystem, object["system"].get<std::string>(), false);
  }
  for (const Json& turn : require_list(object, keys.list, where)) {
    if (!turn.is_object()) fail_invalid(where, "a turn must be an object", in_quotes(base::dump_json(turn)), kShapes);
    const ChatRole role = role_of(base::require_string(turn, keys.role, where), where);
    const bool trained = !turn.contains("train") || base::require_bool(turn, "train", where);
    add(conversation, role, base::require_string(turn, keys.text, where), trained);
  }
  return conversation;
}

Conversation from_instruction(const Json& object, const std::string& where) {
  Conversation conversation;
  const auto optional = [&](const char* key) {
    return object.contains(key) && !object[key].is_null() ? base::require_string(object, key, where) : std::string();
  };
  if (const std::string system = optional("system"); !is_blank(system)) {
    add(conversation, ChatRole::kSystem, system, false);
  }
  std::string question = base::require_string(object, "instruction", where);
  if (const std::string input = optional("input"); !is_blank(input)) question += "\n\n" + input;
  add(conversation, ChatRole::kUser, std::move(question), false);
  add(conversation, ChatRole::kAssistant, base::require_string(object, "output", where), true);
  return conversation;
}

std::string name_of(ChatRole role) {
  return role == ChatRole::kSystem ? "system" : role == ChatRole::kUser ? "user" : "assistant";
}

void check(const Conversation& conversation, const std::string& where) {
  ChatRole expected = ChatRole::kUser;
  for (size_t i = 0; i < conversation.messages.size(); ++i) {
    const tokenizer::ChatMessage& message = conversation.messages[i];
    const std::string which = "turn " + std::to_string(i + 1) + ", of " + name_of(message.role);
    if (i == 0 && message.role == ChatRole::kSystem) continue;
    if (message.role != expected) {
      fail_invalid(where, "turns of user and assistant take turns, after a system message at most, and user begins",
                   which + ", where one of " + name_of(expected) + " must stand", "join or leave out such turns");
    }
    if (is_blank(message.content)) {
      fail_invalid(where, expected == ChatRole::kUser ? "a question must have text" : "an answer must have text",
                   which + ", is empty", "leave the example out");
    }
    expected = expected == ChatRole::kUser ? ChatRole::kAssistant : ChatRole::kUser;
  }
  if (conversation.messages.empty() || conversation.messages.back().role != ChatRole::kAssistant) {
    fail_invalid(where, "an example must end with an assistant's turn, which is what is learnt",
                 conversation.messages.empty() ? "it has no turn"
                                               : "its last is of " + name_of(conversation.messages.back().role),
                 "add the answer, or leave the example out");
  }
  if (std::ranges::find(conversation.trained, true) == conversation.trained.end()) {
    fail_invalid(where, "an example must have an assistant's turn to learn from", R"("train" is false in all of them)",
                 "leave the example out");
  }
}

}  // namespace

Conversation read_conversation(std::string_view line, const std::string& where) {
  const Json object = base::parse_json(line, where);
  if (!object.is_object()) {
    fail_invalid(where, "a conversation must be a JSON object", in_quotes(base::dump_json(object)),
                 object.is_array() ? "a list of examples becomes lines by jq -c '.[]'" : kShapes);
  }
  Conversation conversation;
  if (object.contains("messages")) {
    conversation = from_turns(object, {"messages", "role", "content"}, where);
  } else if (object.contains("conversations")) {
    conversation = from_turns(object, {"conversations", "from", "value"}, where);
  } else if (object.contains("instruction")) {
    conversation = from_instruction(object, where);
  } else {
    std::string keys;
    for (const auto& [key, value] : object.items()) keys += (keys.empty() ? "" : ", ") + key;
    fail_invalid(where, "a conversation must have messages, instruction and output, or conversations", in_quotes(keys),
                 kShapes);
  }
  check(conversation, where);
  return conversation;
}

}  // namespace dsmoe::corpus
