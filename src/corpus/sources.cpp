#include "corpus/sources.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"

namespace dsmoe::corpus {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }
bool is_separator(std::string_view line) { return line == "\f\n" || line == "\f\r\n" || line == "\f"; }

[[noreturn]] void refuse(const Record& record, const std::string& name, std::string_view rule, size_t at, size_t length,
                         const std::string& hint) {
  const auto breaks = std::count(record.bytes.begin(), record.bytes.begin() + static_cast<std::ptrdiff_t>(at), '\n');
  base::fail_invalid("data", rule,
                     name + " line " + std::to_string(record.line + breaks) + ", byte " +
                         std::to_string(record.offset + static_cast<int64_t>(at)) + " holds " +
                         base::in_quotes(std::string_view(record.bytes).substr(at, length)),
                     hint);
}

// Each byte that is not part of a valid character becomes U+FFFD.
std::string replace_invalid(std::string_view text, int64_t& replaced) {
  std::string out;
  out.reserve(text.size() + 16);
  for (;;) {
    const size_t bad = base::first_invalid_utf8(text);
    out.append(text.substr(0, bad));
    if (bad == std::string_view::npos) return out;
    out.append(kReplacement);
    ++replaced;
    text.remove_prefix(bad + 1);
  }
}

constexpr size_t kEscapeLength = 6;  // of \uXXXX

// The UTF-16 code unit of an escape \uXXXX that stands at `at`, or -1.
int32_t escaped_unit(std::string_view json, size_t at) {
  const std::string_view escape = json.substr(std::min(at, json.size()), kEscapeLength);
  if (escape.size() < kEscapeLength || escape[0] != '\\' || escape[1] != 'u') return -1;
  int32_t unit = 0;
  for (const char c : escape.substr(2)) {
    const size_t digit = std::string_view("0123456789abcdef0123456789ABCDEF").find(c);
    if (digit == std::string_view::npos) return -1;
    unit = unit * 16 + static_cast<int32_t>(digit % 16);
  }
  return unit;
}

// Where the first escape from `at` on stands that is half of a surrogate pair, or npos. JSON has backslashes within
// strings only, and each belongs to the character after it.
size_t find_lone_surrogate(std::string_view json, size_t at) {
  const auto in = [](int32_t unit, int32_t first) { return unit >= first && unit < first + 0x400; };
  while ((at = json.find('\\', at)) != std::string_view::npos) {
    const int32_t unit = escaped_unit(json, at);
    const bool high = in(unit, 0xd800);
    const bool pair = high && in(escaped_unit(json, at + kEscapeLength), 0xdc00);
    if (!pair && (high || in(unit, 0xdc00))) return at;
    at += pair ? 2 * kEscapeLength : unit >= 0 ? kEscapeLength : 2;
  }
  return at;
}

// JSON without such halves: parsers refuse them.
void replace_lone_surrogates(std::string& json, int64_t& replaced) {
  for (size_t at = 0; (at = find_lone_surrogate(json, at)) != std::string::npos; at += kEscapeLength) {
    json.replace(at + 2, 4, "fffd");
    ++replaced;
  }
}

std::string json_line_text(const Record& record, const std::string& name) {
  const std::string where = name + " line " + std::to_string(record.line);
  base::Json value = base::parse_json(record.bytes, where);
  if (value.is_string()) return std::move(value.get_ref<std::string&>());
  return base::require_string(value, "text", where);
}

}  // namespace

SourceFormat source_format(const base::fs::path& path) {
  const std::string ending = ending_of(without_compression_ending(path));
  if (ending == ".jsonl" || ending == ".ndjson") return SourceFormat::kJsonLines;
  return ending == ".txt" ? SourceFormat::kFormFeeds : SourceFormat::kWholeFile;
}

RecordReader::RecordReader(const base::fs::path& path, ReadLimits limits)
    : RecordReader(ByteStream(path), source_format(path), limits) {}

