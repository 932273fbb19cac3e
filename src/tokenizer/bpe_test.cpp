#include "tokenizer/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "base/rng.h"

namespace dsmoe::tokenizer {
namespace {

std::vector<int32_t> identity_bytes() {
  std::vector<int32_t> ids(256);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

// The reference: look for the merge of lowest rank, leftmost; do it; begin again.
std::vector<int32_t> encode_naively(std::string_view piece, const std::vector<BpeMerge>& merges) {
  std::vector<int32_t> ids;
  for (const char c : piece) ids.push_back(static_cast<unsigned char>(c));
  for (bool merged = true; merged;) {
    merged = false;
    for (const BpeMerge& m : merges) {
      for (size_t i = 0; i + 1 < ids.size() && !merged; ++i) {
        if (ids[i] != m.left || ids[i + 1] != m.right) continue;
        ids[i] = m.merged;
        ids.erase(ids.begin() + static_cast<ptrdiff_t>(i) + 1);
        merged = true;
      }
      if (merged) break;
    }
  }
  return ids;
}

// Merges over a small alphabet, each making a new token, in an order that need not be a trainer's.
std::vector<BpeMerge> random_merges(base::Rng& rng, int letters, int count) {
  std::vector<int32_t> known;
  for (int i = 0; i < letters; ++i) known.push_back('a' + i);
  std::vector<BpeMerge> merges;
  while (static_cast<int>(merges.size()) < count) {
    const BpeMerge m{known[rng.below(known.size())], known[rng.below(known.size())],
                     256 + static_cast<int32_t>(merges.size())};
    const auto same = [&](const BpeMerge& other) { return other.left == m.left && other.right == m.right; };
    if (std::any_of(merges.begin(), merges.end(), same)) continue;
    merges.push_back(m);
    known.push_back(m.merged);
  }
  rng.shuffle(merges);
  return merges;
}

TEST(Bpe, AgreesWithItsDefinition) {
  base::Rng rng(1);
  for (int round = 0; round < 60; ++round) {
    const auto merges = random_merges(rng, 3, 30);
    const Bpe bpe(identity_bytes(), merges);
    BpeWorkspace workspace;
    for (int word = 0; word < 60; ++word) {
      // around the border between the two ways, and repeated, so that the cache answers too
      std::string piece(1 + rng.below(2 * Bpe::kLongPiece), 'a');
      if (word % 3 == 0) piece.resize(1 + rng.below(6));
      for (char& c : piece) c = static_cast<char>('a' + rng.below(3));
      const auto expected = encode_naively(piece, merges);
      for (int again = 0; again < 2; ++again) {
        std::vector<int32_t> ids = {-7};
        bpe.encode(piece, workspace, ids);
        ids.erase(ids.begin());
        ASSERT_EQ(ids, expected) << piece;
      }
    }
  }
}

TEST(Bpe, ForgottenCacheLinesAreMergedAgain) {
  base::Rng rng(2);
  const auto merges = random_merges(rng, 26, 60);
  const Bpe bpe(identity_bytes(), merges);
  BpeWorkspace used;
  for (int round = 0; round < 100000; ++round) {
    std::string piece(1 + rng.below(10), 'a');
    for (char& c : piece) c = static_cast<char>('a' + rng.below(26));
    std::vector<int32_t> ids;
    bpe.encode(piece, used, ids);
    if (round % 50 == 0) {
      ASSERT_EQ(ids, encode_naively(piece, merges));
    }
  }
}

TEST(Bpe, BytesWithoutATokenAreLeftOutAndTheLastOfEqualMergesCounts) {
  auto bytes = identity_bytes();
  bytes['z'] = -1;
  const Bpe bpe(bytes, {{'a', 'b', 300}, {'b', 'c', 301}, {'a', 'b', 302}});
  BpeWorkspace workspace;
  std::vector<int32_t> ids;
  bpe.encode("azbc", workspace, ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{'a', 301}));
  ids.clear();
  bpe.encode("ab", workspace, ids);
  EXPECT_EQ(ids, std::vector<int32_t>{302});
  ids.clear();
  bpe.encode("zzz", workspace, ids);
  EXPECT_TRUE(ids.empty());
}

TEST(Bpe, WholePiecesComeBeforeMerges) {
  Bpe bpe(identity_bytes(), {{'a', 'b', 300}});
  bpe.set_whole_pieces({{"abc", 400}});
  BpeWorkspace workspace;
  std::vector<int32_t> ids;
  bpe.encode("abc", workspace, ids);
  bpe.encode("abcc", workspace, ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{400, 300, 'c', 'c'}));
}

TEST(Bpe, AgreesWithItsDefinitionOverManyBlocks) {
  base::Rng rng(7);
  for (int round = 0; round < 20; ++round) {
    const auto merges = random_merges(rng, 2, 20);
    const Bpe bpe(identity_bytes(), merges);
    BpeWorkspace workspace;
    for (const size_t length : {63, 64, 65, 127, 129, 200, 447, 448}) {
      std::string piece(length, 'a');
      if (round % 4 != 0) {  // otherwise one letter, whose pairs depend on all that is before them
        for (char& c : piece) c = static_cast<char>('a' + rng.below(2));
      }
      std::vector<int32_t> ids;
      bpe.encode(piece, workspace, ids);
      ASSERT_EQ(ids, encode_naively(piece, merges)) << piece;
    }
  }
}

// Three blocks a merge and one each to begin with: twice the text takes at most 2.2 times the searches.
TEST(Bpe, SearchesGrowWithTheText) {
  std::vector<BpeMerge> merges = {{'x', 'x', 256},   {256, 256, 257}, {257, 257, 258}, {0xe4, 0xb8, 259},
                                  {259, 0xad, 260},  {260, 260, 261}, {' ', ' ', 262}, {262, 262, 263},
                                  {0xf0, 0x9f, 264}, {264, 0x98, 265}};
  const Bpe bpe(identity_bytes(), merges);
  for (const std::string unit : {"x", " ", "中", "😀", "x中 ", "_"}) {
    const auto searches = [&](size_t bytes) {
      std::string text;
      while (text.size() < bytes) text += unit;
      BpeWorkspace workspace;
      std::vector<int32_t> ids;
      bpe.encode(text, workspace, ids);
      EXPECT_LE(workspace.searches, 4 * text.size());
      return workspace.searches;
    };
    const uint64_t once = searches(1 << 17), twice = searches(1 << 18);
    EXPECT_LE(twice, once * 22 / 10 + 10) << unit;
  }
}

}  // namespace
}  // namespace dsmoe::tokenizer
