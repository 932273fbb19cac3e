// Records of documents: what they know a document by, how they are read, and which may be compared.
#include "eval/document_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <numbers>

#include "base/hash.h"
#include "base/json.h"
#include "corpus/test_corpus.h"
#include "eval/perplexity.h"
#include "eval/test_task.h"

namespace dsmoe::eval {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Records : public ::testing::Test {
 protected:
  corpus::TokenDataset corpus(const corpus::NamedTexts& texts = {{"prose", {"once upon", "a time"}}, {"code", {"x"}}},
                              const corpus::CorpusEncoder& encoder = corpus::byte_encoder()) {
    corpus::BuildOptions options;
    options.valid_share = 0;
    corpus::build_test_corpus(folders_.emplace_back(), texts, encoder, options);
    return corpus::TokenDataset::open(folders_.back() / "out", "train");
  }
  static std::vector<DocumentRecord> describe(const corpus::TokenDataset& dataset, bool with_text = true) {
    const tokenizer::Tokenizer tokenizer(corpus::byte_tokenizer());
    return describe_documents(dataset, corpus::ValidationWindows(dataset, 7), with_text ? &tokenizer : nullptr);
  }
  std::deque<base::TestFolder> folders_;
};

TEST_F(Records, AreReadAsTheyWereWritten) {
  auto records = describe(corpus());
  ASSERT_EQ(records.size(), 3u);
  records[0].scored.score.nats = 1.0 / 3;
  records[2].text.clear();
  const base::TestFolder folder;
  const std::string lines = record_lines(records);
  const auto read = read_records(folder.write("records", lines));
  ASSERT_EQ(read.size(), 3u);
  EXPECT_EQ(read[0].scored.score.nats, 1.0 / 3) << "to the bit";
  EXPECT_EQ(record_lines(read), lines);
  EXPECT_EQ(read_records(folder.write("cut", lines.substr(0, lines.size() - 1))).size(), 3u);
}

TEST_F(Records, WhatIsNoRecordIsRefusedByLine) {
  const base::TestFolder folder;
  const auto message = [&](const std::string& text) {
    return base::message_of([&, file = folder.write("records.jsonl", text)] { read_records(file); });
  };
  const auto records = describe(corpus());
  const std::string line = record_lines(std::span(records).first(1));
  EXPECT_THAT(message(line + "{\"acc\": 1}\n"), HasSubstr("records.jsonl:2] lacks the key \"split\""));
  EXPECT_THAT(message(line + "7\n"), HasSubstr("records.jsonl:2"));
  EXPECT_THAT(message(line + line.substr(0, 40)), HasSubstr("records.jsonl:2"));
  EXPECT_THAT(message(""), HasSubstr("no records to compare with"));
  base::Json bad = base::parse_json(line.substr(0, line.size() - 1), "line");
  bad["tokens"] = -1;
  EXPECT_THAT(message(base::dump_json(bad)), HasSubstr("tokens must be from 0"));
  EXPECT_THAT(base::message_of([&] { read_records(folder / "none"); }), HasSubstr("none"));
}

TEST_F(Records, AreOfTheDocumentsThatAreScored) {
  const auto dataset = corpus();
  engine::Engine engine = byte_engine();
  const Perplexity result = perplexity(engine, dataset, {.sequence_length = 7});
  auto records = describe(dataset);
  for (size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(records[i].scored.score.tokens, result.documents[i].score.tokens) << i;
    EXPECT_EQ(records[i].scored.score.bytes, result.documents[i].score.bytes) << i;
    EXPECT_EQ(records[i].scored.domain, result.documents[i].domain) << i;
  }
  set_scores(records, result.documents);
  EXPECT_GT(records[2].scored.score.nats, 0);
}

TEST_F(Records, TheTextIsKnownWhereTheIdsGiveItBack) {
  const auto records = describe(corpus());
  EXPECT_EQ(records[0].text, base::xxh3_128_hex("once upon")) << "without bos and eos";
  EXPECT_EQ(describe(corpus(), false)[0].text, "") << "no tokenizer";
  corpus::CorpusEncoder folding = corpus::byte_encoder();
  folding.encode = [](std::string_view text) { return corpus::byte_encoder().encode(text.substr(0, text.size() / 2)); };
  EXPECT_EQ(describe(corpus({{"prose", {"once upon"}}}, folding))[0].text, "") << "half of it is not the text";
}

TEST_F(Records, OtherDocumentsAreRefused) {
  const auto ours = describe(corpus());
  const auto refused = [&](const std::vector<DocumentRecord>& theirs, const std::string& rule) {
    EXPECT_THAT(base::message_of([&] { require_same_documents(ours, theirs, "b.jsonl"); }),
                AllOf(HasSubstr("b.jsonl: "), HasSubstr(rule)));
  };
  EXPECT_EQ(require_same_documents(ours, ours, "b.jsonl"), Common::kTokens);
  refused(describe(corpus({{"prose", {"once upon", "a clime"}}, {"code", {"x"}}})),
          "of other text: document 1 of domain \"prose\"");
  refused(describe(corpus({{"prose", {"a time", "once upon"}}, {"code", {"x"}}})), "other text: document 0");
  refused(describe(corpus({{"prose", {"once upon"}}, {"code", {"a time", "x"}}})), "other documents");
  refused({ours.begin(), ours.end() - 1}, "2 of them, and here 3");
  auto other = ours;
  other[0].split = "valid";
  refused(other, "another split: \"valid\", and this is \"train\"");
  other = ours;
  other[1].scored.score.tokens += 1;
  refused(other, "disagree on a document's size");
  other = ours;
  for (DocumentRecord& record : other) record.sequence_length = 9;
  refused(other, "--sequence-length 9 measures in the same windows");
  other = describe(corpus(), false);
  other[1].ids = "0";
  refused(other, "no hash of the text to compare: document 1 of domain \"prose\" there");
}

TEST_F(Records, OtherTokensOfTheSameTextAreComparedByBytes) {
  auto ours = describe(corpus()), theirs = ours;
  for (DocumentRecord& record : theirs) {
    record.ids += "x", record.sequence_length = 100;
    record.scored.score.tokens *= 2;
  }
  for (DocumentRecord& record : ours) record.scored.score.nats = static_cast<double>(record.scored.score.bytes);
  const Comparison comparison = compare_documents(ours, theirs, "b.jsonl");
  EXPECT_EQ(comparison.common, Common::kText);
  EXPECT_NEAR(comparison.all.bits_per_byte.mean, std::numbers::log2e, 1e-12);
  ASSERT_EQ(comparison.domains.size(), 2u);
  EXPECT_EQ(comparison.domains[1].domain, "code");
  theirs[1].scored.score.bytes += 1;
  EXPECT_THROW(compare_documents(ours, theirs, "b.jsonl"), base::Error);
}

}  // namespace
}  // namespace dsmoe::eval
