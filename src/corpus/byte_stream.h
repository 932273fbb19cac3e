// The bytes of a file in order, decompressed on the way: plain, or .gz or .zst by the name's ending, in any case.
//
// Memory is the decompressor's own, however much comes out: 32 KB for .gz, for .zst the window that the file asks for
// (what --long made, up to 2 GiB), of which only as much is touched as text has come out. A file that ends before its
// compression does, whose checksum does not match, that goes on after its last member, or that is another one (by
// device, inode, size and time of change) at its end than when it was opened is an error, never a short read.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <span>
#include <string>

#include "base/file.h"

namespace dsmoe::corpus {

class ByteStream {
 public:
  /// Throws base::Error(kIo) when the file cannot be opened.
  explicit ByteStream(const base::fs::path& path);
  /// What comes out of `in`, not decompressed; `in` must outlive this.
  ByteStream(std::istream& in, std::string name);
  ~ByteStream();
  ByteStream(ByteStream&&) noexcept;

  /// Fills the front of `out` and returns how much; 0 only at the end.
  /// Throws base::Error: kIo when the disk fails or the file has changed meanwhile, kInvalid when compressed data is
  /// damaged or cut short, or when the file is of a format that is not read here (not_text.h).
  size_t read(std::span<char> out);

  /// For messages.
  const std::string& name() const;

  /// Bytes read from the file so far, as they lie on disk.
  uint64_t raw_bytes() const;
  /// XXH3-128 of those bytes; of the whole file once read() has returned 0.
  std::string raw_hash() const;

  class Decoder;

 private:
  std::unique_ptr<Decoder> decoder_;
};

/// The ending of a name with its dot, in lower case: ".jsonl" of "A.JSONL".
std::string ending_of(const base::fs::path& path);
/// The name without a compression ending: "a.jsonl.gz" becomes "a.jsonl".
base::fs::path without_compression_ending(const base::fs::path& path);

}  // namespace dsmoe::corpus
