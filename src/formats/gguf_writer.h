// Writing GGUF files: streaming, so that a file larger than memory costs one buffer, and whole or not at all.
//
// Keys come first, then all tensors are declared in the order in which their bytes follow; offsets follow from the
// declarations. The file has a temporary name until finish(), which fsyncs and renames it; free space for all of it is
// asked for before the first byte, where `files` is the disk itself.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/file.h"
#include "formats/gguf.h"

namespace dsmoe::formats {

inline constexpr uint64_t kGgufAlignment = 32;  ///< what readers assume where general.alignment is absent

/// Keys and values, in the order of the file. A key that is empty, too long, not UTF-8 or there already is refused
/// (kInvalid).
class GgufMetadata {
 public:
  void add_u32(std::string_view key, int64_t value);  ///< refused beyond 32 bits
  void add_f32(std::string_view key, double value);
  void add_f64(std::string_view key, double value);
  void add_bool(std::string_view key, bool value);
  void add_text(std::string_view key, std::string_view text);
  void add_texts(std::string_view key, std::span<const std::string> texts);
  void add_i32s(std::string_view key, std::span<const int32_t> values);
  void add(const GgufHeader::Entry& entry);  ///< of another file, as it is there

  uint64_t count() const { return keys_.size(); }
  const std::string& bytes() const { return bytes_; }

 private:
  void begin(std::string_view key, GgufValueType type);
  std::unordered_set<std::string> keys_;
  std::string bytes_;
};

struct GgufDeclaration {
  std::string name;
  GgufType type = GgufType::kF32;
  std::vector<int64_t> shape;  ///< slowest first, as everywhere in dsmoe; 1 to 4 dimensions
  uint64_t bytes() const;      ///< of a legal declaration
};

class GgufWriter {
 public:
  /// Throws Error: kInvalid when the declarations cannot make a legal file (a name twice, too long for the format's
  /// readers or not UTF-8, an impossible shape, a row that is not whole blocks), kIo when space or the file is lacking.
  GgufWriter(const base::fs::path& path, const GgufMetadata& metadata, std::vector<GgufDeclaration> tensors,
             base::FileSystem& files = base::real_files());

  /// The next bytes of the tensor whose turn it is; a piece never crosses into the next tensor.
  void append(std::span<const std::byte> bytes);
  /// The tensor whose turn it is, or null after the last.
  const GgufDeclaration* current() const { return current_ < tensors_.size() ? &tensors_[current_] : nullptr; }
  /// Checks that every declared byte has come; fsyncs; the file appears under its name.
  void finish();
  uint64_t file_size() const { return file_size_; }

 private:
  void check() const;
  void pad();

  base::fs::path path_;
  std::vector<GgufDeclaration> tensors_;
  uint64_t file_size_ = 0, written_ = 0;
  size_t current_ = 0;
  uint64_t of_current_ = 0;  // bytes of the current tensor that have come
  std::unique_ptr<base::WholeFile> file_;
};

}  // namespace dsmoe::formats
