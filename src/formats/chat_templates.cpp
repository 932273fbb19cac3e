#include "formats/chat_templates.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "formats/gguf.h"

namespace dsmoe::formats {
namespace {

namespace fs = base::fs;
using base::in_quotes;
using base::Json;

constexpr uint64_t kLongest = 1 << 24;
constexpr const char* kKey = "chat_template";
constexpr std::string_view kOfConversations = "default";

bool there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

[[noreturn]] void fail_form(const Json& value, const std::string& where) {
  base::fail_invalid(where, "chat_template must be text, several by name, or null", in_quotes(base::dump_json(value)));
}

void add(ChatTemplates& all, const std::string& name, std::string text) {
  if (name == kOfConversations) {
    all.conversation = std::move(text);
  } else {
    all.other_uses.push_back(name);
  }
}

// One text, a list of {"name": ..., "template": ...}, or an object of texts by name.
void add_from_json(ChatTemplates& all, const Json& value, const std::string& where) {
  if (value.is_string()) {
    all.conversation = value.get<std::string>();
  } else if (value.is_array()) {
    for (const Json& each : value) {
      add(all, base::require_string(each, "name", where), base::require_string(each, "template", where));
    }
  } else if (value.is_object()) {
    for (const auto& [name, text] : value.items()) {
      if (!text.is_string()) fail_form(value, where);
      add(all, name, text.get<std::string>());
    }
  } else if (!value.is_null()) {
    fail_form(value, where);
  }
}

void add_from_file(ChatTemplates& all, const fs::path& path) {
  if (!there(path)) return;
  const Json json = base::parse_json(base::read_file(path, kLongest), path.string());
  const auto found = json.find(kKey);
  if (found != json.end()) add_from_json(all, *found, path.string());
}

ChatTemplates of_gguf(const GgufFile& file) {
  constexpr std::string_view kPrefix = "tokenizer.chat_template";
  ChatTemplates all;
  all.conversation = file.text(std::string(kPrefix)).value_or("");
  for (const GgufHeader::Entry& entry : file.header().metadata) {
    const std::string_view key = entry.key;
    const bool named = key.size() > kPrefix.size() && key.starts_with(kPrefix) && key[kPrefix.size()] == '.';
    if (named) all.other_uses.emplace_back(key.substr(kPrefix.size() + 1));
  }
  return all;
}

}  // namespace

ChatTemplates chat_templates_of(const fs::path& model) {
  std::error_code ignored;
  if (fs::is_regular_file(model, ignored)) return of_gguf(GgufFile(model));
  ChatTemplates all;
  if (const fs::path own = model / "chat_template.jinja"; there(own)) all.conversation = base::read_file(own, kLongest);
  for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
    if (all.conversation.empty()) add_from_file(all, model / name);
  }
  for (fs::directory_iterator at(model / "additional_chat_templates", ignored), end; !ignored && at != end;
       at.increment(ignored)) {
    if (at->path().extension() == ".jinja") all.other_uses.push_back(at->path().stem().string());
  }
  std::sort(all.other_uses.begin(), all.other_uses.end());
  return all;
}

std::string chat_template_of(const fs::path& model) {
  ChatTemplates all = chat_templates_of(model);
  if (all.conversation.empty() && !all.other_uses.empty()) {
    std::string names;
    for (const std::string& name : all.other_uses) names += (names.empty() ? "" : ", ") + name;
    base::fail_invalid("chat", "one of several chat templates must be called default",
                       model.string() + " has " + in_quotes(names), "choose a format with --chat-format");
  }
  return std::move(all.conversation);
}

}  // namespace dsmoe::formats
