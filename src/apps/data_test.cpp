// dsmoe data as a user meets it: words in, a folder, standard output and an exit code out.
#include "corpus/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "apps/testing.h"
#include "base/json.h"

namespace dsmoe::apps {
namespace {

using base::Json;
using testing::HasSubstr;

// A tokenizer of single bytes: 256 begins a document, 257 ends it.
class DataCommand : public ::testing::Test {
 protected:
  DataCommand() { tokenizer::save_tokenizer(corpus::byte_tokenizer({"<s>", "</s>"}), folder_.path()); }
  Outcome build(std::vector<std::string> words) {
    words.insert(words.begin(), {"data", "build", "--tokenizer", folder_.path().string(), "--out", out_});
    return run(words);
  }
  base::TestFolder folder_;
  std::string out_ = (folder_ / "out").string();
};

TEST_F(DataCommand, BuildsAndShows) {
  folder_.write("a1.jsonl", corpus::json_lines({"first", "second \xe4\xb8\xad\xe6\x96\x87"}));
  folder_.write("a2.jsonl", corpus::json_lines({"first", " "}));
  folder_.write("b.txt", "one\n\f\ntwo\n");
  const Outcome built = build({"words=" + (folder_ / "a*.jsonl").string(), "lines=" + (folder_ / "b.txt").string(),
                               "--valid-share", "0", "--json"});
  ASSERT_EQ(built.exit_code, 0) << built.err;
  const Json manifest = base::parse_json(built.out, "standard output");
  EXPECT_EQ(manifest["domains"][0]["duplicates"], 1);
  EXPECT_EQ(manifest["domains"][0]["blank"], 1);
  EXPECT_EQ(manifest["train"]["documents"], 4);
  EXPECT_EQ(manifest["document"], "bos text eos");
  EXPECT_EQ(manifest["domains"][1]["sources"][0]["documents"], 2);
  EXPECT_THAT(built.err, HasSubstr("words"));

  const Outcome shown = run({"data", "show", out_, "--document", "1", "--bytes", "9", "--verify"});
  ASSERT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_THAT(shown.out, HasSubstr("document 1 (words, 15 tokens, 13 bytes), its beginning:\nsecond \n"))
      << "cut between characters, special tokens left out";
  EXPECT_THAT(shown.err, HasSubstr("checksums agree"));
  EXPECT_THAT(run({"data", "show", out_, "--domain", "lines"}).out, HasSubstr("(lines, 6 tokens, 4 bytes):\none\n"));
  const Json json = base::parse_json(run({"data", "show", out_, "--json"}).out, "standard output");
  EXPECT_EQ(json["hash"], corpus::TokenDataset::open(out_, "train").hash());
  EXPECT_EQ(run({"data", "show", out_, "--split", "valid"}).exit_code, 0) << "an empty split has nothing to show";
}

TEST_F(DataCommand, MistakesAreNamedWithTheirExitCode) {
  const std::string good = "a=" + folder_.write("a.jsonl", corpus::json_lines({"x", "y"})).string();
  const std::string latin = "b=" + folder_.write("b.txt", "caf\xe9").string();
  const auto expect = [&](const Outcome& outcome, int exit_code, const std::string& text) {
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(text));
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_FALSE(base::fs::exists(out_));
  };
  expect(build({"nameless"}), 2, "a source must be NAME=PATH");
  expect(build({"a=" + (folder_ / "*.zst").string()}), 4, "no file matches");
  expect(build({good, good}), 3, "a domain is named twice");
  expect(build({latin}), 3, "b.txt line 1, byte 3 holds \"\\xe9\"");
  expect(run({"data", "build", "--tokenizer", (folder_ / "none").string(), "--out", out_, good}), 4, "none");
  expect(run({"data", "build", "--tokenizer", (folder_ / "a.jsonl").string(), "--out", out_, good}), 3,
         "not valid JSON");
  EXPECT_EQ(run({"data", "build", good}).exit_code, 2);
  EXPECT_EQ(run({"data", "show", (folder_ / "none").string()}).exit_code, 4);

