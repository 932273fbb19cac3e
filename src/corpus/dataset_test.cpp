// A corpus holds what was put in, says so truthfully, and notices what was done to it since.
#include "corpus/dataset.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <numeric>
#include <set>

#include "base/hash.h"
#include "base/json_checksum.h"
#include "base/rng.h"
#include "corpus/corpus_layout.h"
#include "corpus/test_corpus.h"

namespace dsmoe::corpus {
namespace {

// Every file of a folder by name.
std::map<std::string, std::string> contents(const base::fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : base::fs::directory_iterator(folder)) {
    out[entry.path().filename().string()] = base::read_file(entry.path());
  }
  return out;
}

// Documents of a split by domain, as (ids, bytes).
using Documents = std::map<std::string, std::vector<std::pair<std::vector<int32_t>, int64_t>>>;
Documents documents_of(const TokenDataset& dataset) {
  Documents out;
  for (int64_t d = 0; d < dataset.documents(); ++d) {
    out[dataset.domain_names()[static_cast<size_t>(dataset.domain(d))]].emplace_back(dataset.tokens(d),
                                                                                     dataset.bytes_in(d));
  }
  return out;
}

RC_GTEST_PROP(Corpus, HoldsEachTextOnceInOrderWithItsLengthAndDomain, ()) {
  const auto words = rc::gen::container<std::vector<std::string>>(
      rc::gen::element<std::string>("a", "b", "c", "dd", "\xe4\xb8\xad", " ", "", "longer text", "x\ny"));
  auto first = *words, second = *words;
  first.push_back("one that stays");
  second.push_back("another");
  BuildOptions options;
  options.valid_share = 0.3;
  options.seed = *rc::gen::arbitrary<uint64_t>();
  // what must come out, the slow way
  std::set<std::string> seen;
  std::map<std::string, Documents> wanted;
  for (const auto& [name, texts] : NamedTexts{{"one", first}, {"two", second}}) {
    for (const std::string& text : texts) {
      if (text.find_first_not_of(' ') == std::string::npos || !seen.insert(text).second) continue;
      const bool valid = base::unit_interval(base::xxh3_64(text, options.seed)) < 0.3;
      wanted[valid ? "valid" : "train"][name].emplace_back(framed(text), text.size());
    }
  }
  if (wanted["train"].empty()) return;  // an error, tested elsewhere
  const base::TestFolder folder;
  const base::Json manifest = build_test_corpus(folder, {{"one", first}, {"two", second}}, byte_encoder(), options);
  int64_t dropped = 0, kept = 0;
  for (const auto& domain : manifest["domains"]) {
    dropped += domain["duplicates"].get<int64_t>() + domain["blank"].get<int64_t>();
  }
  for (const char* split : kCorpusSplits) {
    const TokenDataset dataset = TokenDataset::open(folder / "out", split);
    RC_ASSERT(documents_of(dataset) == wanted[split]);
    dataset.verify();
    kept += dataset.documents();
    RC_ASSERT(manifest[split]["documents"] == dataset.documents());
    RC_ASSERT(manifest[split]["tokens"] == dataset.total_tokens());
  }
  RC_ASSERT(dropped + kept == static_cast<int64_t>(first.size() + second.size()));
}

TEST(Corpus, BytesDoNotDependOnThreadsOrBatches) {
  const NamedTexts texts = {{"a", numbered("text", 300)}, {"b", numbered("other", 200)}};
  std::map<std::string, std::string> first;
  for (const int threads : {1, 2, 5}) {
    for (const uint64_t batch : {uint64_t{1}, uint64_t{1000}, uint64_t{1} << 20}) {
      const base::TestFolder folder;
      base::ThreadPool pool(threads);
      BuildOptions options;
      options.batch_bytes = batch;
      build_test_corpus(folder, texts, byte_encoder(), options, pool.parallel_for());
      auto files = contents(folder / "out");
      std::string& manifest = files[kCorpusManifest];  // names the sources' folder
      for (size_t at; (at = manifest.find(folder.path().string())) != std::string::npos;) {
        manifest.erase(at, folder.path().string().size());
      }
      base::Json described = base::parse_json(manifest, "manifest");  // its checksum covers that name
      described.erase(base::kOwnChecksum);
      manifest = base::dump_json(described);
      if (first.empty()) first = files;
      EXPECT_EQ(files, first);
    }
  }
  EXPECT_EQ(first.size(), 7U);
}

TEST(Corpus, SplitDependsOnTextAndSeedOnly) {
  const auto valid_texts = [](const NamedTexts& texts, uint64_t seed) {
    const base::TestFolder folder;
    BuildOptions options;
    options.valid_share = 0.2;
    options.seed = seed;
    build_test_corpus(folder, texts, byte_encoder(), options);
    std::set<std::vector<int32_t>> out;
    const TokenDataset dataset = TokenDataset::open(folder / "out", "valid");
    for (int64_t d = 0; d < dataset.documents(); ++d) out.insert(dataset.tokens(d));
    return out;
  };
  auto all = numbered("text", 500), half = std::vector<std::string>(all.begin(), all.begin() + 250);
  const auto whole = valid_texts({{"a", all}}, 1);
  std::reverse(all.begin(), all.end());
  EXPECT_EQ(valid_texts({{"a", all}}, 1), whole) << "order";
  for (const auto& ids : valid_texts({{"a", half}, {"b", numbered("other", 99)}}, 1)) {
    const bool of_half =
        std::find_if(half.begin(), half.end(), [&](auto& t) { return framed(t) == ids; }) != half.end();
    EXPECT_EQ(whole.count(ids), of_half) << "other documents";
  }
  EXPECT_NE(valid_texts({{"a", all}}, 2), whole) << "seed";
  // binomial: 500 draws of 0.2 have mean 100 and standard deviation 8.9
  EXPECT_NEAR(static_cast<double>(whole.size()), 100, 5 * 9);
}

TEST(Corpus, SmallestTypeAndFramesOfTheTokenizer) {
  const auto build = [](int64_t vocab_size, int32_t bos, int32_t eos) {
    const base::TestFolder folder;
    CorpusEncoder encoder = byte_encoder();
    encoder.vocab_size = vocab_size;
    encoder.bos_id = bos;
    encoder.eos_id = eos;
    BuildOptions options;
    options.valid_share = 0;
    const base::Json manifest = build_test_corpus(folder, {{"a", {"hi"}}}, encoder, options);
    const TokenDataset dataset = TokenDataset::open(folder / "out", "train");
    EXPECT_EQ(TokenDataset::open(folder / "out", "valid").documents(), 0);
    return std::tuple{manifest["token_type"].get<std::string>(), manifest["document"].get<std::string>(),
                      dataset.tokens(0)};
  };
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(build(65536, 65535, 300), (std::tuple{"u16", "bos text eos", Ids{65535, 'h', 'i', 300}}));
  EXPECT_EQ(build(65537, 65536, 300), (std::tuple{"i32", "bos text eos", Ids{65536, 'h', 'i', 300}}));
  EXPECT_EQ(build(300, 256, 256), (std::tuple{"u16", "text eos", Ids{'h', 'i', 256}}));
  EXPECT_EQ(build(300, -1, -1), (std::tuple{"u16", "text", Ids{'h', 'i'}}));
  EXPECT_EQ(build(300, 256, -1), (std::tuple{"u16", "bos text", Ids{256, 'h', 'i'}}));
}

TEST(Corpus, AnIndependentReaderSeesTheSame) {
  for (const int64_t vocab_size : {258, 70000}) {
    const base::TestFolder folder;
    CorpusEncoder encoder = byte_encoder();
    encoder.vocab_size = vocab_size;
    BuildOptions options;
    options.valid_share = 0.3;
    build_test_corpus(folder, {{"a", numbered("text", 20)}, {"zh", {"\xe4\xb8\xad", "x"}}}, encoder, options);
    for (const char* split : kCorpusSplits) {
      const TokenDataset dataset = TokenDataset::open(folder / "out", split);
      std::string wanted, got;
      for (int64_t d = 0; d < dataset.documents(); ++d) {
        wanted += dataset.domain_names()[static_cast<size_t>(dataset.domain(d))];
        wanted += " " + std::to_string(dataset.bytes_in(d));
        for (const int32_t id : dataset.tokens(d)) wanted += " " + std::to_string(id);
        wanted += "\n";
      }
      const std::string command = std::string("python3 ") + DSMOE_SOURCE_DIR + "/tests/read_corpus.py " +
                                  (folder / "out").string() + " " + split;
      FILE* pipe = ::popen(command.c_str(), "r");
      ASSERT_NE(pipe, nullptr);
      std::array<char, 4096> buffer;
      for (size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) got.append(buffer.data(), n);
      EXPECT_EQ(::pclose(pipe), 0);
      EXPECT_EQ(got, wanted);
    }
  }
}

TEST(Corpus, BadRequestsAreNamed) {
  const base::TestFolder folder;
  const auto file = folder.write("a.jsonl", json_lines({"x", "y"}));
  const auto blank = folder.write("b.jsonl", json_lines({" ", "x"}));
  const auto bad = folder.write("bad.jsonl", json_lines(numbered("t", 50)) + "{\n" + "}\n");
  const auto error = [&](const std::vector<CorpusDomain>& domains, double share = 0.0) {
    BuildOptions options;
    options.valid_share = share;
    base::ThreadPool pool(3);
    return base::message_of(
        [&] { build_corpus(folder / "out", domains, byte_encoder(), options, pool.parallel_for()); });
  };
  const auto has = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  has(error({}), "at least one domain");
  has(error({{"a", {file}}, {"a", {blank}}}), "named twice: \"a\"");
  has(error({{"a.b", {file}}}), "letters, digits, _ or -: \"a.b\"");
  has(error({{"", {file}}}), "letters");
  has(error({{"a", {file}}}, 1.0), "validation share");
  has(error({{"a", {file}}}, -0.1), "validation share");
  has(error({{"a", {file}}, {"b", {blank}}}), "no document left: \"b\" (1 duplicates and 1 blank");
  has(error({{"a", {folder / "none.jsonl"}}}), "No such file");
  has(error({{"a", {bad}}}), "bad.jsonl line 51");
  has(error({{"a", {file}}}, 0.999999), "fell to the validation split");
  EXPECT_FALSE(base::fs::exists(folder / "out"));
  folder.write("out", "a file");
  has(error({{"a", {file}}}), "something else is there");
}

// Fails the k-th call that changes the disk.
class FailingFiles : public base::FileSystem {
 public:
  explicit FailingFiles(int fail_at) : left_(fail_at) {}
  bool failed() const { return failed_; }
  int create(const base::fs::path& path) override { return tick(path), FileSystem::create(path); }
  void write(int fd, const base::fs::path& path, std::span<const std::byte> bytes) override {
    if (left_ == 1) FileSystem::write(fd, path, bytes.first(bytes.size() / 2));
    tick(path), FileSystem::write(fd, path, bytes);
  }
  void sync(int fd, const base::fs::path& path) override { tick(path), FileSystem::sync(fd, path); }
  void rename(const base::fs::path& from, const base::fs::path& to) override { tick(to), FileSystem::rename(from, to); }
  void create_directory(const base::fs::path& path) override { tick(path), FileSystem::create_directory(path); }
  void sync_directory(const base::fs::path& path) override { tick(path), FileSystem::sync_directory(path); }

