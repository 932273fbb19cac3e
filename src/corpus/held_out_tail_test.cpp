// Where a long text is cut so that its tail can be validated on, and which documents are.
#include "corpus/held_out_tail.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>
#include <string>

#include "base/hash.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "corpus/test_corpus.h"

namespace dsmoe::corpus {
namespace {

std::string repeated(const std::string& piece, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += piece;
  return text;
}

TEST(HeldOutTail, BeginsWithAParagraphOrElseALineAWordACharacter) {
  const auto tail = [](const std::string& piece) {
    const std::string text = repeated(piece, 100'000);
    const size_t cut = tail_begin(text, 2000);
    EXPECT_GE(text.size() - cut, 1000U);
    EXPECT_LE(text.size() - cut, 2000U);
    return text.substr(cut, 9);
  };
  EXPECT_EQ(tail("paragraph one\nits line two\n\n"), "paragraph");
  EXPECT_EQ(tail("paragraph one\r\nits line two\r\n\r\n"), "paragraph");
  EXPECT_EQ(tail("beginning of a line\n"), "beginning");
  EXPECT_EQ(tail("some-long-words "), "some-long");
  EXPECT_EQ(base::first_invalid_utf8(tail("\u4e2d\u6587")), std::string::npos);
}

TEST(HeldOutTail, AShortTextHasNone) {
  const std::string text = repeated("word ", 10'000);
  EXPECT_EQ(tail_begin(text, kShortestTail - 1), text.size());
  EXPECT_LT(tail_begin(text, kShortestTail), text.size());
  EXPECT_EQ(tail_begin(std::string(2 * kShortestTail - 1, 'x'), 1e9), 2 * kShortestTail - 1);
  EXPECT_EQ(tail_begin(std::string(2 * kShortestTail, 'x'), 1e9), kShortestTail) << "at most half";
  EXPECT_EQ(tail_begin("", 0), 0U);
}

// Sentences in paragraphs; no two alike.
std::string book(int sentences) {
  std::string text;
  for (int i = 0; i < sentences; ++i) {
    text += "This is sentence " + std::to_string(i) + (i % 5 == 4 ? ".\n\n" : ". ");
  }
  return text;
}

TEST(HeldOutTail, OneLongDocumentHasItsTailHeldOut) {
  const base::TestFolder folder;
  const std::string text = book(2000);
  BuildOptions options;
  options.valid_share = 0.1;
  // a whole document falls to validation one time in ten; both ways it must be cut
  std::set<bool> whole;
  for (options.seed = 0; options.seed < 100 && whole.size() < 2; ++options.seed) {
    base::fs::remove_all(folder / "out");
    whole.insert(base::unit_interval(base::xxh3_64(text, options.seed)) < options.valid_share);
    const base::Json manifest = build_test_corpus(folder, {{"a", {text}}}, byte_encoder(), options);
    const auto train = TokenDataset::open(folder / "out", "train"), valid = TokenDataset::open(folder / "out", "valid");
    ASSERT_EQ(train.documents(), 1);
    ASSERT_EQ(valid.documents(), 1);
    const auto held_out = manifest["domains"][0]["held_out"].get<size_t>();
    EXPECT_LE(held_out, text.size() / 10);
    EXPECT_GE(held_out, text.size() / 20);
    EXPECT_EQ(train.tokens(0), framed(text.substr(0, text.size() - held_out)));
    EXPECT_EQ(valid.tokens(0), framed(text.substr(text.size() - held_out)));
    EXPECT_EQ(text.substr(text.size() - held_out, 4), "This") << "a paragraph";
  }
  EXPECT_EQ(whole.size(), 2U);
}

TEST(HeldOutTail, OnlyADomainWithoutASplitOfItsOwnIsCut) {
  const base::TestFolder folder;
  const auto many = numbered(book(50), 200);
  const base::Json manifest = build_test_corpus(
      folder, {{"few", {book(900), book(901), book(902)}}, {"many", many}, {"short", {"x", "y"}}}, byte_encoder(), {});
  const auto& domains = manifest["domains"];
  EXPECT_GT(domains[0]["held_out"], 0);
  EXPECT_EQ(domains[0]["train"]["documents"], 3);
  EXPECT_EQ(domains[0]["valid"]["documents"], 1);
  EXPECT_EQ(domains[1]["held_out"], 0);
  EXPECT_EQ(domains[1]["train"]["documents"].get<int>() + domains[1]["valid"]["documents"].get<int>(), 200);
  EXPECT_EQ(domains[2]["held_out"], 0) << "too short";
  base::fs::remove_all(folder / "out");
  BuildOptions none;
  none.valid_share = 0;
  EXPECT_EQ(build_test_corpus(folder, {{"a", {book(900)}}}, byte_encoder(), none)["domains"][0]["held_out"], 0);
}

}  // namespace
}  // namespace dsmoe::corpus
