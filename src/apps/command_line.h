// What is typed, before CLI11 reads it: commands and options that are not there are named, with the one that is meant
// where that can be told.
//
// Short options stand alone (`-n 5`, `-n=5`): letters behind one are neither its value nor more options, since
// llama.cpp's `-ngl 99` would be read as `-n gl`.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace dsmoe::apps {

/// The words behind the program's name as CLI11 is to read them: `help plan` as `plan --help`, `--name=value` as two
/// words. Words behind a command that hands over to another program, and behind `--`, are left as they are. Throws
/// Error(kUsage) for a command or an option that is not there, also where help is asked for.
std::vector<std::string> read_words(const CLI::App& program, std::vector<std::string> words);

/// The line that ends a usage error of this command: "dsmoe eval perplexity --help tells more".
std::string help_hint(const CLI::App* command);

}  // namespace dsmoe::apps
