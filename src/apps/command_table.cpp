#include "apps/command_table.h"

#include <sstream>

#include "quantize/recipe.h"
#include "spec/presets.h"
#include "tokenizer/chat_format.h"

namespace dsmoe::apps {
namespace {

// The positional that takes a preset or a file, in every command that has one.
constexpr const char* kConfiguration = "CONFIG";

// CLI11 writes the values that an option is held to behind its type: TEXT:{f32,f16,q8_0}.
std::vector<std::string> choices_in(const std::string& type) {
  std::vector<std::string> choices;
  const size_t begin = type.find(":{"), end = type.find('}', begin);
  if (begin == std::string::npos || end == std::string::npos) return choices;
  std::istringstream list(type.substr(begin + 2, end - begin - 2));
  for (std::string choice; std::getline(list, choice, ',');) choices.push_back(choice);
  return choices;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const spec::Preset& preset : spec::presets()) names.emplace_back(preset.name);
  return names;
}

std::vector<std::string> quantised_types() {
  std::vector<std::string> names;
  for (const quantize::Recipe& recipe : quantize::recipes()) names.emplace_back(recipe.name);
  return names;
}

std::vector<std::string> chat_formats() {
  std::vector<std::string> names;
  std::istringstream list(tokenizer::chat_format_names());
  for (std::string name; list >> name;) {
    if (name.ends_with(',')) name.pop_back();
    names.push_back(std::move(name));
  }
  return names;
}

// What may be given where the command itself checks it, with a better message than a list.
std::vector<std::string> choices_of(const std::string& name) {
  if (name == kConfiguration || name == "--preset") return preset_names();
  if (name == "--type" || name == "--quantize") return quantised_types();
  if (name == "--chat-format") return chat_formats();
  if (name == "--split") return {"train", "valid"};
  return {};
}

TableOption row_of(const CLI::Option& option) {
  TableOption row;
  if (option.get_positional()) {
    row.names = {option.get_single_name()};
  } else {
    for (const std::string& name : option.get_snames()) row.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames()) row.names.push_back("--" + name);
  }
  if (option.get_items_expected_max() > 0) {
    const std::string type = option.get_type_name();
    row.value = type.substr(0, type.find(':'));
    row.choices = choices_in(type);
    row.default_value = option.get_default_str();
  }
  if (row.choices.empty()) row.choices = choices_of(row.names.back());
  row.help = option.get_description();
  row.required = option.get_required();
  row.repeats = option.get_items_expected_max() > 1;
  return row;
}

void add_options(const CLI::App& command, TableCommand& table) {
  for (const CLI::Option* option : command.get_options()) {
    (option->get_positional() ? table.positionals : table.options).push_back(row_of(*option));
  }
}

TableCommand table_of(const CLI::App& command, std::vector<std::string> path) {
  TableCommand table;
  table.path = std::move(path);
  table.group = command.get_group();
  table.description = command.get_description();
  table.footer = command.get_footer();
  add_options(command, table);
  for (const CLI::App* below : command.get_subcommands([](const CLI::App*) { return true; })) {
    if (below->get_name().empty()) {
      add_options(*below, table);
      continue;
    }
    std::vector<std::string> deeper = table.path;
    deeper.push_back(below->get_name());
    table.commands.push_back(table_of(*below, std::move(deeper)));
  }
  return table;
}

void collect(const TableCommand& command, std::vector<const TableCommand*>& all) {
  all.push_back(&command);
  for (const TableCommand& below : command.commands) collect(below, all);
}

}  // namespace

TableCommand command_table(const CLI::App& program) { return table_of(program, {}); }

std::vector<const TableCommand*> all_commands(const TableCommand& program) {
  std::vector<const TableCommand*> all;
  collect(program, all);
  return all;
}

std::string path_text(const TableCommand& command, const std::string& between) {
  std::string text;
  for (const std::string& word : command.path) text += (text.empty() ? "" : between) + word;
  return text;
}

}  // namespace dsmoe::apps
