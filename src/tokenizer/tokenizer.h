// Text to ids and back: byte-level BPE tokenizers of the tokenizer.json family.
//
// Encoding: added tokens are found in the text first (those not to be normalised before, the others after
// normalisation); what lies between them is cut into pieces (pretokenizer.h) and each piece is merged (bpe.h).
// Every const method is safe to call from several threads at once.
//
// Text is bytes. Valid UTF-8 gives the ids that Hugging Face's library gives. A byte that is not part of valid UTF-8 is
// a character of its own that no rule treats specially, and is encoded as that byte; with a vocabulary of all 256 bytes
// (every tokenizer trained here) decode(encode(x)) == x for any x. (Hugging Face's bindings replace such bytes by
// U+FFFD before the library sees them.)
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/bpe.h"
#include "tokenizer/pretokenizer.h"

namespace dsmoe::tokenizer {

class AddedTokenMatcher;

/// A token matched literally in the text, before everything else. Flags as in tokenizer.json.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      ///< left out by decode(skip_special)
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space after it
  bool single_word = false;  ///< not inside a word
  bool normalized = false;   ///< looked for after normalisation
  bool in_model = false;     ///< also an entry of the model's vocabulary
  bool operator==(const AddedToken&) const = default;
};

/// A tokenizer as data: what tokenizer.json and tokenizer_config.json say, and what a GGUF file's tokenizer.ggml keys
/// can be turned into. A tokenizer is built from it and keeps it.
struct TokenizerSpec {
  /// By id, as written: in the byte alphabet (bpe_alphabet.h), added tokens as they are; empty where no token is.
  std::vector<std::string> tokens;
  std::vector<BpeMerge> merges;  ///< in order of rank
  std::vector<AddedToken> added_tokens;
  PreTokenizerSteps pre_tokenizer;
  bool ignore_merges = false;  ///< a piece that is a token becomes it without merging
  bool nfc = false;            ///< normalise to NFC
  /// What encode(add_special) puts before and after the text.
  std::vector<int32_t> prefix, suffix;
  std::optional<int32_t> bos, eos, pad;
};

class Tokenizer {
 public:
  /// Throws Error(kInvalid) where ids are out of range or merges do not make what they say.
  explicit Tokenizer(TokenizerSpec spec);
  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  std::vector<int32_t> encode(std::string_view text, bool add_special = false) const;
  /// Appends to `out`.
  void encode(std::string_view text, bool add_special, std::vector<int32_t>& out) const;
  /// Ids of a document, which is text and nothing else: what spells a special token ("<|endoftext|>") is written with
  /// ordinary tokens, as any other text. Added tokens that are not special are recognised.
  std::vector<int32_t> encode_document(std::string_view text) const;
  /// The tokens' bytes, one after another; may not be valid UTF-8 (utf8_stream.h). Ids without a token (padding rows of
  /// a model's embedding, say) give nothing.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  /// The bytes one token stands for; empty for an id without a token.
  std::string_view token_bytes(int32_t id) const;
  bool is_special(int32_t id) const;
  /// One more than the largest id.
  int32_t vocab_size() const { return static_cast<int32_t>(spec_.tokens.size()); }
  /// The id of an added token's content, or of the token for exactly these bytes, or written so in the byte alphabet.
  std::optional<int32_t> token_id(std::string_view text) const;
  std::optional<int32_t> bos_id() const { return spec_.bos; }
  std::optional<int32_t> eos_id() const { return spec_.eos; }
  std::optional<int32_t> pad_id() const { return spec_.pad; }

  const TokenizerSpec& spec() const { return spec_; }

 private:
  class WorkspacePool;
  class PieceEncoder;
  struct AddedTokens;
  void build_model();
  void build_added_tokens();
  void encode_text(std::string_view text, const AddedTokens& added, std::vector<int32_t>& out) const;

  TokenizerSpec spec_;
  std::vector<std::string> bytes_;                // by id
  std::vector<bool> special_;                     // by id
  std::unordered_map<std::string, int32_t> ids_;  // by content or bytes
  std::unique_ptr<Bpe> bpe_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<AddedTokens> added_, added_in_documents_;
  std::unique_ptr<WorkspacePool> workspaces_;
};

}  // namespace dsmoe::tokenizer
