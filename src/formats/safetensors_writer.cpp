#include "formats/safetensors_writer.h"

#include <algorithm>
#include <set>

#include "base/checked.h"
#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "formats/safetensors.h"

namespace dsmoe::formats {
namespace {

std::string quoted_json(std::string_view text) { return base::dump_json(base::Json(std::string(text))); }

void require_utf8(const std::string& text, const base::fs::path& path) {
  if (base::first_invalid_utf8(text) != std::string_view::npos) {
    base::fail_invalid("safetensors", "names and metadata must be UTF-8", path.string() + ", " + base::in_quotes(text));
  }
}

void check(const TensorDeclaration& tensor, const base::fs::path& path) {
  const std::string found = path.string() + ", " + base::in_quotes(tensor.name);
  require_utf8(tensor.name, path);
  if (tensor.name == kMetadataKey) {
    base::fail_invalid("safetensors", "no tensor may be called __metadata__", path.string(), "rename it");
  }
  if (tensor.shape.size() > kMostDimensions) base::fail_invalid("safetensors", "too many dimensions", found);
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const base::fs::path& path, std::vector<TensorDeclaration> tensors,
                                     SafetensorsOptions options, base::FileSystem& files)
    : path_(path), tensors_(std::move(tensors)), options_(std::move(options)) {
  std::set<std::string_view> names;
  for (const TensorDeclaration& tensor : tensors_) {
    check(tensor, path_);
    const std::string found = path_.string() + ", " + base::in_quotes(tensor.name);
    if (!names.insert(tensor.name).second) base::fail_invalid("safetensors", "a tensor is declared twice", found);
    uint64_t size = 0;
    if (!tensor_bytes(tensor.dtype, tensor.shape, size) || !base::add(data_size_, size, data_size_)) {
      base::fail_invalid("safetensors", "a tensor's shape gives no whole number of bytes within 64 bits", found);
    }
    sizes_.push_back(size);
  }
  for (const auto& [key, value] : options_.metadata) {
    require_utf8(key, path_);
    require_utf8(value, path_);
    if (key.compare(0, kChecksumPrefix.size(), kChecksumPrefix) == 0) {
      base::fail_invalid("safetensors", "metadata keys of this beginning are kept for checksums", base::in_quotes(key));
    }
  }
  if (options_.checksums) {
    checksums_.assign(tensors_.size(), std::string(32, '0'));
    hasher_ = std::make_unique<base::Hasher>();
  }
  const std::string header = header_text();
  if (header.size() - 8 > kLongestHeader) {
    base::fail_invalid("safetensors", "the header may have at most " + std::to_string(kLongestHeader) + " bytes",
                       path_.string() + ", " + std::to_string(header.size() - 8), "write several files");
  }
  data_start_ = header.size();
  file_ = std::make_unique<base::FileWriter>(path_, files);
  file_->write(header);
  finish_tensors();
}

// The length and the header, built as text: a tree would search all keys at each insertion.
std::string SafetensorsWriter::header_text() const {
  std::string text(8, '\0');
  text += '{';
  if (!options_.metadata.empty() || !checksums_.empty()) {
    text += quoted_json(kMetadataKey) + ":{";
    const auto add = [&](const std::string& key, const std::string& value) {
      if (text.back() != '{') text += ',';
      text += quoted_json(key) + ":" + quoted_json(value);
    };
    for (const auto& [key, value] : options_.metadata) add(key, value);
    for (size_t i = 0; i < checksums_.size(); ++i) add(std::string(kChecksumPrefix) + tensors_[i].name, checksums_[i]);
    text += '}';
  }
  uint64_t begin = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    if (text.back() != '{') text += ',';
    text +=
        quoted_json(tensors_[i].name) + ":{\"dtype\":\"" + std::string(name_of(tensors_[i].dtype)) + "\",\"shape\":[";
    for (const int64_t size : tensors_[i].shape) text += (text.back() == '[' ? "" : ",") + std::to_string(size);
    text += "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(begin + sizes_[i]) + "]}";
    begin += sizes_[i];
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  for (size_t i = 0; i < 8; ++i) text[i] = static_cast<char>((text.size() - 8) >> (8 * i) & 0xff);
  return text;
}

// Moves past every tensor whose bytes have all come, empty ones included.
void SafetensorsWriter::finish_tensors() {
  while (current_ < tensors_.size() && written_ == sizes_[current_]) {
    if (hasher_) {
      checksums_[current_] = hasher_->hex();
      hasher_ = std::make_unique<base::Hasher>();
    }
    ++current_;
    written_ = 0;
  }
}

const TensorDeclaration* SafetensorsWriter::current() const {
  return current_ < tensors_.size() ? &tensors_[current_] : nullptr;
}

void SafetensorsWriter::append(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  DSMOE_CHECK(current_ < tensors_.size(), "bytes after the last tensor of " + path_.string());
  DSMOE_CHECK(bytes.size() <= sizes_[current_] - written_, "too many bytes for " + tensors_[current_].name);
  if (hasher_) hasher_->update(base::as_text(bytes));
  file_->write(bytes);
  written_ += bytes.size();
  finish_tensors();
}

void SafetensorsWriter::finish() {
  DSMOE_CHECK(current_ == tensors_.size(), "not all tensors of " + path_.string() + " have come");
  if (!checksums_.empty()) {
    const std::string header = header_text();
    DSMOE_CHECK(header.size() == data_start_, "checksums keep the header's length");
    file_->overwrite(0, header);
  }
  file_->finish();
}

void write_safetensors(const base::fs::path& path, std::vector<NamedTensor> tensors, SafetensorsOptions options,
                       base::FileSystem& files) {
  std::sort(tensors.begin(), tensors.end(), [](const NamedTensor& a, const NamedTensor& b) {
    const uint32_t wide_a = bits_of(a.tensor.dtype), wide_b = bits_of(b.tensor.dtype);
    return wide_a != wide_b ? wide_a > wide_b : a.name < b.name;
  });
  std::vector<TensorDeclaration> declarations;
  for (const NamedTensor& each : tensors) declarations.push_back({each.name, each.tensor.dtype, each.tensor.shape});
  SafetensorsWriter writer(path, std::move(declarations), std::move(options), files);
  for (const NamedTensor& each : tensors) writer.append(each.tensor.bytes);
  writer.finish();
}

}  // namespace dsmoe::formats
