#include "eval/task.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/hash.h"
#include "corpus/sources.h"
#include "eval/task_settings.h"

namespace dsmoe::eval {
namespace {

using base::fail_invalid;
using base::Json;

constexpr uint64_t kLongestItem = 1 << 20, kLongestSettings = 1 << 20;
constexpr const char *kItems = "items.jsonl", *kSettings = "task.toml";
constexpr size_t kLetters = 26;

std::string letter(size_t choice) { return std::string(1, static_cast<char>('A' + choice)); }

// The item's strings, numbers and booleans by name.
Fields fields_of(const Json& document) {
  Fields fields;
  for (const auto& [key, value] : document.items()) {
    if (value.is_string()) fields[key] = value.get<std::string>();
    if (value.is_number() || value.is_boolean()) fields[key] = base::dump_json(value);
  }
  return fields;
}

std::string rendered(const Template& text, const Fields& fields, const std::string& place) {
  if (const std::string* name = text.first_missing(fields)) {
    fail_invalid("task", "a template names a field that the item lacks", base::in_quotes(*name), place);
  }
  return text.render(fields);
}

// Throws unless none of the texts, called `what`, is empty and no two are alike.
void require_told_apart(const std::vector<std::string>& texts, const std::string& what, const std::string& place) {
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].find_first_not_of(" \t\r\n") == std::string::npos) {
      fail_invalid("task", "none of " + what + " may be empty", "number " + std::to_string(i), place);
    }
    const auto here = texts.begin() + static_cast<ptrdiff_t>(i);
    if (std::find(texts.begin(), here, *here) != here) {
      fail_invalid("task", "no two of " + what + " may be alike", base::in_quotes(*here), place);
    }
  }
}

// The list of strings under `key`; `least` of them, none empty, no two alike.
std::vector<std::string> strings_of(const Json& document, const char* key, size_t least, const std::string& place) {
  const auto found = document.find(key);
  const bool list = found != document.end() && found->is_array() &&
                    std::all_of(found->begin(), found->end(), [](const Json& text) { return text.is_string(); });
  if (!list || found->size() < least) {
    fail_invalid("task", std::string(key) + " must be a list of at least " + std::to_string(least) + " strings",
                 found == document.end() ? "none" : base::in_quotes(base::dump_json(*found)), place);
  }
  auto texts = found->get<std::vector<std::string>>();
  require_told_apart(texts, key, place);
  return texts;
}

void read_choices(const TaskSettings& settings, Fields& fields, Item& item) {
  const auto texts = strings_of(item.document, "choices", 2, item.place);
  const bool letters = settings.choice.uses("letter") || settings.question.uses("choices");
  if (letters && texts.size() > kLetters) {
    fail_invalid("task", "letters name at most 26 choices", std::to_string(texts.size()), item.place);
  }
  const auto answer = item.document.find("answer");
  if (answer == item.document.end() || !answer->is_number_integer() || answer->get<int64_t>() < 0 ||
      answer->get<int64_t>() >= std::ssize(texts)) {
    fail_invalid("task", "answer must be the number of the right choice, from 0 to " + std::to_string(texts.size() - 1),
                 answer == item.document.end() ? "none" : base::in_quotes(base::dump_json(*answer)), item.place);
  }
  item.right = static_cast<size_t>(answer->get<int64_t>());
  std::string list;
  for (size_t i = 0; letters && i < texts.size(); ++i) list += (i > 0 ? "\n" : "") + letter(i) + ". " + texts[i];
  fields["choices"] = list;
  for (size_t i = 0; i < texts.size(); ++i) {
    fields["choice"] = texts[i];
    if (letters) fields["letter"] = letter(i);
    item.choices.push_back(rendered(settings.choice, fields, item.place));
  }
  // A template without {choice} and {letter} would score one text for all of them.
  require_told_apart(item.choices, "the texts that the template choice makes", item.place);
  item.shown_answer = item.choices[item.right];
}

void read_answers(const TaskSettings& settings, Fields& fields, Item& item) {
  item.answers = strings_of(item.document, "answers", 1, item.place);
  fields["answer"] = item.answers.front();
  item.shown_answer = rendered(settings.answer, fields, item.place);
}

