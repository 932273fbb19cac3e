// `dsmoe eval perplexity` of a corpus document by document: errors, records, and one model against another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "apps/test_corpus.h"

namespace dsmoe::apps {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Bytes, and one token more for "th": other tokens of the same text.
tokenizer::TokenizerSpec merging_tokenizer() {
  tokenizer::TokenizerSpec spec = corpus::byte_tokenizer();
  spec.tokens.push_back("th");
  spec.merges.push_back({'t', 'h', 256});
  return spec;
}

class EvalPerplexity : public ::testing::Test {
 protected:
  void SetUp() override {
    write_byte_model(folder_ / "model", 30);
    write_byte_model(folder_ / "merging", 40);
    base::fs::remove(folder_ / "merging/tokenizer.json");
    tokenizer::save_tokenizer(merging_tokenizer(), folder_ / "merging");
    build("bytes", corpus::byte_tokenizer(), kFourTexts);
  }
  // A corpus of the whole of `texts`, in split train.
  void build(const std::string& name, const tokenizer::TokenizerSpec& spec, const corpus::NamedTexts& texts) {
    write_corpus(folder_, texts, spec);
    base::fs::rename(folder_ / "out", folder_ / name);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  Outcome score(const std::string& model, const std::string& corpus, std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"eval", "perplexity", "-m", path(model), "--data", path(corpus), "--split", "train"});
    return run(std::move(more));
  }
  base::Json scored(const std::string& model, const std::string& corpus, std::vector<std::string> more = {}) const {
    more.emplace_back("--json");
    const Outcome outcome = score(model, corpus, std::move(more));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    return base::parse_json(outcome.out, "output");
  }
  void refused(const Outcome& outcome, int exit_code, const std::string& words) const {
    EXPECT_EQ(outcome.exit_code, exit_code) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(words));
    EXPECT_EQ(outcome.out, "");
  }
  base::TestFolder folder_;
};

TEST_F(EvalPerplexity, ErrorsAreOverDocumentsInTheTableAndTheObject) {
  const base::Json json = scored("model", "bytes");
  EXPECT_EQ(json["documents"], 4);
  EXPECT_GT(json["nats_per_token_stderr"].get<double>(), 0);
  EXPECT_GT(json["domains"]["prose"]["bits_per_byte_stderr"].get<double>(), 0);
  EXPECT_TRUE(json["domains"]["code"]["nats_per_token_stderr"].is_null()) << "one document says nothing of its spread";
  EXPECT_FALSE(json.contains("against"));
  EXPECT_THAT(score("model", "bytes").out, AllOf(HasSubstr("documents"), HasSubstr("s.e."), Not(HasSubstr("nan"))));
}

TEST_F(EvalPerplexity, SamplesHaveALineForEachDocument) {
  const base::Json json = scored("model", "bytes", {"--samples", path("a.jsonl")});
  std::istringstream lines(base::read_file(path("a.jsonl")));
  std::string line;
  double nats = 0;
  int64_t count = 0;
  for (; std::getline(lines, line); ++count) nats += base::parse_json(line, "line")["nats"].get<double>();
  EXPECT_EQ(count, 4);
  EXPECT_NEAR(nats / json["tokens"].get<double>(), json["nats_per_token"].get<double>(), 1e-12);
  refused(score("model", "bytes", {"--samples", path("a.jsonl")}), 4, "--force");
  EXPECT_EQ(score("model", "bytes", {"--samples", path("a.jsonl"), "--force"}).exit_code, 0);
}

TEST_F(EvalPerplexity, AModelIsComparedWithTheRecordsOfAnother) {
  write_byte_model(folder_ / "other", 30, true);
  const base::Json one = scored("model", "bytes", {"--samples", path("a.jsonl"), "--sequence-length", "9"});
  const base::Json same = scored("other", "bytes", {"--against", path("a.jsonl"), "--sequence-length", "9"})["against"];
  EXPECT_EQ(same["nats_per_token"], 0.0) << "the same weights, without a tokenizer";
  EXPECT_EQ(same["nats_per_token_stderr"], 0.0);
  EXPECT_EQ(same["domains"]["prose"]["documents"], 3);
  const Outcome table = score("model", "bytes", {"--against", path("a.jsonl"), "--sequence-length", "9"});
  EXPECT_THAT(table.out, HasSubstr("this model minus"));
  refused(score("model", "bytes", {"--against", path("a.jsonl")}), 3, "--sequence-length 9 measures");
  refused(score("model", "bytes", {"--against", path("a.jsonl"), "--limit", "12"}), 3, "of other documents");
}

TEST_F(EvalPerplexity, OtherTokensOfTheSameTextAreComparedInBitsPerByteAlone) {
  build("merged", merging_tokenizer(), kFourTexts);
  const base::Json bytes = scored("model", "bytes", {"--samples", path("a.jsonl")});
  const base::Json merged = scored("merging", "merged", {"--against", path("a.jsonl")});
  EXPECT_LT(merged["tokens"], bytes["tokens"]);
  EXPECT_FALSE(merged["against"].contains("nats_per_token"));
  EXPECT_NEAR(merged["against"]["bits_per_byte"].get<double>(),
              merged["bits_per_byte"].get<double>() - bytes["bits_per_byte"].get<double>(), 1e-12);
  EXPECT_THAT(score("merging", "merged", {"--against", path("a.jsonl")}).out, HasSubstr("bits per byte alone"));
  build("elsewhere", merging_tokenizer(), {{"prose", {"the text", "another text, here", "the end"}}, {"code", {"x"}}});
  refused(score("merging", "elsewhere", {"--against", path("a.jsonl")}), 3, "other text: document 1");
}

TEST_F(EvalPerplexity, RecordsNeedACorpusAndFilesOfTheirOwn) {
  folder_.write("text.txt", "the text");
  folder_.write("a.jsonl", "{\"acc\": 1}\n");
  for (const char* option : {"--samples", "--against", "--split", "--limit"}) {
    refused(run({"eval", "perplexity", "-m", path("model"), path("text.txt"), option, "7"}), 2,
            std::string(option) + " requires --data");
  }
  refused(score("model", "bytes", {"--second-half"}), 2, "--second-half excludes --data");
  refused(score("no-model", "bytes", {"--against", path("a.jsonl")}), 3, "a.jsonl:1] lacks the key \"split\"");
  refused(score("no-model", "bytes", {"--against", path("none")}), 4, "none");
  refused(score("model", "bytes", {"--against", path("a.jsonl"), "--samples", path("a.jsonl"), "--force"}), 2,
          "a file that is read");
  refused(score("model", "bytes", {"--samples", path("bytes/manifest.json"), "--force"}), 2, "a file that is read");
  refused(run({"eval", "perplexity", "-m", path("no-model"), "--data", path("bytes")}), 3, "valid");
}

}  // namespace
}  // namespace dsmoe::apps
