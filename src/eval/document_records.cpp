#include "eval/document_records.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/hash.h"
#include "base/json.h"
#include "corpus/sources.h"

namespace dsmoe::eval {
namespace {

using base::fail_invalid;

constexpr uint64_t kLongestLine = 1 << 16;
constexpr const char* kSameHint = "measure both models on the same corpus, with the same --split and --limit";

std::string hash_of_ids(std::span<const int32_t> ids) { return base::xxh3_128_hex(base::as_text(std::as_bytes(ids))); }

// The text of a document of `bytes` bytes that stands between its bos and eos, or nothing where ids do not tell it.
std::string hash_of_text(const corpus::TokenDataset& corpus, std::span<const int32_t> ids, int64_t bytes,
                         const tokenizer::Tokenizer& tokenizer) {
  if (!ids.empty() && ids.front() == corpus.bos_id()) ids = ids.subspan(1);
  if (!ids.empty() && ids.back() == corpus.eos_id()) ids = ids.first(ids.size() - 1);
  const std::string text = tokenizer.decode(ids);
  return std::ssize(text) == bytes ? base::xxh3_128_hex(text) : "";
}

base::Json as_json(const DocumentRecord& record) {
  base::Json json = {{"split", record.split},
                     {"sequence_length", record.sequence_length},
                     {"domain", record.scored.domain},
                     {"document", record.scored.document},
                     {"ids", record.ids}};
  if (!record.text.empty()) json["text"] = record.text;
  json["tokens"] = record.scored.score.tokens;
  json["bytes"] = record.scored.score.bytes;
  json["nats"] = record.scored.score.nats;
  return json;
}

DocumentRecord record_of(const base::Json& json, const std::string& place) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  DocumentRecord record;
  record.split = base::require_string(json, "split", place);
  record.sequence_length = base::require_int(json, "sequence_length", 1, kMost, place);
  record.scored.domain = base::require_string(json, "domain", place);
  record.scored.document = base::require_int(json, "document", 0, kMost, place);
  record.ids = base::require_string(json, "ids", place);
  if (json.contains("text")) record.text = base::require_string(json, "text", place);
  record.scored.score.tokens = base::require_int(json, "tokens", 0, kMost, place);
  record.scored.score.bytes = base::require_int(json, "bytes", 0, kMost, place);
  record.scored.score.nats = base::require_number(json, "nats", place);
  return record;
}

std::string name_of(const DocumentRecord& record) {
  return "document " + std::to_string(record.scored.document) + " of domain " + base::in_quotes(record.scored.domain);
}

// Throws unless both are of the document at the same place of the same split.
void require_same_place(const DocumentRecord& ours, const DocumentRecord& theirs, const std::string& file) {
  if (ours.split != theirs.split) {
    fail_invalid("perplexity", file + ": its records are of another split",
                 base::in_quotes(theirs.split) + ", and this is " + base::in_quotes(ours.split), kSameHint);
  }
  if (ours.scored.document != theirs.scored.document || ours.scored.domain != theirs.scored.domain) {
    fail_invalid("perplexity", file + ": its records are of other documents",
                 name_of(theirs) + " where this corpus has " + name_of(ours), kSameHint);
  }
}

void require_same_text(const DocumentRecord& ours, const DocumentRecord& theirs, const std::string& file) {
  if (ours.text.empty() || theirs.text.empty()) {
    fail_invalid("perplexity", file + ": its records are of other tokens, and there is no hash of the text to compare",
                 name_of(ours) + (ours.text.empty() ? " here" : " there"),
                 "a model with a tokenizer that gives back its text has one");
  }
  if (ours.text != theirs.text) {
    fail_invalid("perplexity", file + ": its records are of other text", name_of(ours), kSameHint);
  }
}

// Throws where records of the same ids or text contradict each other in what these decide.
void require_same_size(const DocumentRecord& ours, const DocumentRecord& theirs, Common common,
                       const std::string& file) {
  const corpus::TextScore &a = ours.scored.score, &b = theirs.scored.score;
  if (a.bytes != b.bytes || (common == Common::kTokens && a.tokens != b.tokens)) {
    fail_invalid("perplexity", file + ": its records disagree on a document's size",
                 std::to_string(b.tokens) + " tokens and " + std::to_string(b.bytes) + " bytes of " + name_of(ours) +
                     ", which has " + std::to_string(a.tokens) + " and " + std::to_string(a.bytes),
                 "the file was edited, or is of a corpus with other text");
  }
  if (common == Common::kTokens && ours.sequence_length != theirs.sequence_length) {
    const std::string length = std::to_string(theirs.sequence_length);
    fail_invalid("perplexity", file + ": its records are of windows of another length",
                 length + " tokens, and this is " + std::to_string(ours.sequence_length),
                 "--sequence-length " + length + " measures in the same windows");
  }
}

std::vector<DocumentScore> scores_of(std::span<const DocumentRecord> records) {
  std::vector<DocumentScore> scores;
  for (const DocumentRecord& record : records) scores.push_back(record.scored);
  return scores;
}

}  // namespace

