// NumPy's .npy files of float32: what `dsmoe logits` writes, so that any tool can compare.
//
// Files are written in version 1.0, little-endian float32, C order, the data at a multiple of 64. Read: the same, and
// versions 2.0 and 3.0; any other element type or order is refused by name. No other part of the format is known here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace dsmoe::formats {

/// What stands before the elements: `descr` is NumPy's word for their type, "<f4" say.
std::string npy_header(std::string_view descr, const std::vector<int64_t>& shape);

struct NpyArray {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

/// Streaming: rows come in any pieces; the file appears under its name at finish(), or not at all.
class NpyWriter {
 public:
  NpyWriter(const base::fs::path& path, const std::vector<int64_t>& shape,
            base::FileSystem& files = base::real_files());
  void append(std::span<const float> values);
  /// All values must have come.
  void finish();

 private:
  base::WholeFile file_;
  uint64_t left_;  // values still to come
};

void write_npy(const base::fs::path& path, const std::vector<int64_t>& shape, std::span<const float> values);

/// Throws Error: kIo when it cannot be read, kInvalid when it is not float32 in C order, or cut short or too long.
NpyArray read_npy(const base::fs::path& path);

}  // namespace dsmoe::formats
