// Pre-tokenizers: cutting text into pieces before byte-pair encoding, which never merges across pieces.
//
// What is here are the parts of Hugging Face's tokenizer.json that byte-level tokenizers use: Split, Digits and
// ByteLevel, one after another, each cutting the pieces of the one before. They are described as data (`Steps`) and
// built into a `PreTokenizer`. Regular expressions that are known (DeepSeek-V3's, DeepSeek-LLM's, Llama-3's, Qwen's,
// GPT-2's) run as hand-written rules in linear time; any other goes to PCRE2 with limits.
//
// Not here: bytes to ids (bpe.h), added tokens and normalisation (tokenizer.h).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace dsmoe::tokenizer {

/// Receives pieces in order. Together they are the text, unless a Split removes its matches or a space is prefixed.
class PieceSink {
 public:
  virtual void piece(std::string_view bytes) = 0;

 protected:
  ~PieceSink() = default;
};

class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Safe to call from several threads. Pieces are never empty.
  virtual void split(std::string_view text, PieceSink& out) const = 0;
};

/// What becomes of a match (the names are tokenizer.json's).
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };
inline constexpr const char* kSplitBehaviorNames[] = {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext",
                                                      "Contiguous"};

struct SplitStep {
  std::string pattern;
  bool is_regex = true;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  ///< matches are what lies between matches
  bool operator==(const SplitStep&) const = default;
};
struct DigitsStep {
  bool individual_digits = false;
  bool operator==(const DigitsStep&) const = default;
};
/// Only ever the last step; the mapping of bytes to printable letters is left to the vocabulary (bpe_alphabet.h).
struct ByteLevelStep {
  bool add_prefix_space = false;  ///< a space before every piece that does not begin with one
  bool use_regex = false;         ///< cut by GPT-2's expression
  bool operator==(const ByteLevelStep&) const = default;
};
using PreTokenizerStep = std::variant<SplitStep, DigitsStep, ByteLevelStep>;
using PreTokenizerSteps = std::vector<PreTokenizerStep>;

/// How regular expressions are run; kPcre2Only exists for the tests that hold the hand-written rules to it.
enum class RegexEngine { kHandWritten, kPcre2Only };

/// Throws Error(kInvalid) for an expression that cannot be compiled or means something else to PCRE2.
std::unique_ptr<PreTokenizer> make_pretokenizer(const PreTokenizerSteps& steps,
                                                RegexEngine engine = RegexEngine::kHandWritten);

/// The steps that llama.cpp calls `name` in a GGUF file's tokenizer.ggml.pre: deepseek-v3, deepseek-llm, llama-bpe
/// (also llama3, llama-v3), qwen2, gpt-2. Nothing for any other name.
std::optional<PreTokenizerSteps> pretokenizer_steps(std::string_view name);
/// The inverse: the name for these steps, or nothing.
std::optional<std::string> pretokenizer_name(const PreTokenizerSteps& steps);

}  // namespace dsmoe::tokenizer
