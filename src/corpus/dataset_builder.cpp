#include "corpus/dataset_builder.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <optional>
#include <unordered_set>

#include "base/error.h"
#include "base/folder_output.h"
#include "base/hash.h"
#include "base/json_checksum.h"
#include "base/rng.h"
#include "corpus/corpus_layout.h"
#include "corpus/held_out_tail.h"

namespace dsmoe::corpus {
namespace {

using base::Json;

struct HashOfHash {
  size_t operator()(const base::Hash128& hash) const { return static_cast<size_t>(hash.low); }
};

// A document on its way from a file to a shard.
struct Item {
  Record record;
  SourceFormat format = SourceFormat::kWholeFile;
  const std::string* source = nullptr;
  TextRepairs repairs;
  std::string text;
  base::Hash128 hash;
  bool keep = false;
  std::string token_bytes;  // as they go to the .bin file
  std::exception_ptr error;
};

struct DomainReport {
  DomainCounts counts[std::size(kCorpusSplits)];
  int64_t duplicates = 0, blank = 0;
  int64_t held_out = 0;  // bytes of the last document's tail
  Json sources = Json::array();
};

// One split: NAME.bin growing, and what NAME.idx and domains.json will say about it.
class SplitWriter {
 public:
  SplitWriter(const base::FolderOutput& folder, const std::string& split, TokenType type, base::FileSystem& files)
      : bin_(folder.path() / corpus_bin(split), files) {
    index_.type = type;
  }

  void add(const Item& item, int domain) {
    bin_.write(item.token_bytes);
    hasher_.update(item.token_bytes);
    index_.begins.push_back(index_.begins.back() + last_tokens(item));
    domains_.push_back(domain);
    bytes_.push_back(item.text.size());
  }
  int64_t last_tokens(const Item& item) const {
    return static_cast<int64_t>(item.token_bytes.size()) / token_bytes(index_.type);
  }

  // Completes the .bin file and gives its entry of the manifest.
  Json finish() {
    bin_.finish();
    return {{"bytes", bin_.size()}, {"xxh3_128", hasher_.hex()}};
  }
  const TokenIndex& index() const { return index_; }
  Json sidecar() { return {{"domain", std::move(domains_)}, {"bytes", std::move(bytes_)}}; }

 private:
  base::FileWriter bin_;
  base::Hasher hasher_;
  TokenIndex index_;
  Json domains_ = Json::array(), bytes_ = Json::array();
};

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos; }

// A token that is both marks the end only.
bool begins_with_bos(const CorpusEncoder& encoder) { return encoder.bos_id >= 0 && encoder.bos_id != encoder.eos_id; }

// The ids of [bos] text [eos] as bytes of a .bin file.
template <class Stored>
std::string pack(const CorpusEncoder& encoder, std::string_view text) {
  const std::vector<int32_t> ids = encoder.encode(text);
  std::string packed;
  packed.reserve((ids.size() + 2) * sizeof(Stored));
  const auto put = [&](int32_t id) {
    const auto stored = static_cast<Stored>(id);
    packed.append(reinterpret_cast<const char*>(&stored), sizeof stored);
  };
  if (begins_with_bos(encoder)) put(encoder.bos_id);
  for (const int32_t id : ids) {
    DSMOE_CHECK(id >= 0 && id < encoder.vocab_size, "a token id of the encoder is outside its vocabulary");
    put(id);
  }
  if (encoder.eos_id >= 0) put(encoder.eos_id);
  return packed;
}

void check_request(const std::vector<CorpusDomain>& domains, const CorpusEncoder& encoder,
                   const BuildOptions& options) {
  if (!(options.valid_share >= 0 && options.valid_share < 1)) {
    base::fail_invalid("data", "the validation share must be at least 0 and below 1",
                       std::to_string(options.valid_share));
  }
  if (domains.empty()) base::fail_invalid("data", "a corpus needs at least one domain", "none", "give NAME=GLOB");
  std::unordered_set<std::string> names;
  for (const CorpusDomain& domain : domains) {
    const bool plain = !domain.name.empty() && domain.name.size() <= 64 &&
                       std::all_of(domain.name.begin(), domain.name.end(), [](unsigned char c) {
                         return c < 0x80 && (std::isalnum(c) != 0 || c == '_' || c == '-');
                       });
    if (!plain) {
      base::fail_invalid("data", "a domain's name must be 1 to 64 letters, digits, _ or -",
                         base::in_quotes(domain.name));
    }
    if (!names.insert(domain.name).second) {
      base::fail_invalid("data", "a domain is named twice", base::in_quotes(domain.name),
                         "put its files under one pattern: NAME={first,second}/*.jsonl");
    }
  }
  if (domains.size() > std::numeric_limits<uint16_t>::max()) {
    base::fail_invalid("data", "more than 65535 domains", std::to_string(domains.size()));
  }
  DSMOE_CHECK(encoder.encode && encoder.vocab_size > 0, "an encoder");
  DSMOE_CHECK(encoder.bos_id < encoder.vocab_size && encoder.eos_id < encoder.vocab_size, "ids in the vocabulary");
}

class Builder {
 public:
  Builder(const base::fs::path& out, const std::vector<CorpusDomain>& domains, const CorpusEncoder& encoder,
          const BuildOptions& options, const base::ParallelFor& parallel, base::FileSystem& files)
      : domains_(domains),
        encoder_(encoder),
        options_(options),
        parallel_(parallel),
        type_(token_type_for(encoder.vocab_size)),
        folder_(out, corpus_folder_policy(options.force), files),
        reports_(domains.size()) {
    for (size_t split = 0; split < std::size(kCorpusSplits); ++split) {
      splits_[split].emplace(folder_, kCorpusSplits[split], type_, files);
    }
  }

