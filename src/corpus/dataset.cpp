#include "corpus/dataset.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/hash.h"
#include "base/json_checksum.h"
#include "corpus/byte_stream.h"
#include "corpus/corpus_layout.h"

namespace dsmoe::corpus {
namespace {

constexpr const char* kHint = "the corpus is damaged or was edited; build it again";
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

[[noreturn]] void refuse(const base::fs::path& file, std::string_view rule, const std::string& found) {
  base::fail_invalid("data", file.string() + ": " + std::string(rule), found, kHint);
}

base::Json read_json(const base::fs::path& path) { return base::parse_json(base::read_file(path), path.string()); }

std::string file_hash(const base::fs::path& path) {
  const base::MappedFile file(path);
  return base::xxh3_128_hex(base::as_text(file.bytes()));
}

// An array of integers in [least, most].
std::vector<int64_t> int_array(const base::Json& object, std::string_view key, int64_t most, const std::string& where) {
  const base::Json& array = base::require_member(object, key, where);
  if (!array.is_array()) base::fail_invalid(where, std::string(key) + " must be an array", {}, kHint);
  std::vector<int64_t> out;
  out.reserve(array.size());
  for (const base::Json& value : array) {
    const bool fits = value.is_number_integer() && value.get<int64_t>() >= 0 && value.get<int64_t>() <= most;
    if (!fits) {
      base::fail_invalid(where, std::string(key) + " must hold integers from 0 to " + std::to_string(most),
                         base::dump_json(value) + " at " + std::to_string(out.size()), kHint);
    }
    out.push_back(value.get<int64_t>());
  }
  return out;
}

// Ids of one width into int32; true if all are below the vocabulary's size.
template <class Stored>
bool copy_ids(const std::byte* from, std::span<int32_t> out, int64_t vocab_size) {
  Stored largest = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    Stored id;
    std::memcpy(&id, from + i * sizeof id, sizeof id);
    largest = std::max(largest, id);
    out[i] = static_cast<int32_t>(id);
  }
  return static_cast<int64_t>(largest) < vocab_size;
}

}  // namespace

TokenDataset TokenDataset::open(const base::fs::path& folder, const std::string& split) {
  if (split != kCorpusSplits[0] && split != kCorpusSplits[1]) {
    base::fail(base::ErrorKind::kUsage, "data", "a corpus has the splits train and valid", base::in_quotes(split));
  }
  std::error_code ignored;
  if (!base::fs::exists(folder / kCorpusManifest, ignored)) {
    base::fail(base::ErrorKind::kIo, "data", "not a corpus (no manifest.json)", folder.string(),
               "make one with dsmoe data build");
  }
  return TokenDataset(folder, split);
}

TokenDataset::TokenDataset(const base::fs::path& folder, const std::string& split)
    : folder_(folder), split_(split), bin_(folder / corpus_bin(split)) {
  read_manifest();
  const base::MappedFile idx(folder / corpus_idx(split));
  index_ = decode_token_index(idx.bytes(), bin_.bytes().size(), idx.path().string());
  read_sidecar();
  check_counts();
}

void TokenDataset::read_manifest() {
  const base::fs::path path = folder_ / kCorpusManifest;
  const std::string where = path.string();
  manifest_ = read_json(path);
  if (base::require_string(manifest_, "format", where) != kCorpusFormat) refuse(path, "not a dsmoe corpus", "");
  if (const int64_t version = base::require_int(manifest_, "format_version", 0, kMost, where);
      version < kOldestCorpusVersion || version > kCorpusVersion) {
    base::fail_invalid("data",
                       where + ": this dsmoe reads versions " + std::to_string(kOldestCorpusVersion) + " to " +
                           std::to_string(kCorpusVersion) + " of the format",
                       std::to_string(version), "build the corpus again with this dsmoe");
  } else if (version > kOldestCorpusVersion) {
    base::require_json_checksum(manifest_, "data", where);
  }
  const base::Json& tokenizer = base::require_member(manifest_, "tokenizer", where);
  constexpr int64_t kMostIds = std::numeric_limits<int32_t>::max();
  vocab_size_ = base::require_int(tokenizer, "vocab_size", 1, kMostIds, where);
  bos_id_ = static_cast<int32_t>(base::require_int(tokenizer, "bos_id", -1, vocab_size_ - 1, where));
  eos_id_ = static_cast<int32_t>(base::require_int(tokenizer, "eos_id", -1, vocab_size_ - 1, where));
  tokenizer_hash_ = base::require_string(tokenizer, "hash", where);

  base::Hasher hasher;
  const base::Json& outputs = base::require_member(manifest_, "outputs", where);
  if (!outputs.is_object()) refuse(path, "outputs must be an object", "");
  for (const auto& [name, output] : outputs.items()) {
    const bool plain_name = name.find('/') == std::string::npos && name != ".." && name != ".";
    if (!plain_name) refuse(path, "outputs must be files of the folder itself", base::in_quotes(name));
    const int64_t bytes = base::require_int(output, "bytes", 0, kMost, where);
    std::error_code error;
    const auto size = base::fs::file_size(folder_ / name, error);
    if (error) base::fail_io("data", "the corpus lacks a file", (folder_ / name).string(), error.value(), kHint);
    if (size != static_cast<uint64_t>(bytes)) {
      refuse(folder_ / name, "size differs from the manifest's",
             std::to_string(size) + " bytes instead of " + std::to_string(bytes));
    }
    hasher.update(name + " " + base::require_string(output, "xxh3_128", where) + "\n");
  }
  for (const std::string& name : {corpus_bin(split_), corpus_idx(split_), std::string(kCorpusDomains)}) {
    base::require_member(outputs, name, where);
  }
  hash_ = hasher.hex();
}

