// Scores of a corpus document by document. A document is the unit that a standard error counts: tokens of one text are
// alike, so an error over tokens would be far too small.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/validation.h"
#include "eval/statistics.h"

namespace dsmoe::eval {

struct DocumentScore {
  int64_t document = 0;  ///< its number in the split
  std::string domain;
  corpus::TextScore score;  ///< tokens are those scored: all, but for the first token of a domain
};

/// A figure of text in both of its units, with standard errors over documents.
struct DocumentEstimates {
  Estimate nats_per_token, bits_per_byte;
};

/// Nats over tokens and bits over bytes of at least one document. The errors are NaN of a single one.
DocumentEstimates estimates_of(std::span<const DocumentScore> documents);

/// Those of one domain.
std::vector<DocumentScore> of_domain(std::span<const DocumentScore> documents, std::string_view domain);

/// By how much `ours` are above `theirs`, document by document: how hard a document is falls out of the difference, so
/// that its error is far smaller than that of either. Both must be of the same documents in the same order
/// (require_same_documents() in document_records.h). Nats per token mean something only where the tokens are the same.
DocumentEstimates paired_difference(std::span<const DocumentScore> ours, std::span<const DocumentScore> theirs);

}  // namespace dsmoe::eval
