// A safetensors file opened for reading: mapped, checked (safetensors_header.h), never copied.
//
// Bytes are read when a tensor is touched; nothing is loaded before. A file that another program shortens while it is
// open makes the next touch fatal (SIGBUS), as with every mapped file. The writer is in safetensors_writer.h.
#pragma once

#include "base/file.h"
#include "base/parallel.h"
#include "formats/safetensors_header.h"

namespace dsmoe::formats {

/// Metadata keys that hold a tensor's checksum: this, then the tensor's name; 32 hex digits of XXH3-128 of its bytes.
inline constexpr std::string_view kChecksumPrefix = "xxh3_128.";

class SafetensorsFile {
 public:
  /// Throws Error: kIo when the file cannot be read, kInvalid when it breaks a rule of the format.
  explicit SafetensorsFile(const base::fs::path& path);

  const base::fs::path& path() const { return file_.path(); }
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  /// All tensors in the order of their bytes.
  const std::vector<TensorEntry>& entries() const { return header_.tensors; }
  const TensorEntry* find(std::string_view name) const;  ///< or null
  bool contains(std::string_view name) const { return find(name) != nullptr; }
  /// The view lives as long as this object. Throws Error(kInvalid) naming the nearest name when there is none.
  TensorView tensor(std::string_view name) const;
  TensorView view(const TensorEntry& entry) const;
  uint64_t data_size() const { return file_.bytes().size() - header_.data_start; }

  /// True when the file carries checksums (dsmoe's own do).
  bool has_checksums() const;
  /// Hashes every tensor and throws Error(kInvalid) naming the first that differs from its checksum, or a checksum
  /// without tensor or the reverse. Reads the whole file. False when it carries none.
  bool verify(const base::ParallelFor& parallel = base::serial_for) const;

 private:
  base::MappedFile file_;
  SafetensorsHeader header_;
  std::vector<uint32_t> by_name_;  // indices into tensors, sorted by name
};

}  // namespace dsmoe::formats