 private:
  void tick(const base::fs::path& path) {
    if (--left_ == 0) failed_ = true, base::fail_io("test", "injected", path.string(), ENOSPC);
  }
  int left_;
  bool failed_ = false;
};

TEST(Corpus, EveryFailingDiskCallLeavesAllOrNothing) {
  int failures = 0;
  for (int k = 1;; ++k) {
    const base::TestFolder folder;
    const auto file = folder.write("a.jsonl", json_lines(numbered("text", 20)));
    FailingFiles files(k);
    try {
      build_corpus(folder / "out", {{"a", {file}}}, byte_encoder(), {}, base::serial_for, files);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kIo);
    }
    if (base::fs::exists(folder / "out")) {
      TokenDataset::open(folder / "out", "train").verify();
    } else {
      EXPECT_TRUE(files.failed());
    }
    for (const auto& entry : base::fs::directory_iterator(folder.path())) {
      EXPECT_NE(entry.path().filename().string()[0], '.') << "left behind";
    }
    if (!files.failed()) break;
    ++failures;
  }
  EXPECT_GE(failures, 7 * 3);  // create, write (the splits may be empty), sync for each file, and the folder's own
}

class Damaged : public ::testing::Test {
 protected:
  Damaged() { build_test_corpus(folder_, {{"a", numbered("text", 30)}, {"b", {"other"}}}, byte_encoder(), options()); }
  static BuildOptions options() {
    BuildOptions options;
    options.valid_share = 0.25;
    return options;
  }
  // What open, or else verify, says after `edit` of a file's content.
  std::string after(const std::string& name, const std::function<void(std::string&)>& edit) {
    const base::fs::path path = folder_ / "out" / name;
    const std::string good = base::read_file(path);
    std::string bad = good;
    edit(bad);
    base::write_file(path, bad, base::unsynced_files);
    const std::string error = base::message_of([&] { TokenDataset::open(folder_ / "out", "train").verify(); });
    base::write_file(path, good, base::unsynced_files);
    return error;
  }
  base::TestFolder folder_;
};

