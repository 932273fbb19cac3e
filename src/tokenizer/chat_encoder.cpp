#include "tokenizer/chat_encoder.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace dsmoe::tokenizer {
namespace {

// How a token is named in frames: by its own text, or by `name` where the vocabulary has the id without one.
std::string text_of(const Tokenizer& tokenizer, const std::optional<int32_t>& id, std::string_view name) {
  if (!id) return {};
  const std::string_view text = tokenizer.token_bytes(*id);
  return std::string(text.empty() ? name : text);
}

}  // namespace

ChatEncoder::ChatEncoder(const Tokenizer& tokenizer, const ChatFormat& format, const ChatBinding& binding)
    : format_(format) {
  const std::string bos = text_of(tokenizer, binding.bos, "<bos>"), eos = text_of(tokenizer, binding.eos, "<eos>");
  format_ = format.bound_to(bos, eos, binding.date);
  if (binding.bos) markers_.push_back({bos, *binding.bos});
  if (binding.eos) markers_.push_back({eos, *binding.eos});
  for (const std::string& text : format_.markers) add_marker(tokenizer, text);
  size_t at = 0;
  const Marker* end = next_marker(format_.assistant.after, at);
  if (!end) {
    base::fail_invalid("chat", "the format " + format.name + " ends an answer with the model's eos token",
                       "the model has none", "choose a format with --chat-format: " + chat_format_names());
  }
  end_of_turn_ = end->id;
  TokenizerSpec spec = tokenizer.spec();
  std::erase_if(spec.added_tokens, [&](const AddedToken& token) {
    return token.special || std::ranges::find(markers_, token.content, &Marker::text) != markers_.end();
  });
  spec.prefix.clear();
  spec.suffix.clear();
  plain_.emplace(std::move(spec));
}

void ChatEncoder::add_marker(const Tokenizer& tokenizer, const std::string& text) {
  const auto& added = tokenizer.spec().added_tokens;
  const auto found = std::ranges::find(added, text, &AddedToken::content);
  if (found == added.end()) {
    base::fail_invalid("chat", "the format " + format_.name + " needs its markers as tokens of the vocabulary",
                       base::in_quotes(text) + " is none",
                       "choose a format with --chat-format: " + chat_format_names());
  }
  markers_.push_back({text, found->id});
}

const ChatEncoder::Marker* ChatEncoder::next_marker(std::string_view text, size_t& at) const {
  const Marker* next = nullptr;
  size_t where = text.npos;
  for (const Marker& marker : markers_) {
    const size_t here = text.find(marker.text, at);
    if (here < where) where = here, next = &marker;
  }
  if (next) at = where;
  return next;
}

std::vector<int32_t> ChatEncoder::encode(const ChatRendering& rendering) const {
  Writer writer(*this);
  writer.frame(rendering.opening);
  for (const ChatPart& part : rendering.parts) {
    writer.frame(part.before);
    writer.content(part.content);
    writer.frame(part.after);
  }
  writer.frame(rendering.generation);
  return writer.take();
}

void ChatEncoder::Writer::frame(std::string_view text) {
  for (size_t at = 0;;) {
    const size_t from = at;
    const Marker* marker = encoder_.next_marker(text, at);
    if (!marker) {
      text_ += text.substr(from);
      return;
    }
    text_ += text.substr(from, at - from);
    ids({&marker->id, 1});
    at += marker->text.size();
  }
}

void ChatEncoder::Writer::ids(std::span<const int32_t> ids) {
  flush();
  ids_.insert(ids_.end(), ids.begin(), ids.end());
}

void ChatEncoder::Writer::flush() {
  encoder_.plain_->encode(text_, false, ids_);
  text_.clear();
}

size_t ChatEncoder::Writer::pause() {
  flush();
  return ids_.size();
}

std::vector<int32_t> ChatEncoder::Writer::take() {
  flush();
  return std::exchange(ids_, {});
}

}  // namespace dsmoe::tokenizer
