#include "tokenizer/tokenizer_nfc.h"

#include <gtest/gtest.h>
#include <utf8proc.h>

#include <cstdlib>

#include "base/rng.h"
#include "base/utf8.h"

namespace dsmoe::tokenizer {
namespace {

// The library's own normalisation of valid text.
std::string by_library(const std::string& text) {
  utf8proc_uint8_t* out = nullptr;
  const auto length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &out, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  EXPECT_GE(length, 0);
  const std::string result(reinterpret_cast<char*>(out), static_cast<size_t>(length));
  std::free(out);
  return result;
}

std::string text_of(std::initializer_list<char32_t> code_points) {
  std::string text;
  for (const char32_t c : code_points) base::append_utf8(text, c);
  return text;
}

TEST(Nfc, KnownForms) {
  EXPECT_EQ(to_nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(to_nfc("\u212b"), "\u00c5");               // Angstrom sign
  EXPECT_EQ(to_nfc("\u1112\u1161\u11ab"), "\ud55c");   // Hangul
  EXPECT_EQ(to_nfc("\u0958"), "\u0915\u093c");         // excluded from composition
  EXPECT_EQ(to_nfc("a\u0315\u0300"), "\u00e0\u0315");  // marks in order
  EXPECT_EQ(to_nfc("\u0301\u0301"), "\u0301\u0301");
  EXPECT_EQ(to_nfc("e\xff\u0301"), "e\xff\u0301");  // an invalid byte parts the text
  EXPECT_EQ(to_nfc("\xe4\xb8"), "\xe4\xb8");
  EXPECT_EQ(to_nfc(""), "");
}

TEST(Nfc, AgreesWithTheLibraryOnEveryCodePointBetweenNeighbours) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    const std::string text = text_of({U'e', c, 0x301});
    ASSERT_EQ(to_nfc(text), by_library(text)) << std::hex << static_cast<uint32_t>(c);
  }
}

// Whatever is called certain must stay as it is, alone and behind any letter.
TEST(Nfc, CertaintyIsTrue) {
  int certain = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    for (const char32_t before : {U'e', U'к', U'か', char32_t{0xac00}, char32_t{0x1100}}) {
      const std::string text = text_of({before, c});
      if (!is_certainly_nfc(text)) continue;
      ++certain;
      ASSERT_EQ(by_library(text), text) << std::hex << static_cast<uint32_t>(c);
    }
  }
  EXPECT_GT(certain, 100000);  // Latin, Cyrillic, kana, Han, Hangul
  EXPECT_FALSE(is_certainly_nfc("e\u0301"));
}

TEST(Nfc, ManyMarksAreOrderedInLinearTime) {
  std::string text = "a", expected = "a";
  constexpr int kMarks = 300000;
  for (int i = 0; i < kMarks; ++i) text += "\u0315\u0323";  // classes 232 and 220
  for (int i = 0; i < kMarks; ++i) expected += "\u0323";
  for (int i = 0; i < kMarks; ++i) expected += "\u0315";
  EXPECT_EQ(to_nfc(text), "\u1ea1" + expected.substr(3));
}

}  // namespace
}  // namespace dsmoe::tokenizer