std::vector<DocumentRecord> describe_documents(const corpus::TokenDataset& corpus,
                                               const corpus::ValidationWindows& windows,
                                               const tokenizer::Tokenizer* tokenizer) {
  std::vector<DocumentRecord> records;
  for (size_t d = 0; d < corpus.domain_names().size(); ++d) {
    const auto domain = static_cast<int>(d);
    if (windows.tokens(domain) == 0) continue;
    for (const int64_t document : windows.documents(domain)) {
      const std::vector<int32_t> ids = corpus.tokens(document);
      const int64_t bytes = corpus.bytes_in(document);
      const bool first = document == windows.documents(domain).front();
      const corpus::TextScore score{0, std::ssize(ids) - (first ? 1 : 0), bytes};
      records.push_back({corpus.split(),
                         windows.sequence_length(),
                         hash_of_ids(ids),
                         tokenizer == nullptr ? "" : hash_of_text(corpus, ids, bytes, *tokenizer),
                         {document, corpus.domain_names()[d], score}});
    }
  }
  return records;
}

void set_scores(std::vector<DocumentRecord>& records, std::span<const DocumentScore> scores) {
  DSMOE_CHECK(records.size() == scores.size(), "a score for each document");
  for (size_t i = 0; i < records.size(); ++i) {
    DSMOE_CHECK(records[i].scored.document == scores[i].document, "documents in the same order");
    records[i].scored = scores[i];
  }
}

std::string record_lines(std::span<const DocumentRecord> records) {
  std::string out;
  for (const DocumentRecord& record : records) out += base::dump_json(as_json(record)) + "\n";
  return out;
}

std::vector<DocumentRecord> read_records(const base::fs::path& file) {
  corpus::RecordReader lines(corpus::ByteStream(file), corpus::SourceFormat::kJsonLines,
                             {.longest_document = kLongestLine});
  std::vector<DocumentRecord> records;
  corpus::Record line;
  while (lines.next(line)) {
    const std::string place = file.string() + ":" + std::to_string(line.line);
    records.push_back(record_of(base::parse_json(line.bytes, place), place));
  }
  if (records.empty()) {
    fail_invalid("perplexity", "there are no records to compare with", file.string() + " is empty",
                 "eval perplexity --samples writes them");
  }
  return records;
}

Common require_same_documents(std::span<const DocumentRecord> ours, std::span<const DocumentRecord> theirs,
                              const std::string& file) {
  const size_t pairs = std::min(ours.size(), theirs.size());
  for (size_t i = 0; i < pairs; ++i) require_same_place(ours[i], theirs[i], file);
  if (ours.size() != theirs.size()) {
    fail_invalid("perplexity", file + ": its records are of other documents",
                 std::to_string(theirs.size()) + " of them, and here " + std::to_string(ours.size()), kSameHint);
  }
  const auto same_ids = [](const DocumentRecord& a, const DocumentRecord& b) { return a.ids == b.ids; };
  const bool tokens = std::equal(ours.begin(), ours.end(), theirs.begin(), same_ids);
  const Common common = tokens ? Common::kTokens : Common::kText;
  for (size_t i = 0; i < pairs; ++i) {
    if (!same_ids(ours[i], theirs[i])) require_same_text(ours[i], theirs[i], file);
    require_same_size(ours[i], theirs[i], common, file);
  }
  return common;
}

Comparison compare_documents(std::span<const DocumentRecord> ours, std::span<const DocumentRecord> theirs,
                             const std::string& file) {
  Comparison result;
  result.common = require_same_documents(ours, theirs, file);
  const std::vector<DocumentScore> a = scores_of(ours), b = scores_of(theirs);
  result.all = paired_difference(a, b);
  for (const DocumentScore& document : a) {
    if (!result.domains.empty() && result.domains.back().domain == document.domain) continue;
    result.domains.push_back(
        {document.domain, paired_difference(of_domain(a, document.domain), of_domain(b, document.domain))});
  }
  return result;
}

}  // namespace dsmoe::eval
