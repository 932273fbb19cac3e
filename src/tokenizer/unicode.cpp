#include "tokenizer/unicode.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "base/utf8.h"

namespace dsmoe::tokenizer::unicode {
namespace {

// first code point * 32 + category, ascending
constexpr uint32_t kRuns[] = {
#include "tokenizer/unicode_table.inc"
};

uint8_t flags_of_category(Category c) {
  if (c <= Category::kLo) return kLetter;
  if (c <= Category::kMe) return kMark;
  if (c <= Category::kNo) return kNumber;
  if (c <= Category::kPo) return kPunctuation;
  if (c <= Category::kSo) return kSymbol;
  if (c <= Category::kZp) return kSpace;
  return 0;
}

std::vector<uint8_t> build_flags() {
  std::vector<uint8_t> table(size_t{kCodePoints} + 1, 0);
  for (size_t i = 0; i < std::size(kRuns); ++i) {
    const size_t end = i + 1 < std::size(kRuns) ? kRuns[i + 1] / 32 : kCodePoints;
    std::fill(table.begin() + kRuns[i] / 32, table.begin() + static_cast<ptrdiff_t>(end),
              flags_of_category(static_cast<Category>(kRuns[i] % 32)));
  }
  for (const size_t c : {0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x85}) table[c] |= kSpace;  // White_Space outside Z
  for (const size_t c : {0x0a, 0x0d}) table[c] |= kNewline;
  for (size_t c = 0x3040; c <= 0x30ff; ++c) table[c] |= kEastAsian;
  for (size_t c = 0x4e00; c <= 0x9fa5; ++c) table[c] |= kEastAsian;
  return table;
}

}  // namespace

Category category(char32_t code_point) {
  if (code_point >= kCodePoints) return Category::kCn;
  const auto after = std::upper_bound(std::begin(kRuns), std::end(kRuns), static_cast<uint32_t>(code_point) * 32 + 31);
  return static_cast<Category>(*(after - 1) % 32);
}

const uint8_t* flags() {
  static const std::vector<uint8_t> table = build_flags();
  return table.data();
}

Step step_wide(const char* p, const char* end) {
  const auto available = static_cast<size_t>(end - p);
  char32_t code_point;
  const size_t length = base::utf8_decode({p, std::min<size_t>(available, 4)}, 0, code_point);
  if (length == 0) return {kInvalid, 1};
  return {code_point, static_cast<uint32_t>(length)};
}

Step step_back(std::string_view text, size_t at) {
  char32_t code_point;
  for (size_t length = 1; length <= std::min<size_t>(4, at); ++length) {
    if (base::utf8_decode(text.substr(0, at), at - length, code_point) == length) {
      return {code_point, static_cast<uint32_t>(length)};
    }
  }
  return {kInvalid, 1};
}

bool is_word_character(char32_t c) {
  if (c == 0x200c || c == 0x200d) return true;  // Join_Control
  const auto within = [c](char32_t first, char32_t last) { return c >= first && c <= last; };
  // Other_Alphabetic among the symbols: circled and squared letters; the rest of Other_Alphabetic are marks
  if (within(0x24b6, 0x24e9) || within(0x1f130, 0x1f149) || within(0x1f150, 0x1f169) || within(0x1f170, 0x1f189)) {
    return true;
  }
  const Category category_of_c = category(c);
  return category_of_c <= Category::kNl || category_of_c == Category::kPc;
}

}  // namespace dsmoe::tokenizer::unicode
