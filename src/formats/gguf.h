// A GGUF file opened for reading: mapped, checked as a whole on opening, never copied.
//
//   "GGUF", u32 version (2 or 3), u64 number of tensors, u64 number of keys
//   each key      string key, u32 type, value
//   each tensor   string name, u32 dimensions, u64 size of each (fastest first), u32 type, u64 offset in the data
//   padding to general.alignment (32 where the key is absent), then the data
//
// Strings are a u64 length and bytes, arrays a u32 element type, a u64 count and elements; all is little-endian.
// Every size is checked once, here, against what is left of the file, before anything is allocated for it; a refused
// file costs eight bytes for each key and tensor that it really has. Values stay in the mapping and are read when asked
// for. What a model's keys mean is in gguf_model.h, the writer in gguf_writer.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"

namespace dsmoe::formats {

/// How values of a tensor are stored; the numbers are the format's.
enum class GgufType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4K = 12,
  kQ5K = 13,
  kQ6K = 14,
  kI32 = 26,  ///< tables of expert ids, in arch dsmoe
  kBf16 = 30,
};
struct GgufTypeInfo {
  GgufType type;
  std::string_view name;  ///< "Q4_K"
  int64_t block_values;   ///< a row is a whole number of blocks
  int64_t block_bytes;
};
/// All types above, in the order of their numbers.
const std::array<GgufTypeInfo, 12>& gguf_types();
const GgufTypeInfo& gguf_type_info(GgufType type);
/// By name, in any case.
std::optional<GgufType> gguf_type_of(std::string_view name);

enum class GgufValueType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

/// A key's value, in the mapped file.
struct GgufValue {
  GgufValueType type = GgufValueType::kU32;
  GgufValueType element = GgufValueType::kU32;  ///< of an array
  uint64_t count = 1;                           ///< of an array
  std::string_view bytes;                       ///< a string's text; otherwise the numbers, or an array's elements
};

struct GgufTensor {
  std::string_view name;
  GgufType type = GgufType::kF32;
  uint32_t dimensions = 0;
  std::array<int64_t, 4> sizes = {1, 1, 1, 1};  ///< fastest first, as stored
  uint64_t offset = 0;                          ///< from the start of the data
  uint64_t bytes = 0;
  std::vector<int64_t> shape() const;  ///< slowest first, as everywhere in dsmoe
};

struct GgufHeader {
  struct Entry {
    std::string_view key;
    GgufValue value;
  };
  uint32_t version = 0;
  uint64_t alignment = 0, data_start = 0;
  std::vector<Entry> metadata;      ///< in the order of the file
  std::vector<GgufTensor> tensors;  ///< in the order of their bytes
};

/// Reads and checks the header of a whole file in memory, which must outlive the result; `where` names the file in
/// errors (kind kInvalid). Beyond what the picture above says: keys and names are UTF-8, not empty and there once;
/// sizes are at least 1 and their products fit; tensors have a type of the list above and whole blocks in a row, and
/// follow one another, aligned, without hole or overlap to the end of the file.
GgufHeader read_gguf_header(std::string_view file, std::string_view where);

class GgufFile {
 public:
  /// Throws Error: kIo when the file cannot be read, kInvalid when it breaks a rule of the format.
  explicit GgufFile(const base::fs::path& path);

  const base::fs::path& path() const { return file_.path(); }
  std::span<const std::byte> bytes() const { return file_.bytes(); }
  uint64_t size() const { return bytes().size(); }
  const GgufHeader& header() const { return header_; }
  const std::vector<GgufTensor>& tensors() const { return header_.tensors; }
  const GgufTensor* find_tensor(std::string_view name) const;  ///< or null
  std::span<const std::byte> bytes(const GgufTensor& tensor) const {
    return file_.bytes().subspan(header_.data_start + tensor.offset, tensor.bytes);
  }

  const GgufValue* find(std::string_view key) const;  ///< or null
  /// The value, or nothing where the key is absent. Throws Error(kInvalid) naming the key where it is of another kind:
  /// integers of any width (within 63 bits), numbers of any kind, exactly a bool, a string, an array of strings or of
  /// integers. Texts live as long as the file.
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string_view> text(std::string_view key) const;
  std::optional<std::vector<std::string_view>> texts(std::string_view key) const;
  std::optional<std::vector<int64_t>> integers(std::string_view key) const;

 private:
  [[noreturn]] void wrong_kind(std::string_view key, std::string_view wanted) const;

  base::MappedFile file_;
  GgufHeader header_;
  std::vector<uint32_t> by_key_, by_name_;  // indices, sorted
};

}  // namespace dsmoe::formats
