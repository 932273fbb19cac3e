// Megatron's token files, as bytes: NAME.bin holds token ids one after another, NAME.idx says where documents lie.
//
//   offset  bytes  NAME.idx, all numbers little-endian                     here
//        0      9  "MMIDIDX\0\0"
//        9      8  u64 version, 1
//       17      1  u8 type of a token: 8 = u16, 4 = i32                    the smaller that holds the vocabulary
//       18      8  u64 number of sequences n
//       26      8  u64 number of document boundaries m                     documents + 1
//       34     4n  i32 tokens of each sequence                             at least 1
//              8n  i64 byte in NAME.bin where each sequence begins         one after another from 0, without a gap
//              8m  i64 sequence with which each document begins, then n    growing from 0
//
// The builder writes one sequence a document. The reader takes documents of several sequences too.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dsmoe::corpus {

enum class TokenType : uint8_t { kI32 = 4, kU16 = 8 };
constexpr int64_t token_bytes(TokenType type) { return type == TokenType::kU16 ? 2 : 4; }
/// The type the builder chooses.
constexpr TokenType token_type_for(int64_t vocab_size) {
  return vocab_size <= 65536 ? TokenType::kU16 : TokenType::kI32;
}

struct TokenIndex {
  TokenType type = TokenType::kU16;
  /// Token of NAME.bin with which each document begins, then their total: documents + 1 entries.
  std::vector<int64_t> begins{0};

  int64_t documents() const { return static_cast<int64_t>(begins.size()) - 1; }
};

/// The bytes of NAME.idx, one sequence for each document. Every document must have from 1 to 2^31-1 tokens.
std::string encode_token_index(const TokenIndex& index);

/// Reads NAME.idx and holds it against the size of NAME.bin. Throws base::Error(kInvalid) naming `where` and the rule.
TokenIndex decode_token_index(std::span<const std::byte> idx, uint64_t bin_bytes, std::string_view where);

}  // namespace dsmoe::corpus
