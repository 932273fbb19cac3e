// A corpus as `dsmoe data build` leaves it, for reading: token ids in documents, each with a domain and a length in
// bytes. docs/formats.md has the folder's files; dataset_builder.h writes them.
//
// Everything is held against everything else once, in open(): sizes of files, the index, the sidecar, the counts of the
// manifest. The contents of the .bin file are not read there: verify() compares checksums, and read() refuses an id
// outside the vocabulary. The files stay mapped while the object lives; reading is safe from several threads.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "corpus/megatron_index.h"

namespace dsmoe::corpus {

struct DomainCounts {
  int64_t documents = 0, tokens = 0, bytes = 0;
  bool operator==(const DomainCounts&) const = default;
};

class TokenDataset {
 public:
  /// `split` is "train" or "valid". Throws base::Error: kIo for missing files, kInvalid for what does not agree.
  static TokenDataset open(const base::fs::path& folder, const std::string& split);

  int64_t documents() const { return index_.documents(); }
  int64_t total_tokens() const { return index_.begins.back(); }
  int64_t tokens_in(int64_t document) const { return index_.begins[at(document) + 1] - index_.begins[at(document)]; }
  int domain(int64_t document) const { return domains_[at(document)]; }
  /// Length of the document's text in UTF-8 bytes.
  int64_t bytes_in(int64_t document) const { return bytes_[at(document)]; }

  /// Tokens [from, from + out.size()) of a document. Throws base::Error(kInvalid) on an id outside the vocabulary.
  void read(int64_t document, int64_t from, std::span<int32_t> out) const;
  std::vector<int32_t> tokens(int64_t document) const;

  const std::vector<std::string>& domain_names() const { return domain_names_; }
  /// Position of a name; throws base::Error(kInvalid) naming the nearest.
  int domain_of(const std::string& name) const;
  const DomainCounts& counts(int domain) const { return counts_[static_cast<size_t>(domain)]; }

  int64_t vocab_size() const { return vocab_size_; }
  /// Throws base::Error(kInvalid) where ids may be beyond a model's `rows`; a model may have more of them, as padding.
  void require_vocabulary(int64_t rows) const;
  /// What a document begins and ends with, or -1 for nothing.
  int32_t bos_id() const { return bos_id_; }
  int32_t eos_id() const { return eos_id_; }
  const std::string& tokenizer_hash() const { return tokenizer_hash_; }

  const base::fs::path& folder() const { return folder_; }
  const std::string& split() const { return split_; }
  const base::Json& manifest() const { return manifest_; }
  /// 32 hex digits that name the content of all splits: equal for equal tokens, documents, domains and tokenizer.
  const std::string& hash() const { return hash_; }

  /// Throws base::Error(kInvalid) when the split has no tokens, saying what the other one has.
  void require_tokens() const;
  /// Reads every output file of the folder again and compares checksums; throws base::Error(kInvalid) at the first
  /// that differs.
  void verify() const;

 private:
  TokenDataset(const base::fs::path& folder, const std::string& split);
  size_t at(int64_t document) const { return static_cast<size_t>(document); }
  void read_manifest();
  void read_sidecar();
  void check_counts();

  base::fs::path folder_;
  std::string split_;
  base::Json manifest_;
  base::MappedFile bin_;
  TokenIndex index_;
  std::vector<std::string> domain_names_;
  std::vector<uint16_t> domains_;
  std::vector<int64_t> bytes_;
  std::vector<DomainCounts> counts_;
  int64_t vocab_size_ = 0;
  int32_t bos_id_ = -1, eos_id_ = -1;
  std::string tokenizer_hash_, hash_;
};

}  // namespace dsmoe::corpus