std::string text_or(const Json& document, const char* key, const std::string& place) {
  const auto found = document.find(key);
  if (found == document.end()) return "";
  if (found->is_number_integer()) return base::dump_json(*found);
  if (!found->is_string()) {
    fail_invalid("task", std::string(key) + " must be a string", base::in_quotes(base::dump_json(*found)), place);
  }
  return found->get<std::string>();
}

// `name`: the item's where it has no id of its own.
Item item_of(const TaskSettings& settings, Json document, const std::string& place, const std::string& name) {
  Item item;
  item.place = place;
  if (!document.is_object()) fail_invalid("task", "an item must be an object", document.type_name(), item.place);
  item.document = std::move(document);
  item.id = text_or(item.document, "id", item.place);
  if (item.id.empty()) item.id = name;
  item.pool = text_or(item.document, "pool", item.place);
  Fields fields = fields_of(item.document);
  if (settings.task.kind == TaskKind::kChoice) {
    read_choices(settings, fields, item);
  } else {
    read_answers(settings, fields, item);
  }
  fields.erase("choice"), fields.erase("letter");
  item.question = rendered(settings.question, fields, item.place);
  return item;
}

class ItemReader {
 public:
  explicit ItemReader(const TaskSettings& settings) : settings_(settings) {}

  /// The items of a file that are of `split` and those that are not; without a split all are others.
  void read(const base::fs::path& file, const std::optional<std::string>& split, std::vector<Item>& of_split,
            std::vector<Item>& others) {
    if (!base::fs::is_regular_file(file)) base::fail(base::ErrorKind::kIo, "task", "no such file", file.string());
    corpus::RecordReader records(file, {.longest_document = kLongestItem});
    corpus::Record record;
    while (records.next(record)) {
      const std::string line = ":" + std::to_string(record.line), place = file.string() + line;
      Item item = item_of(settings_, base::parse_json(record.bytes, place), place, file.filename().string() + line);
      const auto [other, added] = places_.try_emplace(item.id, place);
      if (!added) {
        fail_invalid("task", "an id may be there once", base::in_quotes(item.id), other->second + " and " + place);
      }
      const bool in_split = split && text_or(item.document, "split", place) == *split;
      (in_split ? of_split : others).push_back(std::move(item));
    }
  }

 private:
  const TaskSettings& settings_;
  std::unordered_map<std::string, std::string> places_;  // by id
};

std::string hash_of(const base::fs::path& folder, const std::vector<std::string>& names) {
  base::Hasher hasher;
  for (const std::string& name : names) {
    const base::MappedFile file(folder / name);
    hasher.update(name + " " + std::to_string(file.bytes().size()) + "\n");
    hasher.update(base::as_text(file.bytes()));
  }
  return hasher.hex();
}

}  // namespace

std::string_view task_kind_name(TaskKind kind) { return kind == TaskKind::kChoice ? "choice" : "generate"; }

Task read_task(const base::fs::path& folder) {
  std::error_code ignored;
  if (!base::fs::is_regular_file(folder / kSettings, ignored)) {
    base::fail(base::ErrorKind::kIo, "task", "not a task's folder, it has no task.toml", folder.string(),
               "docs/evaluation.md describes one");
  }
  const std::string where = (folder / kSettings).string();
  const TaskSettings settings = read_task_settings(base::read_file(where, kLongestSettings), where);
  Task task = settings.task;
  task.folder = folder;
  const base::fs::path absolute = base::fs::absolute(folder).lexically_normal();
  task.name = (absolute.has_filename() ? absolute : absolute.parent_path()).filename().string();
  ItemReader reader(settings);
  reader.read(folder / kItems, settings.shots_split, task.shots, task.items);
  std::vector<std::string> names = {kSettings, kItems};
  if (settings.shots_file) {
    std::vector<Item> none;
    reader.read(folder / *settings.shots_file, {}, none, task.shots);
    names.push_back(*settings.shots_file);
  }
  if (task.items.empty()) {
    fail_invalid("task", "a task needs an item to score", (folder / kItems).string() + " has none",
                 settings.shots_split ? "items of split " + base::in_quotes(*settings.shots_split) + " are shots" : "");
  }
  task.hash = hash_of(folder, names);
  return task;
}

}  // namespace dsmoe::eval