RecordReader::RecordReader(ByteStream stream, SourceFormat format, ReadLimits limits)
    : format_(format), limits_(limits), stream_(std::move(stream)) {
  while (buffer_.size() < base::kByteOrderMark.size() && refill()) {
  }
  if (buffer_.starts_with(base::kByteOrderMark)) {
    at_ = base::kByteOrderMark.size();
    offset_ = static_cast<int64_t>(at_);
  }
}

void RecordReader::too_long(int64_t line) const {
  const char* split =
      format_ == SourceFormat::kFormFeeds ? ", or separate documents by lines with only a form feed" : "";
  base::fail_invalid("data", "a document is longer than " + std::to_string(limits_.longest_document) + " bytes",
                     name() + " line " + std::to_string(line),
                     std::string("--longest-document takes more, and memory for it") + split);
}

bool RecordReader::refill() {
  if (ended_) return false;
  buffer_.erase(0, at_);
  at_ = 0;
  const size_t filled = buffer_.size();
  buffer_.resize(filled + limits_.chunk);
  const size_t got = stream_.read(std::span(buffer_).subspan(filled));
  buffer_.resize(filled + got);
  ended_ = got == 0;
  return !ended_;
}

// The next line with its line break (the last one may have none), or false at the end.
bool RecordReader::append_line(Record& record) {
  bool any = false;
  while (at_ < buffer_.size() || refill()) {
    any = true;
    const size_t found = buffer_.find('\n', at_);
    const size_t end = found == std::string::npos ? buffer_.size() : found + 1;
    record.bytes.append(buffer_, at_, end - at_);
    offset_ += static_cast<int64_t>(end - at_);
    at_ = end;
    if (record.bytes.size() > limits_.longest_document) too_long(record.line);
    if (found != std::string::npos) break;
  }
  line_ += any;
  return any;
}

bool RecordReader::next(Record& record) {
  const auto begin = [&] {
    record.bytes.clear();
    record.line = line_;
    record.offset = offset_;
  };
  begin();
  for (size_t at = 0; append_line(record); at = record.bytes.size()) {
    const std::string_view line = std::string_view(record.bytes).substr(at);
    if (format_ == SourceFormat::kJsonLines) {
      if (!is_blank(line)) return true;
      begin();
    } else if (format_ == SourceFormat::kFormFeeds && is_separator(line)) {
      record.bytes.resize(at);
      if (at > 0) return true;
      begin();
    }
  }
  return !record.bytes.empty();
}

std::string document_text(Record record, SourceFormat format, const std::string& name, InvalidUtf8 policy,
                          TextRepairs& repairs) {
  const bool json = format == SourceFormat::kJsonLines;
  const size_t bad = base::first_invalid_utf8(record.bytes);
  const size_t half = json ? find_lone_surrogate(record.bytes, 0) : std::string::npos;
  if (policy == InvalidUtf8::kRefuse) {
    if (bad != std::string::npos) {
      refuse(record, name, "text is not valid UTF-8", bad, 1,
             "convert the file to UTF-8, or replace such bytes with --invalid-utf8 replace");
    }
    if (half != std::string::npos) {
      refuse(record, name, "an escape is half of a surrogate pair", half, kEscapeLength,
             "--invalid-utf8 replace makes U+FFFD of it");
    }
  }
  if (bad != std::string::npos) record.bytes = replace_invalid(record.bytes, repairs.replaced_bytes);
  if (half != std::string::npos) replace_lone_surrogates(record.bytes, repairs.replaced_escapes);
  return json ? json_line_text(record, name) : std::move(record.bytes);
}

void for_each_document(const base::fs::path& path, InvalidUtf8 policy,
                       const std::function<void(std::string&& text)>& action, ReadLimits limits) {
  RecordReader reader(path, limits);
  TextRepairs repairs;
  for (Record record; reader.next(record);) {
    action(document_text(std::move(record), reader.format(), reader.name(), policy, repairs));
  }
}

}  // namespace dsmoe::corpus