TEST_F(Damaged, EveryFileIsHeldAgainstTheOthers) {
  const auto expect = [&](const std::string& name, const std::string& rule,
                          const std::function<void(std::string&)>& edit) {
    const std::string error = after(name, edit);
    EXPECT_NE(error.find(rule), std::string::npos) << name << ": " << error;
  };
  EXPECT_EQ(after("train.bin", [](std::string&) {}), "(no error)");
  for (const char* name : {"train.bin", "train.idx", "valid.bin", "domains.json", "tokenizer.json"}) {
    expect(name, "size differs", [](std::string& text) { text.pop_back(); });
    expect(name, "size differs", [](std::string& text) { text += " "; });
  }
  expect("train.idx", "one after another", [](std::string& text) { text[34] = 9; });
  expect("manifest.json", "not valid JSON", [](std::string& text) { text.resize(text.size() / 2); });
  const auto expect_json = [&](const std::string& name, const std::string& rule,
                               const std::function<void(base::Json&)>& edit) {
    expect(name, rule, [&](std::string& text) {
      const size_t size = text.size();
      base::Json value = base::parse_json(text, name);
      edit(value);
      if (name == kCorpusManifest) value[base::kOwnChecksum] = base::json_checksum(value);
      text = base::dump_json(value);
      // files of the manifest keep their size, so that something else must notice
      if (name != kCorpusManifest && text.size() <= size) text.append(size - text.size(), ' ');
    });
  };
  using base::Json;
  expect_json("manifest.json", "not a dsmoe corpus", [](Json& m) { m["format"] = "something"; });
  expect_json("manifest.json", "reads versions 1 to 2", [](Json& m) { m["format_version"] = 3; });
  expect_json("manifest.json", "vocab_size must be", [](Json& m) { m["tokenizer"]["vocab_size"] = 0; });
  expect_json("manifest.json", "bos_id must be", [](Json& m) { m["tokenizer"]["bos_id"] = 258; });
  expect_json("manifest.json", "counts of a domain differ", [](Json& m) { m["domains"][1]["train"]["bytes"] = 6; });
  expect_json("manifest.json", "counts of a domain differ", [](Json& m) { m["domains"][0]["name"] = "c"; });
  expect_json("manifest.json", "domains must be those", [](Json& m) { m["domains"].erase(1); });
  expect_json("manifest.json", "counts of the split differ", [](Json& m) { m["train"]["tokens"] = 1; });
  expect_json("manifest.json", "files of the folder itself", [](Json& m) { m["outputs"]["../x"] = {}; });
  expect_json("manifest.json", "lacks the key \"train.idx\"", [](Json& m) { m["outputs"].erase("train.idx"); });
  expect_json("domains.json", "counts of a domain differ", [](Json& d) { d["train"]["domain"][0] = 1; });
  expect_json("domains.json", "counts of the split differ", [](Json& d) { d["train"]["bytes"][0] = 9; });
  expect_json("domains.json", "integers from 0 to 1", [](Json& d) { d["train"]["domain"][0] = 2; });
  expect_json("domains.json", "entry for each document", [](Json& d) { d["train"]["bytes"].erase(0); });
  expect("valid.bin", "checksum differs", [](std::string& text) { text[0] ^= 1; });
  expect("tokenizer.json", "checksum differs", [](std::string& text) { text = "[]"; });
}

