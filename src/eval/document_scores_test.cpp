// Figures of documents against an independent script, and what pairs are for.
#include "eval/document_scores.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "base/json.h"
#include "base/rng.h"
#include "base/test_files.h"
#include "eval/document_records.h"

namespace dsmoe::eval {
namespace {

// Documents of very different lengths and difficulty, the last alone in its domain.
std::vector<DocumentRecord> random_records(uint64_t model) {
  base::Rng texts(1), scores(model);
  std::vector<DocumentRecord> records;
  for (int64_t document = 0; document < 23; ++document) {
    const auto tokens = static_cast<int64_t>(1 + texts.below(document % 5 == 0 ? 5000 : 60));
    const double hardness = 2 + 3 * texts.uniform();
    const double nats =
        static_cast<double>(tokens) * (hardness + 0.05 * scores.normal() + 0.01 * static_cast<double>(model));
    const std::string domain = document < 12 ? "prose" : document < 22 ? "code \"quoted\"" : "lone";
    const auto bytes = static_cast<int64_t>(3 * tokens + static_cast<int64_t>(texts.below(20)));
    records.push_back({"valid", 512, "i" + std::to_string(document), "", {document, domain, {nats, tokens, bytes}}});
  }
  return records;
}

std::vector<DocumentScore> scores_of(const std::vector<DocumentRecord>& records) {
  std::vector<DocumentScore> scores;
  for (const DocumentRecord& record : records) scores.push_back(record.scored);
  return scores;
}

void expect_golden(const Estimate& estimate, const base::Json& golden, const std::string& name) {
  EXPECT_NEAR(estimate.mean, golden[name].get<double>(), 1e-12) << name;
  const base::Json& error = golden[name + "_stderr"];
  if (error.is_null()) {
    EXPECT_TRUE(std::isnan(estimate.standard_error)) << name << ": of one document";
  } else {
    EXPECT_NEAR(estimate.standard_error, error.get<double>(), 1e-12) << name;
  }
}

void expect_golden(const DocumentEstimates& estimates, const base::Json& golden) {
  expect_golden(estimates.nats_per_token, golden, "nats_per_token");
  expect_golden(estimates.bits_per_byte, golden, "bits_per_byte");
}

TEST(DocumentScores, AreThoseOfTheIndependentScript) {
  if (std::system("python3 -c '' 2>/dev/null") != 0) GTEST_SKIP() << "no python3 here";
  const base::TestFolder folder;
  const auto ours = random_records(2), theirs = random_records(3);
  const std::string a = folder.write("ours.jsonl", record_lines(ours)).string();
  const std::string b = folder.write("theirs.jsonl", record_lines(theirs)).string();
  const std::string script = DSMOE_SOURCE_DIR "/tests/golden/document_scores.py";
  const std::string out = (folder / "golden.json").string();
  ASSERT_EQ(std::system(("python3 '" + script + "' '" + a + "' '" + b + "' '" + out + "'").c_str()), 0);
  const base::Json golden = base::parse_json(base::read_file(out), out);
  ASSERT_EQ(golden.size(), 4u);

  const auto documents = scores_of(ours);
  expect_golden(estimates_of(documents), golden[""]);
  const Comparison comparison = compare_documents(ours, theirs, "theirs.jsonl");
  expect_golden(comparison.all, golden[""]["against"]);
  ASSERT_EQ(comparison.domains.size(), 3u);
  for (const Comparison::Row& row : comparison.domains) {
    SCOPED_TRACE(row.domain);
    expect_golden(estimates_of(of_domain(documents, row.domain)), golden[row.domain]);
    expect_golden(row.difference, golden[row.domain]["against"]);
  }
}

TEST(DocumentScores, PairsTellApartWhatMeansDoNot) {
  // Documents differ widely, models by 0.1 nats a token each time: the difference is sure, the means are not.
  const std::vector<DocumentScore> theirs = {{0, "a", {20, 10, 40}}, {1, "a", {90, 20, 80}}, {2, "a", {45, 30, 120}}};
  auto ours = theirs;
  for (DocumentScore& document : ours) document.score.nats += 0.1 * static_cast<double>(document.score.tokens);
  const DocumentEstimates difference = paired_difference(ours, theirs);
  EXPECT_NEAR(difference.nats_per_token.mean, 0.1, 1e-12);
  EXPECT_NEAR(difference.nats_per_token.standard_error, 0, 1e-12);
  EXPECT_NEAR(difference.bits_per_byte.mean, 0.1 / 4 / std::log(2), 1e-12);
  EXPECT_GT(estimates_of(ours).nats_per_token.standard_error, 0.5);
  EXPECT_EQ(difference.nats_per_token.count, 3);
}

}  // namespace
}  // namespace dsmoe::eval
