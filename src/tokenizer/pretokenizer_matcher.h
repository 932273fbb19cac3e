// Inside the pre-tokenizer: finding matches of one pattern. Not for use outside.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "tokenizer/pretokenizer.h"

namespace dsmoe::tokenizer {

struct Match {
  static constexpr size_t kNone = static_cast<size_t>(-1);
  size_t begin = kNone;
  size_t end = kNone;
  bool found() const { return begin != kNone; }
};

class Matcher {
 public:
  virtual ~Matcher() = default;
  /// The leftmost match that begins at or after `from`. `from <= text.size()`, at a character's start.
  virtual Match next(std::string_view text, size_t from) const = 0;
  /// If so, the caller puts a control character (U+007F, one byte) in place of each invalid byte.
  virtual bool needs_valid_utf8() const { return false; }
};

// Each returns nothing for a pattern that is not of its kind, but for the last two, which throw Error(kInvalid).

/// The alternations known by heart: DeepSeek-V3's third, Llama-3's, Qwen's, GPT-2's.
std::unique_ptr<Matcher> make_rule_matcher(std::string_view regex);
/// One optional space and a run of one character class: `[\r\n]`, `\p{N}{1,3}`, `\s?[A-Z...]+`, `\s+$`.
std::unique_ptr<Matcher> make_class_matcher(std::string_view regex);
std::unique_ptr<Matcher> make_pcre2_matcher(std::string_view regex);
std::unique_ptr<Matcher> make_literal_matcher(std::string_view text);

/// The same alternations as whole stages (behaviour Isolated); nothing for any other pattern.
std::unique_ptr<PreTokenizer> make_rule_stage(std::string_view regex);
/// DeepSeek-V3's three Splits in one pass.
std::unique_ptr<PreTokenizer> make_deepseek_v3_stage();

inline constexpr std::string_view kDeepSeekV3Numbers = R"(\p{N}{1,3})";
inline constexpr std::string_view kDeepSeekV3EastAsian = "[一-龥\u3040-ゟ゠-ヿ]+";
// the carriage return and line feed stand in the pattern as themselves
inline constexpr std::string_view kDeepSeekV3Words =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
    " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
inline constexpr std::string_view kGpt2Words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kLlama3Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+)"
    R"(|\s+(?!\S)|\s+)";
inline constexpr std::string_view kQwen2Words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+)"
    R"(|\s+(?!\S)|\s+)";

// DeepSeek-LLM's (and DeepSeekMoE-16B's) Splits, in order. The second lists the letters that have case. The third, as
// it stands in the original, has all of ASCII from the colon on, letters included.
inline constexpr std::string_view kDeepSeekLlm[] = {
    "[\r\n]",
    "\\s?["
    "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-\u0373\u0376"
    "\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F"
    "\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77"
    "\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D"
    "\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4"
    "\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139"
    "\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D"
    "\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A"
    "\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2"
    "\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
    "]+",
    "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+",
    "\\s+$",
    "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+",
};

}  // namespace dsmoe::tokenizer
