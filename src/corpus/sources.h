// Documents from files: what counts as one, and the checks that text from outside passes before anything else sees it.
//
//   NAME.jsonl, NAME.ndjson   one JSON object a line, the document under "text"; other keys are ignored, blank lines
//   too NAME.txt                  documents separated by lines that hold only a form feed; without such a line, one
//   document any other name            the whole file is one document (source code may hold form feeds of its own)
//
// each also with .gz or .zst after it. A UTF-8 byte order mark at the start of a file is dropped. Documents are UTF-8;
// what is not is an error, or by choice becomes U+FFFD and is counted.
//
// Reading has two halves so that the second can run on many threads: `RecordReader` cuts a file into records in order,
// `document_text` (a pure function) turns a record into text. `for_each_document` does both for the simple cases.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

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
  uint64_t longest_document = uint64_t{256} << 20;  ///< bytes; a longer one is an error, which bounds the memory
  size_t chunk = size_t{1} << 20;                   ///< bytes read at once
};

class RecordReader {
 public:
  explicit RecordReader(const base::fs::path& path, ReadLimits limits = {});

  /// The next record, or false at the end. Throws base::Error naming file and line.
  bool next(Record& record);

  SourceFormat format() const { return format_; }
  const base::fs::path& path() const { return path_; }
  uint64_t raw_bytes() const { return stream_.raw_bytes(); }
  std::string raw_hash() const { return stream_.raw_hash(); }

 private:
  bool next_line(std::string_view& line);
  bool refill();
  [[noreturn]] void too_long(int64_t line) const;

  base::fs::path path_;
  SourceFormat format_;
  ReadLimits limits_;
  ByteStream stream_;
  std::string buffer_;
  size_t at_ = 0;       // start of the next line in buffer_
  size_t scanned_ = 0;  // no line break in buffer_ between at_ and here
  int64_t line_ = 1, offset_ = 0;
  bool ended_ = false;
};

enum class InvalidUtf8 { kRefuse, kReplace };

/// What document_text replaced: with InvalidUtf8::kReplace, the number of bytes that became U+FFFD.
struct TextRepairs {
  int64_t replaced_bytes = 0;
};

/// The text of a record. Throws base::Error(kInvalid) with file, line and rule; invalid UTF-8 with its byte offset too.
std::string document_text(Record record, SourceFormat format, const base::fs::path& path, InvalidUtf8 policy,
                          TextRepairs& repairs);

/// Every document of a file, in order.
void for_each_document(const base::fs::path& path, InvalidUtf8 policy,
                       const std::function<void(std::string&& text)>& action, ReadLimits limits = {});

/// The regular files a shell pattern (* ? [..] {a,b} ~, and ** for folders of any depth) names, in order of their
/// bytes.
/// ** does not follow links. Throws when there are none.
std::vector<base::fs::path> match_files(const std::string& pattern);

}  // namespace dsmoe::corpus
