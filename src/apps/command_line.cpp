#include "apps/command_line.h"

#include <algorithm>
#include <iostream>

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

/// "-" (standard input) and numbers below zero are values.
bool is_option(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && !(word[1] >= '0' && word[1] <= '9') && word[1] != '.';
}

bool has_option(const CLI::App* command, const std::string& name) {
  return name.size() > 1 && command->get_option_no_throw(name) != nullptr;
}

/// An option as it was typed, with the word that follows it or stands behind its "=".
struct Typed {
  std::string name, value;
  bool has_value = false;
};

/// -t names threads everywhere. Scripts of before give it a type or a tokenizer, which no number of threads is: such a
/// word still goes where it went, and that is said.
std::string former_meaning(const CLI::App* command, const Typed& typed) {
  if (typed.name != "-t" || !typed.has_value) return typed.name;
  if (!typed.value.empty() && typed.value.find_first_not_of("0123456789") == std::string::npos) return typed.name;
  for (const char* meant : {"--type", "--tokenizer"}) {
    if (!has_option(command, meant)) continue;
    std::cerr << "note: -t is the number of threads; " << meant << " " << typed.value << " says what is meant here\n";
    return meant;
  }
  return typed.name;
}

/// The name of an option of this command that is meant by what was typed. Throws Error(kUsage) where there is none.
std::string meant_option(const CLI::App* command, const Typed& typed) {
  const std::string name = former_meaning(command, typed);
  if (has_option(command, name)) return name;
  // Long names of two letters may have one dash, as llama.cpp writes them: -np.
  if (name.size() == 3 && name[1] != '-' && has_option(command, "-" + name)) return "-" + name;
  const std::string same(same_option(name));
  if (has_option(command, same)) return same;
  refuse(command, "unknown option", name, hint_for(command, name));
}

/// llama.cpp's -ctk and -ctv together say one thing twice.
bool says_it_again(const std::vector<std::string>& out, const std::string& name, const std::string& value) {
  const auto before = std::find(out.begin(), out.end(), name);
  return before != out.end() && before + 1 != out.end() && before[1] == value;
}

/// True where the command has an argument without a name.
bool takes_words(const CLI::App* command) {
  const auto groups = command->get_subcommands([](const CLI::App* app) { return app->get_name().empty(); });
  return std::ranges::any_of(command->get_options(), &CLI::Option::get_positional) ||
         std::ranges::any_of(groups, takes_words);
}

/// Appends the words of one command to `out`.
void read_options(const CLI::App* command, const std::vector<std::string>& words, std::vector<std::string>& out) {
  bool takes_more = false;  // the option before, another value
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      out.insert(out.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    if (!is_option(word)) {
      if (word.empty()) refuse(command, "an argument must not be empty", word, "");
      if (!takes_words(command) && !takes_more) {
        refuse(command, "every value follows an option's name here", word,
               has_option(command, "--model") ? "a model is -m MODEL" : "");
      }
      out.push_back(word);
      continue;
    }
    const size_t equals = word.find('=');
    const bool joined = equals != std::string::npos;
    Typed typed{word.substr(0, equals), "", joined || i + 1 < words.size()};
    if (typed.has_value) typed.value = joined ? word.substr(equals + 1) : words[i + 1];
    const std::string name = meant_option(command, typed);
    const CLI::Option* option = command->get_option(name);
    const bool is_flag = option->get_items_expected_max() == 0;
    takes_more = option->get_items_expected_max() > 1;
    if (is_flag) {
      out.push_back(word);
      continue;
    }
    if (!joined && typed.has_value) ++i;
    if (name != typed.name && says_it_again(out, name, typed.value)) continue;
    out.push_back(name);
    if (!typed.has_value) continue;
    require_value(command, option, typed.value);
    out.push_back(typed.value);
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
    // A command that also does something without the commands below it has them as its first word only.
    const bool is_optional = command->get_parent() != nullptr && command->get_require_subcommand_min() == 0;
    if (is_optional && (chosen == nullptr || name != at)) break;
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
