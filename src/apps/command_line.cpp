#include "apps/command_line.h"

#include <algorithm>

#include "apps/familiar_options.h"
#include "base/error.h"
#include "spec/settings.h"

namespace dsmoe::apps {
namespace {

std::string path_of(const CLI::App* command) {
  const std::string above = command->get_parent() == nullptr ? "" : path_of(command->get_parent()) + " ";
  return above + command->get_name();
}

[[noreturn]] void refuse(const CLI::App* command, const std::string& rule, const std::string& word, std::string hint) {
  if (!hint.empty() && hint.back() != '?') hint += ';';
  if (!hint.empty()) hint += ' ';
  base::fail(base::ErrorKind::kUsage, "usage", rule, base::in_quotes(word), hint + help_hint(command));
}

std::string did_you_mean(const std::string& word) { return word.empty() ? "" : "did you mean " + word + "?"; }

// --- commands ---

/// The commands directly under this one; option groups are nameless ones to CLI11.
std::vector<const CLI::App*> commands_of(const CLI::App* above) {
  return above->get_subcommands([](const CLI::App* command) { return !command->get_name().empty(); });
}

const CLI::App* command_named(const CLI::App* above, const std::string& name) {
  for (const CLI::App* command : commands_of(above)) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

[[noreturn]] void refuse_command(const CLI::App* above, const std::string& word) {
  std::vector<std::string> names;
  std::string meant(familiar_command(word));
  for (const CLI::App* command : commands_of(above)) {
    names.push_back(command->get_name());
    if (command_named(command, word) != nullptr) meant = command->get_name() + " " + word;
  }
  const bool is_program = above->get_parent() == nullptr;
  if (!is_program || meant.empty()) meant = base::nearest(word, names);
  refuse(above, "unknown command", word, did_you_mean(meant));
}

// --- options ---

bool takes_settings(const CLI::App* command) {
  for (const CLI::Option* option : command->get_options()) {
    if (option->get_positional() && option->get_name() == kSettings) return true;
  }
  return false;
}

/// Every long name of the command and its option groups, with its dashes.
std::vector<std::string> long_names(const CLI::App* command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command->get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  for (const CLI::App* group : command->get_subcommands([](const CLI::App* app) { return app->get_name().empty(); })) {
    const auto more = long_names(group);
    names.insert(names.end(), more.begin(), more.end());
  }
  return names;
}

/// What to do in place of an option that is not there.
std::string hint_for(const CLI::App* command, const std::string& name) {
  const bool one_dash = name[1] != '-';
  const std::string bare = name.substr(one_dash ? 1 : 2), as_long = "--" + bare;
  if (one_dash && command->get_option_no_throw(as_long) != nullptr) return did_you_mean(as_long);
  const FamiliarOption familiar = familiar_option(bare);
  if (command->get_option_no_throw(std::string(familiar.option)) != nullptr) {
    return did_you_mean(std::string(familiar.option));
  }
  if (!familiar.sentence.empty()) return std::string(familiar.sentence);
  if (takes_settings(command)) {
    if (const std::string key = spec::suggested_key("", bare); !key.empty()) {
      return "settings have no dashes; did you mean " + key + "=VALUE?";
    }
  }
  const std::string letter = name.substr(0, 2);
  if (one_dash && bare.size() > 1 && command->get_option_no_throw(letter) != nullptr) {
    return "a short option stands alone, and its value is the next word: " + letter + " VALUE";
  }
  return did_you_mean(base::nearest(as_long, long_names(command)));
}

/// Texts that may be empty; every other value that is not read as a number names something.
bool may_be_empty(const CLI::Option* option) {
  for (const char* name : {"prompt", "system", "title"}) {
    if (option->check_lname(name)) return true;
  }
  return option->get_type_name() != "TEXT";
}

void require_value(const CLI::App* command, const CLI::Option* option, const std::string& value) {
  if (!value.empty() || may_be_empty(option)) return;
  refuse(command, option->get_name() + " must not be empty", value, "");
}

/// Long names of two letters may have one dash, as llama.cpp writes them: -np.
const CLI::Option* option_named(const CLI::App* command, std::string& name) {
  if (name.size() < 2) return nullptr;
  const CLI::Option* option = command->get_option_no_throw(name);
  if (option == nullptr && name.size() == 3 && name[1] != '-') option = command->get_option_no_throw("-" + name);
  if (option != nullptr && name.size() == 3 && name[1] != '-') name.insert(0, "-");
  return option;
}

/// "-" (standard input) and numbers below zero are values.
bool is_option(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && !(word[1] >= '0' && word[1] <= '9') && word[1] != '.';
}

/// Appends the words of one command to `out`.
void read_options(const CLI::App* command, const std::vector<std::string>& words, std::vector<std::string>& out) {
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    if (!is_option(word)) {
      if (word.empty()) refuse(command, "an argument must not be empty", word, "");
      out.push_back(word);
      continue;
    }
    const size_t equals = word.find('=');
    std::string name = word.substr(0, equals);
    const CLI::Option* option = option_named(command, name);
    if (option == nullptr) refuse(command, "unknown option", name, hint_for(command, name));
    const bool is_flag = option->get_items_expected_max() == 0;
    if (is_flag) {
      out.push_back(word);
      continue;
    }
    out.push_back(name);
    if (equals == std::string::npos && i + 1 == words.size()) continue;
    out.push_back(equals == std::string::npos ? words[++i] : word.substr(equals + 1));
    require_value(command, option, out.back());
  }
}

}  // namespace

std::string help_hint(const CLI::App* command) { return path_of(command) + " --help tells more"; }

std::vector<std::string> read_words(const CLI::App& program, std::vector<std::string> words) {
  if (!words.empty() && words.front() == "help") {
    words.erase(words.begin());
    words.push_back("--help");
  }
  const CLI::App* command = &program;
  std::vector<std::string> out;
  auto at = words.begin();
  while (!commands_of(command).empty()) {
    const auto name = std::find_if_not(at, words.end(), is_option);
    if (name == words.end()) break;
    const CLI::App* chosen = command_named(command, *name);
    if (chosen == nullptr) refuse_command(command, *name);
    read_options(command, {at, name}, out);
    out.push_back(*name);
    command = chosen;
    at = name + 1;
  }
  if (command->get_prefix_command()) {
    out.insert(out.end(), at, words.end());
  } else {
    read_options(command, {at, words.end()}, out);
  }
  return out;
}

}  // namespace dsmoe::apps
