// dsmoe tokenizer chat: a conversation as a model's chat format writes it, as text and as ids.
#include "apps/tokenizer_chat.h"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <memory>

#include "apps/model_option.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/chat_templates.h"
#include "formats/gguf.h"
#include "formats/gguf_tokenizer.h"
#include "tokenizer/chat_encoder.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::apps {
namespace {

using base::Json;

struct Options {
  std::string model, file, format;
  std::string date = tokenizer::chat_date_today();
  bool no_generation = false, lines = false, json = false;
};

tokenizer::Tokenizer tokenizer_of(const base::fs::path& model) {
  if (model.extension() != ".gguf") return tokenizer::load_tokenizer(model);
  auto spec = formats::tokenizer_from_gguf(formats::GgufFile(model));
  if (!spec) base::fail_invalid("tokenizer", "the model has no tokenizer", model.string());
  return tokenizer::Tokenizer(std::move(*spec));
}

std::string template_of(const base::fs::path& model) {
  return formats::chat_template_of(model.extension() == ".json" ? model.parent_path() : model);
}

std::vector<tokenizer::ChatMessage> messages_of(const Json& list, const std::string& where) {
  if (!list.is_array()) base::fail_invalid("chat", "a conversation is an array of messages", where);
  std::vector<tokenizer::ChatMessage> messages;
  for (const Json& each : list) {
    const std::string place = where + ", message " + std::to_string(messages.size() + 1);
    const auto role = tokenizer::chat_role_from(base::require_string(each, "role", place), place);
    messages.push_back({role, base::require_string(each, "content", place)});
    for (const auto& [key, value] : each.items()) {
      if (key == "role" || key == "content") continue;
      base::fail_invalid("chat", "a message has role and content only", place + ", " + base::in_quotes(key));
    }
  }
  return messages;
}

class Rendering {
 public:
  explicit Rendering(const Options& options)
      : options_(options),
        tokenizer_(tokenizer_of(options.model)),
        encoder_(tokenizer_,
                 options.format.empty() ? tokenizer::chat_format_of(template_of(options.model), options.model)
                                        : tokenizer::chat_format_named(options.format),
                 {tokenizer_.bos_id(), tokenizer_.eos_id(), options.date}) {}

  void put(std::string_view text, const std::string& where) const {
    const Json value = base::parse_json(text, where);
    bool generate = !options_.no_generation;
    if (value.is_object() && value.contains("add_generation_prompt")) {
      generate = generate && base::require_bool(value, "add_generation_prompt", where);
    }
    const auto messages =
        messages_of(value.is_object() ? base::require_member(value, "messages", where) : value, where);
    const auto rendering = encoder_.render(messages, generate);
    if (!options_.json && !options_.lines) {
      std::cout << rendering.text();
      return;
    }
    const Json all = {
        {"text", rendering.text()}, {"ids", encoder_.encode(rendering)}, {"format", encoder_.format().name}};
    std::cout << base::dump_json(options_.json ? all : all["text"]) << "\n";
  }

 private:
  const Options& options_;
  tokenizer::Tokenizer tokenizer_;
  tokenizer::ChatEncoder encoder_;
};

void act(const Options& options) {
  const Rendering rendering(options);
  const bool piped = options.file.empty() || options.file == "-";
  const std::string where = piped ? "standard input" : options.file;
  const std::string text =
      piped ? std::string(std::istreambuf_iterator<char>(std::cin), {}) : base::read_file(options.file);
  if (!options.lines) return rendering.put(text, where);
  for (size_t at = 0, line = 1; at < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', at), text.size());
    rendering.put(std::string_view(text).substr(at, end - at), where + ", line " + std::to_string(line));
    at = end + 1;
  }
}

}  // namespace

void add_tokenizer_chat(CLI::App& group) {
  auto options = std::make_shared<Options>();
  CLI::App* command = group.add_subcommand("chat", "A conversation as the model's chat format writes it");
  add_model(*command, options->model, "-m,--model,--tokenizer", "a model folder, its tokenizer.json, or a .gguf file")
      ->required();
  command->add_option("FILE", options->file,
                      "JSON: messages with role and content, or an object with messages and add_generation_prompt; "
                      "standard input without it");
  command->add_option("--chat-format", options->format,
                      "instead of the model's own: " + tokenizer::chat_format_names());
  command->add_option("--date", options->date, "the day, for formats that name it")->capture_default_str();
  command->add_flag("--no-generation-prompt", options->no_generation, "without what asks the model for an answer");
  command->add_flag("--lines", options->lines, "every line is a conversation of its own; a JSON string for each");
  command->add_flag("--json", options->json, "one object: text, ids, format");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