  Json run() {
    for (const CorpusDomain& domain : domains_) {
      for (const base::fs::path& path : domain.files) {
        std::error_code unreadable;  // opening it will say so
        const auto size = base::fs::file_size(path, unreadable);
        if (!unreadable) progress_.total_raw_bytes += size;
      }
    }
    report_progress();
    for (size_t domain = 0; domain < domains_.size(); ++domain) read_domain(domain);
    require_documents();
    Json manifest = finish();
    folder_.commit();
    return manifest;
  }

 private:
  void read_domain(size_t domain) {
    for (const base::fs::path& path : domains_[domain].files) {
      RecordReader reader(path, options_.limits);
      int64_t records = 0;
      for (Record record; reader.next(record); ++records) {
        batch_bytes_ += record.bytes.size();
        batch_.push_back({std::move(record), reader.format(), &reader.name(), {}, {}, {}, false, {}, {}});
        if (batch_bytes_ >= options_.batch_bytes) flush(domain, read_so_far_ + reader.raw_bytes());
      }
      flush(domain, read_so_far_ += reader.raw_bytes());
      reports_[domain].sources.push_back({{"path", path.string()},
                                          {"bytes", reader.raw_bytes()},
                                          {"xxh3_128", reader.raw_hash()},
                                          {"documents", records}});
    }
    finish_domain(domain);
  }

  // Of several documents with errors the first in order is reported, whatever thread met it when.
  void for_each_item(const std::function<void(Item&)>& action) {
    parallel_(static_cast<int64_t>(batch_.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        Item& item = batch_[static_cast<size_t>(i)];
        try {
          action(item);
        } catch (...) {
          item.error = std::current_exception();
        }
      }
    });
    for (const Item& item : batch_) {
      if (item.error) std::rethrow_exception(item.error);
    }
  }

