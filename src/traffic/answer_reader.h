// An HTTP/1.1 answer as its bytes come in: status, body by length, chunk or to the end, and the events of a stream.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace dsmoe::traffic {

class AnswerReader {
 public:
  /// Hears the data of each event of a `text/event-stream`, as soon as it is whole.
  using OnEvent = std::function<void(std::string_view data)>;
  explicit AnswerReader(OnEvent on_event = {}) : on_event_(std::move(on_event)) {}

  /// Throws Error(kInvalid) for what is no answer, a body over 64 MiB among it.
  void take(std::string_view bytes);
  /// The other side has closed. Throws Error(kInvalid) where the answer is not whole.
  void close();
  bool complete() const { return state_ == State::kDone; }
  int status() const { return status_; }  ///< 0 until it is known
  /// Of an answer that is no stream of events.
  const std::string& body() const { return body_; }

 private:
  enum class State { kHead, kLength, kChunkSize, kChunk, kChunkEnd, kTrailer, kToTheEnd, kDone };
  bool advance();
  bool take_line(std::string& line);
  void read_head(std::string_view head);
  void read_field(std::string_view line);
  void add(std::string_view piece);

  OnEvent on_event_;
  State state_ = State::kHead;
  std::string unread_, body_, line_;
  uint64_t left_ = 0;  // bytes of the body or of the chunk
  int status_ = 0;
  bool chunked_ = false, has_length_ = false, events_ = false;
};

}  // namespace dsmoe::traffic
