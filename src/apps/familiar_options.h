// What users of llama.cpp and transformers type: spellings that mean an option here and are read as it, and names that
// are suggestions only.
#pragma once

#include <string_view>

namespace dsmoe::apps {

/// The name of the positional that takes section.key=value, in every command that has one.
inline constexpr const char* kSettings = "SETTINGS";

struct FamiliarOption {
  std::string_view option;    ///< the option here, with its dashes, where a command has it; or empty
  std::string_view sentence;  ///< what takes its place where there is none
};

/// The option here that another system's spelling ("-ctk", "--cache-type-k"), with its dashes, means exactly; or empty.
/// CLI11 cannot have several letters behind one dash as a name, so these stand in no option's list of names.
std::string_view same_option(std::string_view spelling);

/// For a name without its dashes ("ngl", "max-tokens"; hyphens and underscores are one). Both empty where it is
/// unknown.
FamiliarOption familiar_option(std::string_view name);

/// The command that another system calls so, or empty.
std::string_view familiar_command(std::string_view name);

}  // namespace dsmoe::apps
