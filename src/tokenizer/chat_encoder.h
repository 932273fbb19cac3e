// A chat format with the tokens of one vocabulary: a conversation to ids.
//
// Markers become their own ids. What a person wrote is text and nothing else: what spells a special token or a marker
// in it is written with ordinary tokens. Text that is not parted by a marker is encoded in one piece, as whoever
// trained the model did, whichever message it belongs to.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/chat_format.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::tokenizer {

/// The tokens that <bos> and <eos> of a format stand for, and the day.
struct ChatBinding {
  std::optional<int32_t> bos = {}, eos = {};
  std::string date = chat_date_today();
};

class ChatEncoder {
 public:
  /// Throws Error(kInvalid) naming the format where a marker is not one token of the vocabulary, or where answers would
  /// have no end.
  ChatEncoder(const Tokenizer& tokenizer, const ChatFormat& format, const ChatBinding& binding);

  /// With the vocabulary's own names of bos and eos in it.
  const ChatFormat& format() const { return format_; }
  /// The token that ends an answer, as eos does elsewhere.
  int32_t end_of_turn() const { return end_of_turn_; }
  ChatRendering render(std::span<const ChatMessage> messages, bool generate) const {
    return render_chat(format_, messages, generate);
  }
  std::vector<int32_t> encode(const ChatRendering& rendering) const;

  /// Ids of a conversation that is put together piece by piece.
  class Writer {
   public:
    explicit Writer(const ChatEncoder& encoder) : encoder_(encoder) {}
    void frame(std::string_view text);  ///< the format's own, with markers
    void content(std::string_view text) { text_ += text; }
    void ids(std::span<const int32_t> ids);
    /// What follows is encoded apart from what stands here. Returns how many ids that is.
    size_t pause();
    std::vector<int32_t> take();

   private:
    void flush();
    const ChatEncoder& encoder_;
    std::string text_;  // not encoded yet
    std::vector<int32_t> ids_;
  };

 private:
  struct Marker {
    std::string text;
    int32_t id;
  };
  void add_marker(const Tokenizer& tokenizer, const std::string& text);
  /// The marker that begins at the earliest place from `at` on, and where; nullptr for none.
  const Marker* next_marker(std::string_view text, size_t& at) const;

  ChatFormat format_;
  std::vector<Marker> markers_;
  std::optional<Tokenizer> plain_;  // knows neither special tokens nor markers
  int32_t end_of_turn_ = 0;
};

}  // namespace dsmoe::tokenizer
