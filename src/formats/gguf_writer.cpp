#include "formats/gguf_writer.h"

#include <cstring>

#include "base/checked.h"
#include "base/error.h"
#include "base/utf8.h"

namespace dsmoe::formats {
namespace {

constexpr size_t kLongestKey = 65535;
constexpr size_t kLongestName = 63;  // llama.cpp keeps names in 64 bytes with a zero behind

template <class Number>
void put(std::string& out, Number value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_text(std::string& out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out.append(text);
}

uint64_t aligned(uint64_t size) { return (size + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment; }

void check_name(std::string_view what, std::string_view name, size_t longest) {
  if (name.empty() || name.size() > longest || base::first_invalid_utf8(name) != name.npos) {
    base::fail_invalid("gguf", std::string(what) + " is UTF-8 of 1 to " + std::to_string(longest) + " bytes",
                       base::in_quotes(name));
  }
}

}  // namespace

void GgufMetadata::begin(std::string_view key, GgufValueType type) {
  check_name("a key", key, kLongestKey);
  if (!keys_.emplace(key).second) base::fail_invalid("gguf", "a key comes twice", base::in_quotes(key));
  put_text(bytes_, key);
  put(bytes_, static_cast<uint32_t>(type));
}

void GgufMetadata::add_u32(std::string_view key, int64_t value) {
  if (value < 0 || value > int64_t{UINT32_MAX}) {
    base::fail_invalid("gguf", "a key's value must fit 32 bits", base::in_quotes(key) + " " + std::to_string(value));
  }
  begin(key, GgufValueType::kU32);
  put(bytes_, static_cast<uint32_t>(value));
}

void GgufMetadata::add_f32(std::string_view key, double value) {
  begin(key, GgufValueType::kF32);
  put(bytes_, static_cast<float>(value));
}

void GgufMetadata::add_f64(std::string_view key, double value) {
  begin(key, GgufValueType::kF64);
  put(bytes_, value);
}

void GgufMetadata::add_bool(std::string_view key, bool value) {
  begin(key, GgufValueType::kBool);
  put(bytes_, static_cast<uint8_t>(value));
}

void GgufMetadata::add_text(std::string_view key, std::string_view text) {
  begin(key, GgufValueType::kString);
  put_text(bytes_, text);
}

void GgufMetadata::add_texts(std::string_view key, std::span<const std::string> texts) {
  begin(key, GgufValueType::kArray);
  put(bytes_, static_cast<uint32_t>(GgufValueType::kString));
  put<uint64_t>(bytes_, texts.size());
  for (const std::string& text : texts) put_text(bytes_, text);
}

void GgufMetadata::add_i32s(std::string_view key, std::span<const int32_t> values) {
  begin(key, GgufValueType::kArray);
  put(bytes_, static_cast<uint32_t>(GgufValueType::kI32));
  put<uint64_t>(bytes_, values.size());
  for (const int32_t value : values) put(bytes_, value);
}

uint64_t GgufDeclaration::bytes() const {
  const GgufTypeInfo& info = gguf_type_info(type);
  uint64_t values = 1;
  for (const int64_t size : shape) values *= static_cast<uint64_t>(size);
  return values / static_cast<uint64_t>(info.block_values) * static_cast<uint64_t>(info.block_bytes);
}

void GgufMetadata::add(const GgufHeader::Entry& entry) {
  const GgufValue& value = entry.value;
  begin(entry.key, value.type);
  if (value.type == GgufValueType::kString) return put_text(bytes_, value.bytes);
  if (value.type == GgufValueType::kArray) {
    put(bytes_, static_cast<uint32_t>(value.element));
    put<uint64_t>(bytes_, value.count);
  }
  bytes_.append(value.bytes);
}

GgufWriter::GgufWriter(const base::fs::path& path, const GgufMetadata& metadata, std::vector<GgufDeclaration> tensors,
                       base::FileSystem& files)
    : path_(path), tensors_(std::move(tensors)) {
  check();
  std::string header = "GGUF";
  put<uint32_t>(header, 3);
  put<uint64_t>(header, tensors_.size());
  put<uint64_t>(header, metadata.count());
  header += metadata.bytes();
  uint64_t offset = 0;
  for (const GgufDeclaration& tensor : tensors_) {
    put_text(header, tensor.name);
    put<uint32_t>(header, static_cast<uint32_t>(tensor.shape.size()));
    for (auto size = tensor.shape.rbegin(); size != tensor.shape.rend(); ++size) put(header, *size);
    put(header, static_cast<uint32_t>(tensor.type));
    put(header, offset);
    if (!base::add(offset, tensor.bytes(), offset) || offset > INT64_MAX) {
      base::fail_invalid("gguf", "the tensors do not fit 63 bits", tensor.name);
    }
    offset = aligned(offset);
  }
  header.resize(aligned(header.size()));
  file_size_ = header.size() + offset;
  if (&files == &base::real_files()) base::require_free_space(path_, file_size_, "gguf");
  file_ = std::make_unique<base::WholeFile>(path_, files);
  file_->write(header);
  written_ = header.size();
}

void GgufWriter::check() const {
  std::unordered_set<std::string_view> names;
  for (const GgufDeclaration& tensor : tensors_) {
    check_name("a tensor's name", tensor.name, kLongestName);
    if (!names.insert(tensor.name).second) base::fail_invalid("gguf", "a tensor comes twice", tensor.name);
    if (tensor.shape.empty() || tensor.shape.size() > 4) {
      base::fail_invalid("gguf", "a tensor has 1 to 4 dimensions", tensor.name);
    }
    int64_t values = 1;
    for (const int64_t size : tensor.shape) {
      if (size < 1 || !base::multiply(values, size, values)) {
        base::fail_invalid("gguf", "a tensor has an impossible shape", tensor.name);
      }
    }
    const GgufTypeInfo& info = gguf_type_info(tensor.type);
    int64_t bytes = 0;
    if (!base::multiply(values / info.block_values, info.block_bytes, bytes)) {
      base::fail_invalid("gguf", "a tensor has an impossible shape", tensor.name);
    }
    if (tensor.shape.back() % info.block_values != 0) {
      base::fail_invalid("gguf", "a row must be whole blocks of " + std::to_string(info.block_values),
                         tensor.name + " has rows of " + std::to_string(tensor.shape.back()));
    }
  }
}

void GgufWriter::pad() {
  static constexpr char kZeros[kGgufAlignment] = {};
  const uint64_t missing = aligned(written_) - written_;
  file_->write(std::string_view(kZeros, missing));
  written_ += missing;
}

void GgufWriter::append(std::span<const std::byte> bytes) {
  DSMOE_CHECK(current() != nullptr, "a tensor is left to write");
  const uint64_t size = current()->bytes();
  DSMOE_CHECK(bytes.size() <= size - of_current_, "a piece ends inside its tensor: " + current()->name);
  file_->write(bytes);
  written_ += bytes.size();
  of_current_ += bytes.size();
  if (of_current_ < size) return;
  pad();
  ++current_;
  of_current_ = 0;
}

void GgufWriter::finish() {
  DSMOE_CHECK(current() == nullptr, "every declared byte has come");
  DSMOE_CHECK(written_ == file_size_, "the file has the size that was foretold");
  file_->commit();
}

}  // namespace dsmoe::formats
