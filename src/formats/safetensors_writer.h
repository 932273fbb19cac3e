// Writing safetensors files: streaming, so that a file larger than memory costs one buffer.
//
// All tensors are declared first, in the order in which their bytes then come; offsets follow from the declarations.
// The header is padded with spaces so that the data begins at a multiple of 8. A checksum of each tensor (XXH3-128) is
// kept in the metadata: the header is written twice, the second time with the checksums in place of zeros.
// The file is whole only after finish(): make it in a base::FolderWriter, or rename it afterwards.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "formats/dtype.h"

namespace dsmoe::formats {

struct TensorDeclaration {
  std::string name;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;
};

struct SafetensorsOptions {
  std::map<std::string, std::string> metadata = {{"format", "pt"}};  ///< what Hugging Face's loaders ask for
  bool checksums = true;
};

class SafetensorsWriter {
 public:
  /// Throws Error(kInvalid) when the declarations cannot make a legal file: a name twice, the name __metadata__, a name
  /// that is not UTF-8, an impossible shape, a header beyond 100,000,000 bytes. Then creates the file.
  SafetensorsWriter(const base::fs::path& path, std::vector<TensorDeclaration> tensors, SafetensorsOptions options = {},
                    base::FileSystem& files = base::real_files());

  /// The next bytes of the tensor whose turn it is; a piece never crosses into the next tensor.
  void append(std::span<const std::byte> bytes);
  /// The tensor whose turn it is, or null after the last. Tensors without bytes have no turn.
  const TensorDeclaration* current() const;
  /// Checks that every declared byte has come, writes the checksums, fsyncs and closes.
  void finish();
  uint64_t file_size() const { return data_start_ + data_size_; }

 private:
  std::string header_text() const;
  void finish_tensors();

  base::fs::path path_;
  std::vector<TensorDeclaration> tensors_;
  SafetensorsOptions options_;
  std::vector<uint64_t> sizes_;
  std::vector<std::string> checksums_;
  uint64_t data_start_ = 0, data_size_ = 0;
  size_t current_ = 0;
  uint64_t written_ = 0;  // of the current tensor
  std::unique_ptr<base::Hasher> hasher_;
  std::unique_ptr<base::FileWriter> file_;
};

struct NamedTensor {
  std::string name;
  TensorView tensor;
};
/// A whole file from tensors in memory, in the reference writer's order: wide elements first, then by name.
void write_safetensors(const base::fs::path& path, std::vector<NamedTensor> tensors, SafetensorsOptions options = {},
                       base::FileSystem& files = base::real_files());

}  // namespace dsmoe::formats
