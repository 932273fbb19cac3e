// Unicode general categories, version 16.0, and stepping through text that may not be valid UTF-8.
//
// The table is pinned (tools/unicode/generate.mjs), because a category that changes with a library's version would
// change tokens. An invalid byte is a character of its own, one byte long, with no flags, like a control character: it
// is neither letter nor space nor symbol, so no rule of a pre-tokenizer treats it specially and no byte is ever lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace dsmoe::tokenizer::unicode {

inline constexpr std::string_view kVersion = "16.0";
inline constexpr char32_t kCodePoints = 0x110000;
/// What step() calls an invalid byte.
inline constexpr char32_t kInvalid = kCodePoints;

// clang-format off
enum class Category : uint8_t {
  kLu, kLl, kLt, kLm, kLo, kMn, kMc, kMe, kNd, kNl, kNo, kPc, kPd, kPs, kPe, kPi, kPf, kPo, kSm, kSc, kSk, kSo,
  kZs, kZl, kZp, kCc, kCf, kCs, kCo, kCn
};
// clang-format on
/// The first letters of the two-letter names of all categories, in order: "LuLlLt...".
inline constexpr std::string_view kCategoryNames = "LuLlLtLmLoMnMcMeNdNlNoPcPdPsPePiPfPoSmScSkSoZsZlZpCcCfCsCoCn";

/// By binary search; for the hot path there are flags.
Category category(char32_t code_point);

/// What pre-tokenizers ask of a character, one byte per code point.
enum Flag : uint8_t {
  kLetter = 1,       ///< \p{L}
  kMark = 2,         ///< \p{M}
  kNumber = 4,       ///< \p{N}
  kPunctuation = 8,  ///< \p{P}
  kSymbol = 16,      ///< \p{S}
  kSpace = 32,       ///< \s: White_Space, as Oniguruma and ECMAScript's White_Space have it
  kNewline = 64,     ///< \r or \n
  kEastAsian = 128,  ///< DeepSeek-V3's [一-龥぀-ゟ゠-ヿ]
};
/// kCodePoints + 1 entries; the last is for kInvalid. Built at the first call (1.1 MB), lives for ever.
const uint8_t* flags();

struct Step {
  char32_t code_point;  ///< or kInvalid
  uint32_t length;      ///< in bytes; 0 only at the end
};
/// The character at `p`; `p < end`.
Step step_wide(const char* p, const char* end);
inline Step step(const char* p, const char* end) {
  const auto lead = static_cast<unsigned char>(*p);
  if (lead < 0x80) return {lead, 1};
  return step_wide(p, end);
}

/// The character that ends at `at`; `at > 0`.
Step step_back(std::string_view text, size_t at);

/// \w of the Rust `regex` crate, which decides whether an added token marked single_word stands alone.
bool is_word_character(char32_t code_point);

}  // namespace dsmoe::tokenizer::unicode
