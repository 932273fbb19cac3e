#include "eval/document_scores.h"

#include <algorithm>
#include <numbers>

#include "base/error.h"

namespace dsmoe::eval {
namespace {

// `nats` by document, over the documents' tokens and, as bits, over their bytes.
DocumentEstimates ratios(const std::vector<double>& nats, std::span<const DocumentScore> documents) {
  std::vector<double> bits, tokens, bytes;
  for (size_t i = 0; i < documents.size(); ++i) {
    bits.push_back(nats[i] / std::numbers::ln2);
    tokens.push_back(static_cast<double>(documents[i].score.tokens));
    bytes.push_back(static_cast<double>(documents[i].score.bytes));
  }
  return {ratio_of_sums(nats, tokens), ratio_of_sums(bits, bytes)};
}

}  // namespace

DocumentEstimates estimates_of(std::span<const DocumentScore> documents) {
  std::vector<double> nats;
  for (const DocumentScore& document : documents) nats.push_back(document.score.nats);
  return ratios(nats, documents);
}

std::vector<DocumentScore> of_domain(std::span<const DocumentScore> documents, std::string_view domain) {
  std::vector<DocumentScore> out;
  std::copy_if(documents.begin(), documents.end(), std::back_inserter(out),
               [&](const DocumentScore& document) { return document.domain == domain; });
  return out;
}

DocumentEstimates paired_difference(std::span<const DocumentScore> ours, std::span<const DocumentScore> theirs) {
  DSMOE_CHECK(ours.size() == theirs.size(), "pairs of documents");
  std::vector<double> differences;
  for (size_t i = 0; i < ours.size(); ++i) differences.push_back(ours[i].score.nats - theirs[i].score.nats);
  return ratios(differences, ours);
}

}  // namespace dsmoe::eval