void TokenDataset::read_sidecar() {
  const base::fs::path path = folder_ / kCorpusDomains;
  const std::string where = path.string();
  const base::Json sidecar = read_json(path);
  const base::Json& names = base::require_member(sidecar, "names", where);
  if (!names.is_array() || names.empty() || names.size() > std::numeric_limits<uint16_t>::max()) {
    refuse(path, "names must be an array of 1 to 65535 domains", "");
  }
  for (const base::Json& name : names) {
    if (!name.is_string()) refuse(path, "names must be strings", base::dump_json(name));
    domain_names_.push_back(name.get<std::string>());
  }
  const base::Json& split = base::require_member(sidecar, split_, where);
  const auto domains = int_array(split, "domain", static_cast<int64_t>(domain_names_.size()) - 1, where);
  bytes_ = int_array(split, "bytes", int64_t{1} << 40, where);
  const auto documents = static_cast<size_t>(index_.documents());
  if (domains.size() != documents || bytes_.size() != documents) {
    refuse(
        path, "domain and bytes must have an entry for each document of " + corpus_idx(split_),
        std::to_string(domains.size()) + " and " + std::to_string(bytes_.size()) + " for " + std::to_string(documents));
  }
  for (const int64_t domain : domains) domains_.push_back(static_cast<uint16_t>(domain));
}

void TokenDataset::check_counts() {
  const base::fs::path path = folder_ / kCorpusManifest;
  const std::string where = path.string();
  const auto listed_in = [&](const base::Json& object) {
    const base::Json& said = base::require_member(object, split_, where);
    return DomainCounts{base::require_int(said, "documents", 0, kMost, where),
                        base::require_int(said, "tokens", 0, kMost, where),
                        base::require_int(said, "bytes", 0, kMost, where)};
  };
  DomainCounts total;
  counts_.resize(domain_names_.size());
  for (int64_t document = 0; document < documents(); ++document) {
    DomainCounts& counts = counts_[domains_[at(document)]];
    ++counts.documents;
    counts.tokens += tokens_in(document);
    counts.bytes += bytes_in(document);
    total.bytes += bytes_in(document);
  }
  total.documents = documents();
  total.tokens = total_tokens();
  if (listed_in(manifest_) != total) refuse(path, "counts of the split differ from the files", split_);
  const base::Json& domains = base::require_member(manifest_, "domains", where);
  if (!domains.is_array() || domains.size() != domain_names_.size()) {
    refuse(path, "domains must be those of domains.json", std::to_string(domains.size()) + " of them");
  }
  for (size_t i = 0; i < counts_.size(); ++i) {
    if (base::require_string(domains[i], "name", where) != domain_names_[i] || listed_in(domains[i]) != counts_[i]) {
      refuse(path, "counts of a domain differ from the files", base::in_quotes(domain_names_[i]) + " in " + split_);
    }
  }
}

void TokenDataset::require_vocabulary(int64_t rows) const {
  if (vocab_size_ <= rows) return;
  base::fail_invalid("corpus", "the corpus has more tokens than the model's vocabulary",
                     std::to_string(vocab_size_) + " and " + std::to_string(rows),
                     "build it with the tokenizer that the model was trained with");
}

int TokenDataset::domain_of(const std::string& name) const {
  const auto found = std::find(domain_names_.begin(), domain_names_.end(), name);
  if (found != domain_names_.end()) return static_cast<int>(found - domain_names_.begin());
  const std::string near = base::nearest(name, domain_names_);
  base::fail_invalid("data", "the corpus has no such domain", base::in_quotes(name),
                     near.empty() ? "dsmoe data show lists them" : "did you mean " + near + "?");
}

void TokenDataset::read(int64_t document, int64_t from, std::span<int32_t> out) const {
  DSMOE_CHECK(document >= 0 && document < documents() && from >= 0 &&
                  from + static_cast<int64_t>(out.size()) <= tokens_in(document),
              "tokens of a document");
  const std::byte* first = bin_.bytes().data() + (index_.begins[at(document)] + from) * token_bytes(index_.type);
  const bool valid = index_.type == TokenType::kU16 ? copy_ids<uint16_t>(first, out, vocab_size_)
                                                    : copy_ids<uint32_t>(first, out, vocab_size_);
  if (!valid) {
    refuse(bin_.path(), "a token id is not below the vocabulary's " + std::to_string(vocab_size_),
           "in document " + std::to_string(document));
  }
}

std::vector<int32_t> TokenDataset::tokens(int64_t document) const {
  std::vector<int32_t> out(static_cast<size_t>(tokens_in(document)));
  read(document, 0, out);
  return out;
}

void TokenDataset::require_tokens() const {
  if (total_tokens() > 0) return;
  const std::string other = split_ == kCorpusSplits[0] ? kCorpusSplits[1] : kCorpusSplits[0];
  const auto has = manifest_.value(other, base::Json::object()).value("tokens", int64_t{0});
  base::fail_invalid("data", "the split has no tokens", base::in_quotes(split_) + " of " + folder_.string(),
                     "split " + other + " has " + std::to_string(has) + "; or build the corpus with more text or a " +
                         "larger --valid-share");
}

void TokenDataset::verify() const {
  for (const auto& [name, output] : manifest_["outputs"].items()) {
    const std::string wanted = output["xxh3_128"].get<std::string>();
    const std::string found = file_hash(folder_ / name);
    if (found != wanted)
      refuse(folder_ / name, "checksum differs from the manifest's", found + " instead of " + wanted);
  }
}

}  // namespace dsmoe::corpus