TEST_F(Damaged, AnyFlippedBitOfAnyOutputIsNoticed) {
  base::Rng rng(3);
  for (const char* name :
       {"train.bin", "train.idx", "valid.bin", "valid.idx", "domains.json", "tokenizer.json", "manifest.json"}) {
    for (int i = 0; i < (name == std::string("manifest.json") ? 200 : 20); ++i) {
      EXPECT_NE(
          after(name, [&](std::string& text) { text[rng.below(text.size())] ^= static_cast<char>(1 << rng.below(8)); }),
          "(no error)");
    }
  }
}

TEST_F(Damaged, AManifestOfTheFirstVersionHasNoChecksumOfItsOwn) {
  EXPECT_EQ(after("manifest.json",
                  [](std::string& text) {
                    base::Json manifest = base::parse_json(text, "manifest");
                    manifest["format_version"] = 1;
                    manifest.erase(base::kOwnChecksum);
                    text = base::dump_json(manifest);
                  }),
            "(no error)");
}

TEST_F(Damaged, AnIdOutsideTheVocabularyIsNeverHandedOut) {
  const base::fs::path path = folder_ / "out" / "train.bin";
  std::string bin = base::read_file(path);
  bin[3] = 2;  // the second token becomes 512 and more
  base::write_file(path, bin);
  const TokenDataset dataset = TokenDataset::open(folder_ / "out", "train");
  EXPECT_NE(base::message_of([&] { dataset.tokens(0); }).find("not below the vocabulary's 258"), std::string::npos);
  EXPECT_EQ(dataset.tokens(1).front(), 256);
}

TEST_F(Damaged, MissingFilesAndNamesAreNamed) {
  EXPECT_NE(base::message_of([&] { TokenDataset::open(folder_ / "none", "train"); }).find("not a corpus"),
            std::string::npos);
  const TokenDataset dataset = TokenDataset::open(folder_ / "out", "train");
  EXPECT_EQ(dataset.domain_of("b"), 1);
  EXPECT_NE(base::message_of([&] { dataset.domain_of("bb"); }).find("dsmoe data show lists them"), std::string::npos);
  base::fs::remove(folder_ / "out" / "tokenizer.json");
  EXPECT_NE(base::message_of([&] { TokenDataset::open(folder_ / "out", "train"); }).find("lacks a file"),
            std::string::npos);
}

TEST(Corpus, HashNamesTheContentAndNotThePlace) {
  const auto hash_of = [](const std::string& text) {
    const base::TestFolder folder;
    build_test_corpus(folder, {{"a", {text, "b", "c", "d"}}}, byte_encoder());
    return TokenDataset::open(folder / "out", "train").hash();
  };
  EXPECT_EQ(hash_of("x"), hash_of("x"));
  EXPECT_NE(hash_of("x"), hash_of("y"));
}

}  // namespace
}  // namespace dsmoe::corpus
