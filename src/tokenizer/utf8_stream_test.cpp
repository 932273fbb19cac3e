#include "tokenizer/utf8_stream.h"

#include <gtest/gtest.h>

#include "base/rng.h"
#include "base/utf8.h"

namespace dsmoe::tokenizer {
namespace {

bool is_valid(std::string_view text) { return base::first_invalid_utf8(text) == text.npos; }

// Pushes the text in pieces of `size` bytes (0: random sizes), checking each event.
std::string streamed(std::string_view text, size_t size, base::Rng& rng) {
  Utf8Stream stream;
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t length = size > 0 ? size : rng.below(5);
    const std::string event = stream.push(text.substr(at, length));
    EXPECT_TRUE(is_valid(event));
    EXPECT_LE(stream.pending().size(), 3u);
    out += event;
    at += length;
  }
  const std::string last = stream.flush();
  EXPECT_TRUE(is_valid(last));
  return out + last;
}

TEST(Utf8Stream, EveryCodePointByteByByte) {
  base::Rng rng(1);
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string text;
    base::append_utf8(text, c);
    Utf8Stream stream;
    for (size_t i = 0; i + 1 < text.size(); ++i) ASSERT_EQ(stream.push(text.substr(i, 1)), "");
    ASSERT_EQ(stream.push(text.substr(text.size() - 1)), text);
    ASSERT_EQ(stream.flush(), "");
  }
}

TEST(Utf8Stream, JoinedAndCombiningSequencesInAnyCut) {
  base::Rng rng(2);
  const char32_t parts[] = {0x1f468, 0x200d, 0x1f469, 0x1f3fd, 0x301, 0x65, 0xfe0f, 0x2764, 0x1f1e9, 0x1f1ea, 0x5d0};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (uint64_t i = rng.below(20); i-- > 0;) base::append_utf8(text, parts[rng.below(std::size(parts))]);
    ASSERT_EQ(streamed(text, rng.below(4), rng), text);
  }
}

TEST(Utf8Stream, AnyBytesGiveTheSameValidTextInAnyCut) {
  base::Rng rng(3);
  const unsigned char leads[] = {0xc0, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xf5, 0xff,
                                 0x80, 0xa0, 0xbf, 0x9f, 0x90, 0x8f, 'a'};
  for (int round = 0; round < 20000; ++round) {
    std::string bytes(rng.below(12), 0);
    for (char& c : bytes) c = static_cast<char>(rng.below(3) ? leads[rng.below(std::size(leads))] : rng.below(256));
    const std::string whole = replace_invalid_utf8(bytes);
    ASSERT_TRUE(is_valid(whole));
    ASSERT_EQ(streamed(bytes, 1, rng), whole);
    ASSERT_EQ(streamed(bytes, 0, rng), whole);
    if (is_valid(bytes)) {
      ASSERT_EQ(whole, bytes);
    }
  }
}

// The Unicode standard's own examples (table 3-8 and its kin): one replacement per longest beginning.
TEST(Utf8Stream, ReplacesLongestBeginnings) {
  const std::string r = "\uFFFD";
  EXPECT_EQ(replace_invalid_utf8("a\xf1\x80\x80\xe1\x80\xc2"
                                 "b\x80"
                                 "c\x80\xbf"
                                 "d"),
            "a" + r + r + r + "b" + r + "c" + r + r + "d");
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80"), r + r + r);
  EXPECT_EQ(replace_invalid_utf8("\xc0\xaf"), r + r);
  EXPECT_EQ(replace_invalid_utf8("\xf0\x9f\x98"), r);
  EXPECT_EQ(replace_invalid_utf8("\xf4\x90\x80\x80"), r + r + r + r);
}

}  // namespace
}  // namespace dsmoe::tokenizer
