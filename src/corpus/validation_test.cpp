// Every token of the split scored once, whatever the window; bytes that belong to what is scored.
#include "corpus/validation.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>

#include "corpus/test_corpus.h"

namespace dsmoe::corpus {
namespace {

using Ids = std::vector<int32_t>;

TokenDataset corpus(const base::TestFolder& folder, const NamedTexts& texts) {
  BuildOptions options;
  options.valid_share = 0;
  build_test_corpus(folder, texts, byte_encoder(), options);
  return TokenDataset::open(folder / "out", "train");
}

RC_GTEST_PROP(Validation, EveryTokenButTheFirstIsATargetOnceAfterItsPast, ()) {
  const base::TestFolder folder;
  NamedTexts texts = {{"a", {"first text"}}, {"b", {"another one"}}};
  for (auto& [name, list] : texts) {
    const int count = *rc::gen::inRange(0, 8);
    for (int i = 0; i < count; ++i) {
      list.push_back(name + std::to_string(i) + std::string(*rc::gen::inRange<size_t>(0, 40), '.'));
    }
  }
  const TokenDataset dataset = corpus(folder, texts);
  const auto length = *rc::gen::inRange<int64_t>(1, 60);
  const ValidationWindows windows(dataset, length);
  std::vector<Ids> scored(2);
  std::vector<std::vector<int64_t>> documents(2);  // of each scored target
  for (int64_t w = 0; w < windows.size(); ++w) {
    Ids inputs(static_cast<size_t>(length)), targets(inputs);
    windows.read(w, inputs, targets);
    Ids& stream = scored[static_cast<size_t>(windows.domain(w))];
    std::vector<int64_t> of_window(static_cast<size_t>(windows.scored(w)));
    windows.read_documents(w, of_window);
    std::vector<int64_t>& of_domain = documents[static_cast<size_t>(windows.domain(w))];
    of_domain.insert(of_domain.end(), of_window.begin(), of_window.end());
    if (stream.empty()) stream.push_back(inputs[0]);
    for (int64_t i = 0; i < length; ++i) {
      const auto at = static_cast<size_t>(i);
      RC_ASSERT((targets[at] == kNotScored) == (i >= windows.scored(w)));
      RC_ASSERT(inputs[at] >= 0 && inputs[at] < dataset.vocab_size());
      if (targets[at] == kNotScored) continue;
      RC_ASSERT(inputs[at] == stream.back());
      stream.push_back(targets[at]);
    }
  }
  for (int d = 0; d < 2; ++d) {
    Ids wanted;
    int64_t bytes = 0;
    for (const std::string& text : texts[static_cast<size_t>(d)].second) {
      const Ids ids = byte_encoder().encode(text);
      wanted.push_back(256);
      wanted.insert(wanted.end(), ids.begin(), ids.end());
      wanted.push_back(257);
      bytes += static_cast<int64_t>(text.size());
    }
    RC_ASSERT(scored[static_cast<size_t>(d)] == wanted);
    RC_ASSERT(windows.tokens(d) == static_cast<int64_t>(wanted.size()) - 1);
    RC_ASSERT(windows.bytes(d) == bytes);
    std::vector<int64_t> each;
    for (const int64_t document : windows.documents(d)) {
      each.insert(each.end(), static_cast<size_t>(dataset.tokens_in(document)), document);
    }
    each.erase(each.begin());  // the first token of a domain is no target
    RC_ASSERT(documents[static_cast<size_t>(d)] == each);
  }
}

TEST(Validation, LimitKeepsWholeDocumentsOfEveryDomainInProportion) {
  const base::TestFolder folder;
  NamedTexts texts = {{"large", {}}, {"small", {}}};
  for (int i = 0; i < 90; ++i) texts[0].second.push_back("large " + std::to_string(100 + i));
  for (int i = 0; i < 10; ++i) texts[1].second.push_back("small " + std::to_string(100 + i));
  const TokenDataset dataset = corpus(folder, texts);  // 11 tokens and 9 bytes a document
  const ValidationWindows windows(dataset, 16, 550);
  EXPECT_EQ(windows.tokens(0), 45 * 11 - 1);
  EXPECT_EQ(windows.bytes(0), 45 * 9);
  EXPECT_EQ(windows.tokens(1), 5 * 11 - 1);
  EXPECT_EQ(ValidationWindows(dataset, 16, 1).tokens(1), 10) << "at least one document";
  EXPECT_EQ(ValidationWindows(dataset, 16, 1 << 20).tokens(0), 90 * 11 - 1);
  int64_t scored = 0;
  for (int64_t w = 0; w < windows.size(); ++w) scored += windows.scored(w);
  EXPECT_EQ(scored, windows.tokens(0) + windows.tokens(1));
  EXPECT_THROW(ValidationWindows(dataset, 0), base::Error);
}

TEST(Validation, LimitIsNotOverrunByALongDocument) {
  const base::TestFolder folder;
  const auto text = [](size_t tokens) { return std::string(tokens - 2, static_cast<char>('a' + tokens % 26)); };
  const TokenDataset dataset =
      corpus(folder, {{"a", {text(900), text(40), text(500), text(30), text(27)}}, {"b", {text(803)}}});
  const ValidationWindows windows(dataset, 16, 230);  // a tenth of each
  EXPECT_EQ(windows.tokens(0), 40 + 30 + 27 - 1);
  EXPECT_EQ(windows.tokens(1), 802) << "at least one document";
  EXPECT_EQ(ValidationWindows(dataset, 16, 10).tokens(0), 26) << "the shortest";
}

TEST(Validation, AnEmptySplitHasNoWindows) {
  const base::TestFolder folder;
  corpus(folder, {{"a", {"x"}}});
  const TokenDataset valid = TokenDataset::open(folder / "out", "valid");
  EXPECT_EQ(ValidationWindows(valid, 8, 100).size(), 0);
}

TEST(Validation, ScoresAddUpAndDivide) {
  TextScore sum;
  EXPECT_TRUE(std::isnan(sum.nats_per_token()) && std::isnan(sum.bits_per_byte()));
  sum += {3 * std::log(2.0), 2, 4};
  sum += {5 * std::log(2.0), 2, 4};
  EXPECT_DOUBLE_EQ(sum.nats_per_token(), 2 * std::log(2.0));
  EXPECT_DOUBLE_EQ(sum.bits_per_byte(), 1.0);
}

}  // namespace
}  // namespace dsmoe::corpus