  void flush(size_t domain, uint64_t raw_bytes) {
    for_each_item([&](Item& item) {
      item.text = document_text(std::move(item.record), item.format, *item.source, options_.invalid_utf8, item.repairs);
      item.hash = base::xxh3_128(item.text);
    });
    DomainReport& report = reports_[domain];
    for (Item& item : batch_) {
      repairs_ += item.repairs;
      if (is_blank(item.text)) {
        ++report.blank;
      } else if (!seen_.insert(item.hash).second) {
        ++report.duplicates;
      } else {
        item.keep = true;
      }
    }
    for_each_item([&](Item& item) {
      if (item.keep) encode(item);
    });
    for (Item& item : batch_) {
      if (item.keep && item.token_bytes.empty()) {  // a vocabulary without these bytes, and no token to frame them
        ++report.blank;
      } else if (item.keep) {
        if (last_) write(*last_, domain, falls_to_validation(*last_));
        last_ = std::move(item);
      }
    }
    batch_.clear();
    batch_bytes_ = 0;
    progress_.raw_bytes = raw_bytes;
    report_progress();
  }

  void report_progress() const {
    if (options_.on_progress) options_.on_progress(progress_);
  }

  void encode(Item& item) const {
    item.token_bytes =
        type_ == TokenType::kU16 ? pack<uint16_t>(encoder_, item.text) : pack<int32_t>(encoder_, item.text);
  }

  bool falls_to_validation(const Item& item) const {
    return base::unit_interval(base::xxh3_64(item.text, options_.seed)) < options_.valid_share;
  }

  // The last document: whole where its domain has others in the split that it does not go to; else cut, if it can be.
  void finish_domain(size_t domain) {
    if (!last_) return;
    Item last = std::move(*last_);
    last_.reset();
    DomainReport& report = reports_[domain];
    const bool valid = falls_to_validation(last);
    const auto bytes = report.counts[0].bytes + report.counts[1].bytes + static_cast<int64_t>(last.text.size());
    const size_t cut = report.counts[valid ? 0 : 1].documents > 0
                           ? last.text.size()
                           : tail_begin(last.text, options_.valid_share * static_cast<double>(bytes));
    Item tail;
    tail.text = last.text.substr(cut);
    if (is_blank(tail.text) || is_blank(std::string_view(last.text).substr(0, cut))) return write(last, domain, valid);
    last.text.resize(cut);
    encode(last);
    encode(tail);
    write(last, domain, false);
    write(tail, domain, true);
    report.held_out = static_cast<int64_t>(tail.text.size());
  }

  void write(const Item& item, size_t domain, bool valid) {
    SplitWriter& split = *splits_[valid];
    split.add(item, static_cast<int>(domain));
    DomainCounts& counts = reports_[domain].counts[valid];
    ++counts.documents;
    counts.tokens += split.last_tokens(item);
    counts.bytes += static_cast<int64_t>(item.text.size());
    ++progress_.documents;
    progress_.tokens += split.last_tokens(item);
  }

  void require_documents() const {
    for (size_t i = 0; i < domains_.size(); ++i) {
      const DomainReport& report = reports_[i];
      if (report.counts[0].documents + report.counts[1].documents > 0) continue;
      base::fail_invalid("data", "a domain has no document left",
                         base::in_quotes(domains_[i].name) + " (" + std::to_string(report.duplicates) +
                             " duplicates and " + std::to_string(report.blank) + " blank ones dropped)",
                         "leave it out, or give it text of its own");
    }
    if (splits_[0]->index().documents() == 0) {
      base::fail_invalid("data", "every document fell to the validation split", "none is left to train on",
                         "lower --valid-share or give more documents");
    }
  }

  Json finish() {
    Json outputs = Json::object(), sidecar = {{"names", Json::array()}};
    const auto emit = [&](const std::string& name, const std::string& content) {
      folder_.write_file(name, content);
      outputs[name] = {{"bytes", content.size()}, {"xxh3_128", base::xxh3_128_hex(content)}};
    };
    for (const CorpusDomain& domain : domains_) sidecar["names"].push_back(domain.name);
    for (size_t split = 0; split < std::size(kCorpusSplits); ++split) {
      outputs[corpus_bin(kCorpusSplits[split])] = splits_[split]->finish();
      emit(corpus_idx(kCorpusSplits[split]), encode_token_index(splits_[split]->index()));
      sidecar[kCorpusSplits[split]] = splits_[split]->sidecar();
    }
    emit(kCorpusDomains, base::dump_json(sidecar) + "\n");
    for (const auto& [name, content] : encoder_.files) emit(name, content);
    Json manifest = describe(outputs);
    manifest[base::kOwnChecksum] = base::json_checksum(manifest);
    folder_.write_file(kCorpusManifest, base::dump_json(manifest, 1) + "\n");
    return manifest;
  }