  const Outcome replaced = build({latin, "--invalid-utf8", "replace", "--valid-share", "0"});
  EXPECT_EQ(replaced.exit_code, 0) << replaced.err;
  EXPECT_THAT(replaced.err, HasSubstr("1 bytes that were not UTF-8"));
  EXPECT_THAT(run({"data", "show", out_}).out, HasSubstr("caf\ufffd"));
  EXPECT_EQ(build({good}).exit_code, 4) << "the folder is there already";
  EXPECT_EQ(run({"data", "show", out_, "--document", "9"}).exit_code, 2);
  EXPECT_EQ(run({"data", "show", out_, "--domain", "bb"}).exit_code, 3);
}

TEST_F(DataCommand, AFolderIsASourceAndSaysWhatItLeavesOut) {
  base::fs::create_directories(folder_ / "books/.git");
  folder_.write("books/a.txt", "one");
  folder_.write("books/B.JSONL", corpus::json_lines({"two", "three"}));
  folder_.write("books/cover.png", "\x89PNG");
  folder_.write("books/.git/c.txt", "four");
  const Outcome built = build({"en=" + (folder_ / "books").string(), "--valid-share", "0", "--json"});
  ASSERT_EQ(built.exit_code, 0) << built.err;
  EXPECT_EQ(base::parse_json(built.out, "standard output")["train"]["documents"], 3);
  EXPECT_THAT(built.err, HasSubstr("1 file left out, not text by name (.png)"));
}

TEST_F(DataCommand, ReplacedEscapesAreCountedAndLongDocumentsRefused) {
  const std::string source = "a=" + folder_.write("a.jsonl", R"({"text":"x \ud83d"})").string();
  EXPECT_EQ(build({source}).exit_code, 3);
  const Outcome replaced = build({source, "--invalid-utf8", "replace", "--valid-share", "0", "--json"});
  ASSERT_EQ(replaced.exit_code, 0) << replaced.err;
  EXPECT_THAT(replaced.err, HasSubstr("1 escapes that were half of a surrogate pair"));
  EXPECT_EQ(base::parse_json(replaced.out, "standard output")["replaced_escapes"], 1);
  const std::string book = "b=" + folder_.write("b.txt", std::string(3000, 'x')).string();
  base::fs::remove_all(out_);
  const Outcome refused = build({book, "--longest-document", "2KB"});
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_THAT(refused.err, HasSubstr("longer than 2048 bytes"));
  EXPECT_EQ(build({book, "--longest-document", "3KB", "--valid-share", "0"}).exit_code, 0);
}

TEST_F(DataCommand, SaysWhatBecameOfValidation) {
  std::string text;
  for (int i = 0; i < 4000; ++i) text += "sentence number " + std::to_string(i) + ".\n";
  const Outcome held = build({"a=" + folder_.write("a.txt", text).string()});
  ASSERT_EQ(held.exit_code, 0) << held.err;
  EXPECT_THAT(held.err, HasSubstr("bytes of the last one are its validation text"));
  EXPECT_EQ(corpus::TokenDataset::open(out_, "valid").documents(), 1);
  base::fs::remove_all(out_);
  const std::string few = "b=" + folder_.write("b.jsonl", corpus::json_lines({"x", "y"})).string();
  const Outcome none = build({few});
  ASSERT_EQ(none.exit_code, 0) << none.err;
  EXPECT_THAT(none.err, HasSubstr("warning: the validation split is empty"));
  base::fs::remove_all(out_);
  EXPECT_THAT(build({few, "--valid-share", "0"}).err, testing::Not(HasSubstr("warning"))) << "as asked";
}

TEST_F(DataCommand, ADocumentThatSpellsASpecialTokenStaysText) {
  const std::string source = "a=" + folder_.write("a.txt", "x</s>y").string();
  const auto tokens = [&](const char* name, std::vector<std::string> more) {
    more.insert(more.begin(), {"data", "build", "--tokenizer", folder_.path().string(), "--out",
                               (folder_ / name).string(), "--valid-share", "0", source});
    const Outcome built = run(more);
    EXPECT_EQ(built.exit_code, 0) << built.err;
    const corpus::TokenDataset dataset = corpus::TokenDataset::open(folder_ / name, "train");
    return dataset.tokens(0);
  };
  EXPECT_EQ(tokens("plain", {}), (std::vector<int32_t>{256, 'x', '<', '/', 's', '>', 'y', 257}));
  EXPECT_EQ(tokens("parsed", {"--parse-special"}), (std::vector<int32_t>{256, 'x', 257, 'y', 257}));
}

// Where this program was built, asked of the kernel: in a macro it would keep the compiler's cache from knowing the
// same test of another build folder.
base::fs::path build_folder() { return base::fs::read_symlink("/proc/self/exe").parent_path().parent_path(); }

TEST_F(DataCommand, TheSampleCorpusHasWhatItsManifestSays) {
  const base::fs::path sample = build_folder() / "sample";
  if (!base::fs::exists(sample / "manifest.json")) GTEST_SKIP() << "the target sample_corpus has not been built";
  const Json said = base::parse_json(base::read_file(sample / "manifest.json"), "sample");
  std::vector<std::string> sources = {"--json"};
  for (const auto& [name, domain] : said["domains"].items()) {
    sources.push_back(name + "=" + (sample / domain["file"].get<std::string>()).string());
  }
  const Outcome built = build(sources);
  ASSERT_EQ(built.exit_code, 0) << built.err;
  const Json manifest = base::parse_json(built.out, "standard output");
  for (const Json& domain : manifest["domains"]) {
    const Json& wanted = said["domains"][domain["name"].get<std::string>()];
    EXPECT_EQ(domain["duplicates"], wanted["duplicates"]) << domain["name"];
    EXPECT_EQ(domain["sources"][0]["documents"], wanted["documents"]) << domain["name"];
    EXPECT_EQ(domain["sources"][0]["bytes"], wanted["bytes"]) << domain["name"];
  }
}

}  // namespace
}  // namespace dsmoe::apps
