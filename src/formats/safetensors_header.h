// The header of a safetensors file: checked here, once, so that everything after it may trust offsets and sizes.
//
//   8 bytes   n, little-endian: length of the header
//   n bytes   {"__metadata__": {"key": "text"}, "NAME": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]}}
//   the rest  data; offsets count from its first byte
//
// The rules, each with its own sentence when broken: the file has 8 bytes; n is at most 100,000,000 and inside the
// file; the header is UTF-8 and JSON of that form, white space around it allowed, NUL bytes not; no name twice; no
// product or sum of sizes leaves 64 bits; every tensor has exactly the bytes its shape asks for and ends on a byte;
// tensors in order of offset begin at 0 and follow one another without hole or overlap; the last one ends where the
// file ends. Parsing reads events, builds no tree, and refuses at the first wrong type, so memory stays a small
// multiple of n.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/dtype.h"

namespace dsmoe::formats {

inline constexpr uint64_t kLongestHeader = 100'000'000;
inline constexpr size_t kMostDimensions = 64;
inline constexpr std::string_view kMetadataKey = "__metadata__";

struct TensorEntry {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  ///< bytes, from the start of the data
};

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors;  ///< in order of their bytes; empty ones before the one that shares their offset
  std::map<std::string, std::string> metadata;
  uint64_t data_start = 0;  ///< offset of the data in the file
};

/// Reads and checks the header of a whole file in memory; `where` names the file in errors (kind kInvalid).
SafetensorsHeader read_header(std::string_view file, std::string_view where);

}  // namespace dsmoe::formats
