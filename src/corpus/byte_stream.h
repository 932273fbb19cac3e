// The bytes of a file in order, decompressed on the way: plain, or .gz or .zst by the name's ending.
//
// Memory stays bounded whatever the file claims: a .zst window above 128 MiB is refused. A file that ends before its
// compression does, whose checksum does not match, or that goes on after its last member is an error, never a short
// read.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/file.h"

namespace dsmoe::corpus {

class ByteStream {
 public:
  /// Throws base::Error(kIo) when the file cannot be opened.
  explicit ByteStream(const base::fs::path& path);
  ~ByteStream();
  ByteStream(ByteStream&&) noexcept;

  /// Fills the front of `out` and returns how much; 0 only at the end.
  /// Throws base::Error: kIo when the disk fails, kInvalid when compressed data is damaged or cut short.
  size_t read(std::span<char> out);

  /// Bytes read from the file so far, as they lie on disk.
  uint64_t raw_bytes() const;
  /// XXH3-128 of those bytes; of the whole file once read() has returned 0.
  std::string raw_hash() const;

  class Decoder;

 private:
  std::unique_ptr<Decoder> decoder_;
};

/// The name without a compression ending: "a.jsonl.gz" becomes "a.jsonl".
base::fs::path without_compression_ending(const base::fs::path& path);

}  // namespace dsmoe::corpus
