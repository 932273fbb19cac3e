// Documents from files: what counts as one, and the checks that text from outside passes before anything else sees it.
//
//   .jsonl, .ndjson   a JSON object a line, the document under "text", or a JSON string; other keys are ignored, blank
//                     lines too
//   .txt              documents separated by lines that hold only a form feed; without such a line, one document
//   any other name    the whole file is one document (source code may hold form feeds of its own)
//
// each also with .gz or .zst after it; upper and lower case are the same. A UTF-8 byte order mark at the start of a
// file is dropped. Documents are UTF-8; what is not is an error, or by choice becomes U+FFFD and is counted. So does a
// JSON escape that is half of a surrogate pair, which no UTF-8 can say.
//
// Reading has two halves so that the second can run on many threads: `RecordReader` cuts a file into records in order,
// `document_text` (a pure function) turns a record into text. `for_each_document` does both for the simple cases. All
// text that dsmoe takes documents or lines from passes through these two.
//
// Memory: a reader holds one chunk and the record at hand, which is refused when it grows past the limit; so a small
// compressed file that grows without end costs no more than the limit.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "corpus/byte_stream.h"

namespace dsmoe::corpus {

enum class SourceFormat { kJsonLines, kFormFeeds, kWholeFile };
SourceFormat source_format(const base::fs::path& path);

/// A document as it stands in its file.
struct Record {
  std::string bytes;
  int64_t line = 1;    ///< of its first byte, counted from 1
  int64_t offset = 0;  ///< of its first byte in the file as decompressed
};

struct ReadLimits {
  /// Bytes of a record as it stands in its file (of .jsonl the whole line); a longer one is an error, which bounds the
  /// memory.
  uint64_t longest_document = uint64_t{128} << 20;
  size_t chunk = size_t{1} << 20;  ///< bytes read at once
};

class RecordReader {
 public:
  explicit RecordReader(const base::fs::path& path, ReadLimits limits = {});
  RecordReader(ByteStream stream, SourceFormat format, ReadLimits limits = {});

  /// The next record, or false at the end. Throws base::Error naming file and line.
  bool next(Record& record);

  SourceFormat format() const { return format_; }
  const std::string& name() const { return stream_.name(); }
  uint64_t raw_bytes() const { return stream_.raw_bytes(); }
  std::string raw_hash() const { return stream_.raw_hash(); }

 private:
  bool append_line(Record& record);
  bool refill();
  [[noreturn]] void too_long(int64_t line) const;

  SourceFormat format_;
  ReadLimits limits_;
  ByteStream stream_;
  std::string buffer_;
  size_t at_ = 0;  // start of what has not been handed out in buffer_
  int64_t line_ = 1, offset_ = 0;
  bool ended_ = false;
};

enum class InvalidUtf8 { kRefuse, kReplace };

/// What document_text put U+FFFD in place of, with InvalidUtf8::kReplace.
struct TextRepairs {
  int64_t replaced_bytes = 0;    ///< bytes that are not UTF-8
  int64_t replaced_escapes = 0;  ///< JSON escapes that are half of a surrogate pair

  TextRepairs& operator+=(const TextRepairs& other) {
    replaced_bytes += other.replaced_bytes;
    replaced_escapes += other.replaced_escapes;
    return *this;
  }
};

/// The text of a record of the source `name`. Throws base::Error(kInvalid) with name, line and rule; where it is
/// invalid UTF-8 or half of a surrogate pair, with the byte too. Adds to `repairs`.
std::string document_text(Record record, SourceFormat format, const std::string& name, InvalidUtf8 policy,
                          TextRepairs& repairs);

/// Every document of a file, in order.
void for_each_document(const base::fs::path& path, InvalidUtf8 policy,
                       const std::function<void(std::string&& text)>& action, ReadLimits limits = {});

}  // namespace dsmoe::corpus
