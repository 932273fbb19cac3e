#include "traffic/answer_reader.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <utility>

#include "base/error.h"

namespace dsmoe::traffic {
namespace {

constexpr size_t kMostHead = 64 << 10, kMostBody = 64 << 20;

[[noreturn]] void refuse(std::string_view rule, std::string_view found) {
  base::fail_invalid("answer", rule, found.empty() ? "" : base::in_quotes(found));
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  return text;
}

uint64_t number(std::string_view text, int base) {
  uint64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (fault != std::errc() || end != text.data() + text.size()) refuse("a length must be a number", text);
  return value;
}

}  // namespace

void AnswerReader::take(std::string_view bytes) {
  unread_ += bytes;
  while (advance()) {
  }
}

void AnswerReader::close() {
  if (state_ == State::kToTheEnd) state_ = State::kDone;
  if (state_ != State::kDone) refuse("the server closed the connection before the answer was whole", "");
}

// One step onwards; false where more bytes are needed.
bool AnswerReader::advance() {
  std::string line;
  switch (state_) {
    case State::kHead: {
      const size_t end = unread_.find("\r\n\r\n");
      if (end == std::string::npos) {
        if (unread_.size() > kMostHead) refuse("a header may have 64 KiB", unread_);
        return false;
      }
      read_head(std::string_view(unread_).substr(0, end + 2));
      unread_.erase(0, end + 4);
      return true;
    }
    case State::kLength:
    case State::kChunk: {
      const size_t count = std::min<uint64_t>(left_, unread_.size());
      add(std::string_view(unread_).substr(0, count));
      unread_.erase(0, count);
      left_ -= count;
      if (left_ > 0) return false;
      state_ = state_ == State::kChunk ? State::kChunkEnd : State::kDone;
      return true;
    }
    case State::kChunkSize:
      if (!take_line(line)) return false;
      left_ = number(trimmed(std::string_view(line).substr(0, line.find(';'))), 16);
      state_ = left_ > 0 ? State::kChunk : State::kTrailer;
      return true;
    case State::kChunkEnd:
      if (!take_line(line)) return false;
      if (!line.empty()) refuse("a chunk must have the length that it says", line);
      state_ = State::kChunkSize;
      return true;
    case State::kTrailer:
      if (!take_line(line)) return false;
      if (line.empty()) state_ = State::kDone;
      return true;
    case State::kToTheEnd:
      add(std::exchange(unread_, {}));
      return false;
    case State::kDone:
      return false;
  }
  return false;
}

bool AnswerReader::take_line(std::string& line) {
  const size_t end = unread_.find('\n');
  if (end == std::string::npos) {
    if (unread_.size() > kMostHead) refuse("a line may have 64 KiB", unread_);
    return false;
  }
  line = unread_.substr(0, end);
  if (line.ends_with('\r')) line.pop_back();
  unread_.erase(0, end + 1);
  return true;
}

void AnswerReader::read_head(std::string_view head) {
  const std::string_view first = head.substr(0, head.find("\r\n"));
  if (!first.starts_with("HTTP/1.") || first.size() < 12)
    refuse("an answer must begin with HTTP/1.1 and a status", first);
  status_ = static_cast<int>(number(first.substr(9, 3), 10));
  chunked_ = has_length_ = events_ = false;
  for (size_t at = first.size() + 2; at < head.size();) {
    const size_t end = head.find("\r\n", at);
    read_field(head.substr(at, end - at));
    at = end + 2;
  }
  const bool passing = status_ < 200;  // 100 Continue: the answer itself is still to come
  if (passing) return;
  state_ = chunked_ ? State::kChunkSize : has_length_ ? State::kLength : State::kToTheEnd;
}

void AnswerReader::read_field(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string name = lower(line.substr(0, colon)), value = lower(trimmed(line.substr(colon + 1)));
  if (name == "content-length") left_ = number(value, 10), has_length_ = true;
  if (name == "transfer-encoding") chunked_ = value == "chunked";
  if (name == "content-type") events_ = value.starts_with("text/event-stream");
}

// Of an event only `data` counts; an empty line ends it.
void AnswerReader::add(std::string_view piece) {
  if (!events_) {
    body_ += piece;
    if (body_.size() > kMostBody) refuse("a body may have 64 MiB", "");
    return;
  }
  while (!piece.empty()) {
    const size_t end = piece.find('\n');
    line_ += piece.substr(0, end);
    if (line_.size() > kMostBody) refuse("an event may have 64 MiB", "");
    if (end == std::string_view::npos) return;
    piece.remove_prefix(end + 1);
    const std::string line = std::exchange(line_, {});
    const std::string_view text = trimmed(line);
    if (text.starts_with("data:") && on_event_) on_event_(trimmed(text.substr(5)));
  }
}

}  // namespace dsmoe::traffic