  Json describe(const Json& outputs) const {
    DomainCounts totals[std::size(kCorpusSplits)];
    Json domains = Json::array();
    for (size_t i = 0; i < domains_.size(); ++i) {
      const DomainReport& report = reports_[i];
      Json entry = {{"name", domains_[i].name}};
      for (size_t split = 0; split < std::size(kCorpusSplits); ++split) {
        entry[kCorpusSplits[split]] = to_json(report.counts[split]);
        totals[split].documents += report.counts[split].documents;
        totals[split].tokens += report.counts[split].tokens;
        totals[split].bytes += report.counts[split].bytes;
      }
      entry["duplicates"] = report.duplicates;
      entry["blank"] = report.blank;
      entry["held_out"] = report.held_out;
      entry["sources"] = report.sources;
      domains.push_back(std::move(entry));
    }
    const std::string form =
        std::string(begins_with_bos(encoder_) ? "bos " : "") + "text" + (encoder_.eos_id >= 0 ? " eos" : "");
    return {{"format", kCorpusFormat},
            {"format_version", kCorpusVersion},
            {"dsmoe", options_.program_version},
            {"seed", options_.seed},
            {"valid_share", options_.valid_share},
            {"invalid_utf8", options_.invalid_utf8 == InvalidUtf8::kRefuse ? "refuse" : "replace"},
            {"replaced_bytes", repairs_.replaced_bytes},
            {"replaced_escapes", repairs_.replaced_escapes},
            {"token_type", type_ == TokenType::kU16 ? "u16" : "i32"},
            {"document", form},
            {"tokenizer",
             {{"vocab_size", encoder_.vocab_size},
              {"bos_id", encoder_.bos_id},
              {"eos_id", encoder_.eos_id},
              {"hash", encoder_.hash}}},
            {"train", to_json(totals[0])},
            {"valid", to_json(totals[1])},
            {"domains", std::move(domains)},
            {"outputs", outputs}};
  }

  static Json to_json(const DomainCounts& counts) {
    return {{"documents", counts.documents}, {"tokens", counts.tokens}, {"bytes", counts.bytes}};
  }

  const std::vector<CorpusDomain>& domains_;
  const CorpusEncoder& encoder_;
  const BuildOptions& options_;
  const base::ParallelFor& parallel_;
  TokenType type_;
  base::FolderOutput folder_;
  std::optional<SplitWriter> splits_[std::size(kCorpusSplits)];
  std::vector<DomainReport> reports_;
  std::unordered_set<base::Hash128, HashOfHash> seen_;
  std::vector<Item> batch_;
  uint64_t batch_bytes_ = 0, read_so_far_ = 0;
  std::optional<Item> last_;  // of the domain being read: kept until it is known what follows
  TextRepairs repairs_;
  BuildProgress progress_;
};

}  // namespace

base::FolderPolicy corpus_folder_policy(bool force) {
  base::FolderPolicy policy;
  policy.force = policy.beside_others = force;
  policy.is_own = [](const std::string& name) {
    for (const char* split : kCorpusSplits) {
      if (name == corpus_bin(split) || name == corpus_idx(split)) return true;
    }
    return name == kCorpusManifest || name == kCorpusDomains || name == "tokenizer.json" ||
           name == "tokenizer_config.json";
  };
  policy.last = kCorpusManifest;
  return policy;
}

Json build_corpus(const base::fs::path& out, const std::vector<CorpusDomain>& domains, const CorpusEncoder& encoder,
                  const BuildOptions& options, const base::ParallelFor& parallel, base::FileSystem& files) {
  check_request(domains, encoder, options);
  return Builder(out, domains, encoder, options, parallel, files).run();
}

}  // namespace dsmoe::corpus
