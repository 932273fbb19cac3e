// What every command that reads text has in common: what to do with bytes that are no text, and how long a document may
// be.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "corpus/sources.h"

namespace dsmoe::apps {

struct SourceArguments {
  std::string invalid_utf8 = "refuse";
  uint64_t longest_document = corpus::ReadLimits{}.longest_document;

  void add_to(CLI::App& command);
  corpus::InvalidUtf8 policy() const;
  corpus::ReadLimits limits() const;
};

/// A line on standard error where anything was replaced.
void print_repairs(const corpus::TextRepairs& repairs);

}  // namespace dsmoe::apps
