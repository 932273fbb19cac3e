// What `dsmoe eval perplexity` says: its tables and its JSON.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "eval/document_records.h"
#include "eval/perplexity.h"

namespace dsmoe::apps {

/// A difference from the records in `file`.
struct Against {
  std::string file;
  eval::Comparison comparison;
};

/// Tables on standard output: domains and all, with standard errors where there are documents; then the difference.
void print_perplexity(const eval::Perplexity& result, const std::optional<Against>& against);
/// The same as an object; an error that is not known is null.
base::Json perplexity_json(const eval::Perplexity& result, const std::optional<Against>& against);

}  // namespace dsmoe::apps
