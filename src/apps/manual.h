// Manual pages: the same words as --help, as man shows them.
#pragma once

#include <string>

#include "apps/command_table.h"

namespace dsmoe::apps {

/// "dsmoe-eval-perplexity.1"
std::string manual_name(const std::string& program, const TableCommand& command);

/// The page of one command in man's own macros; that of a command with others below it lists them.
std::string manual_page(const std::string& program, const TableCommand& command, const std::string& version);

}  // namespace dsmoe::apps
