#include "tokenizer/unicode.h"

#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"
#include "base/utf8.h"
#include "tokenizer/pretokenizer_matcher.h"

namespace dsmoe::tokenizer::unicode {
namespace {

std::string text_of(char32_t c) {
  std::string text;
  base::append_utf8(text, c);
  return text;
}

bool is_surrogate(char32_t c) { return c >= 0xd800 && c < 0xe000; }

// Totals as the Unicode 16.0 standard's own table 4-? counts them; they also came out of Oniguruma 6.9.10 itself.
TEST(Unicode, CategoriesAreVersion16) {
  std::map<Category, int> count;
  for (char32_t c = 0; c < kCodePoints; ++c) ++count[category(c)];
  EXPECT_EQ(count[Category::kLu], 1858);
  EXPECT_EQ(count[Category::kLl], 2258);
  EXPECT_EQ(count[Category::kMn], 2020);
  EXPECT_EQ(count[Category::kNd], 760);
  EXPECT_EQ(count[Category::kSo], 7376);
  EXPECT_EQ(count[Category::kCs], 2048);
  EXPECT_EQ(category(kCodePoints), Category::kCn);
  EXPECT_EQ(category(U'0'), Category::kNd);
  EXPECT_EQ(category(U'｜'), Category::kSm);
  EXPECT_EQ(category(U'▁'), Category::kSo);
  EXPECT_EQ(category(0x10ffff), Category::kCn);
}

TEST(Unicode, FlagsFollowCategories) {
  const auto name = [](char32_t c) { return kCategoryNames.substr(2 * static_cast<size_t>(category(c)), 2); };
  for (char32_t c = 0; c < kCodePoints; ++c) {
    const uint8_t f = flags()[c];
    const char group = name(c)[0];
    ASSERT_EQ((f & kLetter) != 0, group == 'L') << std::hex << static_cast<uint32_t>(c);
    ASSERT_EQ((f & kMark) != 0, group == 'M');
    ASSERT_EQ((f & kNumber) != 0, group == 'N');
    ASSERT_EQ((f & kPunctuation) != 0, group == 'P');
    ASSERT_EQ((f & kSymbol) != 0, group == 'S');
    ASSERT_EQ((f & kSpace) != 0, group == 'Z' || (c >= 9 && c <= 13) || c == 0x85);
    ASSERT_EQ((f & kNewline) != 0, c == '\r' || c == '\n');
    ASSERT_EQ((f & kEastAsian) != 0, (c >= 0x3040 && c <= 0x30ff) || (c >= 0x4e00 && c <= 0x9fa5));
  }
  EXPECT_EQ(flags()[kInvalid], 0);
}

// PCRE2 has tables of its own, of an older version: it may not know a character, and a handful changed their category.
TEST(Unicode, CategoriesAgreeWithPcre2) {
  const auto unknown = make_pcre2_matcher(R"(\p{Cn})");
  for (const auto& [pattern, flag] : {std::pair{R"(\p{L})", kLetter},
                                      {R"(\p{M})", kMark},
                                      {R"(\p{N})", kNumber},
                                      {R"(\p{P})", kPunctuation},
                                      {R"(\p{S})", kSymbol},
                                      {R"(\s)", kSpace}}) {
    const auto matcher = make_pcre2_matcher(pattern);
    int differences = 0;
    for (char32_t c = 0; c < kCodePoints; ++c) {
      if (is_surrogate(c)) continue;
      const std::string text = text_of(c);
      if (unknown->next(text, 0).found()) continue;
      if (matcher->next(text, 0).found() != ((flags()[c] & flag) != 0)) ++differences;
    }
    EXPECT_LE(differences, 8) << pattern;
  }
}

TEST(Unicode, StepsForwardsAndBackwards) {
  for (char32_t c = 0; c < kCodePoints; ++c) {
    if (is_surrogate(c)) continue;
    const std::string text = text_of(c);
    const Step forwards = step(text.data(), text.data() + text.size()), backwards = step_back(text, text.size());
    ASSERT_EQ(forwards.code_point, c);
    ASSERT_EQ(forwards.length, text.size());
    ASSERT_EQ(backwards.code_point, c);
    ASSERT_EQ(backwards.length, text.size());
  }
}

TEST(Unicode, InvalidBytesAreOneStepEach) {
  base::Rng rng(1);
  for (int round = 0; round < 5000; ++round) {
    std::string text(1 + rng.below(6), 0);
    for (char& c : text) c = static_cast<char>(rng.below(256));
    const char* end = text.data() + text.size();
    for (const char* p = text.data(); p != end;) {
      const Step s = step(p, end);
      ASSERT_GE(s.length, 1u);
      ASSERT_LE(s.length, static_cast<size_t>(end - p));
      if (s.code_point == kInvalid) {
        ASSERT_EQ(s.length, 1u);
      } else {
        ASSERT_EQ(text_of(s.code_point), std::string(p, s.length));
      }
      p += s.length;
    }
  }
}

TEST(Unicode, WordCharacters) {
  for (const char32_t c : {U'a', U'Z', U'é', U'中', U'0', U'_', U'‿', U'\u0301', U'Ⅷ', U'Ⓐ', U'\u200d'}) {
    EXPECT_TRUE(is_word_character(c)) << std::hex << static_cast<uint32_t>(c);
  }
  for (const char32_t c : {U' ', U'-', U'½', U'€', U'。', U'😀', char32_t{kInvalid}}) {
    EXPECT_FALSE(is_word_character(c)) << std::hex << static_cast<uint32_t>(c);
  }
}

}  // namespace
}  // namespace dsmoe::tokenizer::unicode
