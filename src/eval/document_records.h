// Scores of documents as records that outlive the model: an object a line, which says what the document was and what it
// scored. The records of another model on the same documents are what a model is compared with.
//
// A document is known by hashes: of its token ids, so that models of one tokenizer are compared in any unit, and of its
// text, so that models of different tokenizers are compared in bits per byte.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/document_scores.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::eval {

struct DocumentRecord {
  std::string split;
  int64_t sequence_length = 0;  ///< tokens of a window
  std::string ids;              ///< 32 hex digits of the document's token ids
  std::string text;             ///< 32 hex digits of its text; empty where the ids do not tell it
  DocumentScore scored;
};

/// What is read, in the order of perplexity()'s documents, with nats of 0: set_scores() fills them. The text is what
/// `tokenizer` (null: unknown) makes of the ids, where that has as many bytes as the document had.
std::vector<DocumentRecord> describe_documents(const corpus::TokenDataset& corpus,
                                               const corpus::ValidationWindows& windows,
                                               const tokenizer::Tokenizer* tokenizer);
/// Gives each record the score of its document.
void set_scores(std::vector<DocumentRecord>& records, std::span<const DocumentScore> scores);

/// A JSON object a line: split, sequence_length, domain, document, ids, text (where it is known), tokens, bytes, nats.
std::string record_lines(std::span<const DocumentRecord> records);
/// Throws Error: kIo, kInvalid naming file and line for what record_lines() does not write.
std::vector<DocumentRecord> read_records(const base::fs::path& file);

enum class Common {
  kTokens,  ///< the same tokens in the same windows
  kText,    ///< the same text in other tokens: bits per byte alone can be compared
};
/// Throws Error(kInvalid) naming the first that differs unless both are of the same documents in the same order.
/// `file` is where `theirs` come from.
Common require_same_documents(std::span<const DocumentRecord> ours, std::span<const DocumentRecord> theirs,
                              const std::string& file);

/// By how much our documents are above theirs, over all and by domain.
struct Comparison {
  struct Row {
    std::string domain;
    DocumentEstimates difference;
  };
  Common common = Common::kTokens;
  DocumentEstimates all;
  std::vector<Row> domains;
};
/// Errors of require_same_documents().
Comparison compare_documents(std::span<const DocumentRecord> ours, std::span<const DocumentRecord> theirs,
                             const std::string& file);

}  // namespace dsmoe::eval
