// Scripts that let a shell complete commands, options and the values that are few.
#pragma once

#include <string>

#include "apps/command_table.h"

namespace dsmoe::apps {

/// For the program `name` and all that is below `program`. Values that are not few are completed as files.
std::string bash_completion(const std::string& name, const TableCommand& program);
std::string zsh_completion(const std::string& name, const TableCommand& program);
std::string fish_completion(const std::string& name, const TableCommand& program);

}  // namespace dsmoe::apps
