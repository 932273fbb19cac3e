// The index round-trips, and no change to its bytes goes unnoticed that would move a document.
#include "corpus/megatron_index.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>

#include "corpus/test_corpus.h"

namespace dsmoe::corpus {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

TokenIndex index_of(TokenType type, const std::vector<int>& lengths) {
  TokenIndex index;
  index.type = type;
  for (const int length : lengths) index.begins.push_back(index.begins.back() + length);
  return index;
}

uint64_t bin_bytes(const TokenIndex& index) {
  return static_cast<uint64_t>(index.begins.back() * token_bytes(index.type));
}

template <class Number>
std::string with(std::string bytes, size_t at, Number value) {
  std::memcpy(bytes.data() + at, &value, sizeof value);
  return bytes;
}

RC_GTEST_PROP(MegatronIndex, RoundTrip, ()) {
  const auto lengths = *rc::gen::container<std::vector<int>>(rc::gen::inRange(1, 100'000));
  const TokenIndex index = index_of(*rc::gen::element(TokenType::kU16, TokenType::kI32), lengths);
  const std::string idx = encode_token_index(index);
  const TokenIndex back = decode_token_index(bytes_of(idx), bin_bytes(index), "f");
  RC_ASSERT(back.type == index.type);
  RC_ASSERT(back.begins == index.begins);
  // one token or byte more or less in the .bin file, one byte more or less here
  RC_ASSERT_THROWS_AS(decode_token_index(bytes_of(idx), bin_bytes(index) + 1, "f"), base::Error);
  RC_ASSERT_THROWS_AS(decode_token_index(bytes_of(idx + " "), bin_bytes(index), "f"), base::Error);
}

TEST(MegatronIndex, TypeIsTheSmallestThatHoldsTheVocabulary) {
  EXPECT_EQ(token_type_for(65536), TokenType::kU16);
  EXPECT_EQ(token_type_for(65537), TokenType::kI32);
}

TEST(MegatronIndex, EveryFieldIsChecked) {
  const TokenIndex index = index_of(TokenType::kU16, {3, 5, 2});
  const std::string good = encode_token_index(index);
  const size_t lengths = 34, pointers = lengths + 12, boundaries = pointers + 24;
  // boundaries 1, 2, 3: growing and right at the end, but without the first document
  const std::string late = with<uint64_t>(good.substr(0, boundaries) + good.substr(boundaries + 8), 26, 3);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {late, "document boundaries"},
      {"", "shorter than its header"},
      {good.substr(0, 33), "shorter than its header"},
      {good.substr(0, good.size() - 1), "its size must be"},
      {"X" + good.substr(1), "does not begin with MMIDIDX"},
      {with<uint64_t>(good, 9, 2), "version must be 1"},
      {with<uint8_t>(good, 17, 6), "token type must be"},
      {with<uint64_t>(good, 18, 4), "its size must be"},
      {with<uint64_t>(good, 18, UINT64_MAX / 12 + 3), "its size must be"},
      {with<uint64_t>(good, 26, 0), "its size must be"},
      {with<uint64_t>(with<uint64_t>(good, 18, 5), 26, 1), "one after another"},  // same size, other parts
      {with<int32_t>(good, lengths, 0), "a sequence must have a token"},
      {with<int32_t>(good, lengths + 4, -5), "a sequence must have a token"},
      {with<int32_t>(good, lengths + 8, 3), "fill the .bin file exactly"},
      {with<uint8_t>(good, 17, 4), "one after another"},  // i32 tokens would lie elsewhere
      {with<int64_t>(good, pointers, 2), "one after another"},
      {with<int64_t>(good, pointers + 8, -6), "one after another"},
      {with<int64_t>(good, pointers + 16, int64_t{1} << 60), "one after another"},
      {with<int64_t>(good, boundaries, 1), "document boundaries"},
      {with<int64_t>(good, boundaries + 8, 0), "document boundaries"},
      {with<int64_t>(good, boundaries + 16, 4), "document boundaries"},
      {with<int64_t>(good, boundaries + 24, 2), "document boundaries"},
      {with<int64_t>(good, boundaries + 24, -1), "document boundaries"}};
  for (const auto& [bytes, rule] : cases) {
    const std::string error =
        base::message_of([&, bytes = bytes] { decode_token_index(bytes_of(bytes), bin_bytes(index), "x.idx"); });
    EXPECT_NE(error.find("[data] x.idx: "), std::string::npos) << error;
    EXPECT_NE(error.find(rule), std::string::npos) << "wanted " << rule << ", got " << error;
  }
}

TEST(MegatronIndex, DocumentsOfSeveralSequencesAreJoined) {
  std::string idx = encode_token_index(index_of(TokenType::kI32, {3, 5, 2, 7}));
  const size_t boundaries = 34 + 12 * 4;
  idx.resize(idx.size() - 16);  // three boundaries instead of five
  idx = with<uint64_t>(idx, 26, 3);
  idx = with<int64_t>(with<int64_t>(idx, boundaries + 8, 3), boundaries + 16, 4);
  EXPECT_EQ(decode_token_index(bytes_of(idx), 68, "f").begins, (std::vector<int64_t>{0, 10, 17}));
}

// In an index of at least one document every byte decides something.
RC_GTEST_PROP(MegatronIndex, AnyDamagedByteIsNoticed, ()) {
  const auto lengths = *rc::gen::nonEmpty(rc::gen::container<std::vector<int>>(rc::gen::inRange(1, 9)));
  const TokenIndex index = index_of(TokenType::kU16, lengths);
  std::string idx = encode_token_index(index);
  const auto at = *rc::gen::inRange<size_t>(0, idx.size());
  const auto flip = *rc::gen::inRange(1, 256);
  idx[at] = static_cast<char>(idx[at] ^ flip);
  RC_ASSERT_THROWS_AS(decode_token_index(bytes_of(idx), bin_bytes(index), "f"), base::Error);
}

}  // namespace
}  // namespace dsmoe::corpus
