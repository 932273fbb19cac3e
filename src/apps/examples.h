// What to type, for every command: shown in --help and in the manual, and held by a test to what the commands take.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dsmoe::apps {

struct Example {
  std::string_view command;  ///< "dsmoe eval perplexity"
  std::string_view words;    ///< behind it, as typed in a shell
  std::string_view meaning;
};

/// All of them, those of one command together.
const std::vector<Example>& examples();

/// The examples of one command: a line for what one does and a line for what is typed. Empty where it has none.
std::string examples_text(const std::string& command);

}  // namespace dsmoe::apps
