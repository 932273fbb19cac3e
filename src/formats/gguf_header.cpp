// Reads a header: everything that can be wrong with a file is found here.
#include "formats/gguf.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/checked.h"
#include "base/element_types.h"
#include "base/error.h"
#include "base/utf8.h"

namespace dsmoe::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

using base::in_quotes;

constexpr GgufTypeInfo weights(GgufType type, base::ElementType element) {
  const base::ElementTypeInfo& info = base::info_of(element);
  return {type, info.name, info.block_values, info.block_bytes};
}
using Element = base::ElementType;
constexpr std::array<GgufTypeInfo, 12> kTypes = {
    weights(GgufType::kF32, Element::kF32),    weights(GgufType::kF16, Element::kF16),
    weights(GgufType::kQ4_0, Element::kQ4_0),  weights(GgufType::kQ4_1, Element::kQ4_1),
    weights(GgufType::kQ5_0, Element::kQ5_0),  weights(GgufType::kQ5_1, Element::kQ5_1),
    weights(GgufType::kQ8_0, Element::kQ8_0),  weights(GgufType::kQ4K, Element::kQ4K),
    weights(GgufType::kQ5K, Element::kQ5K),    weights(GgufType::kQ6K, Element::kQ6K),
    GgufTypeInfo{GgufType::kI32, "I32", 1, 4}, weights(GgufType::kBf16, Element::kBf16),
};

constexpr size_t kLongestKey = 65535, kLongestName = 64, kMostDimensions = 4;
// Bytes that an entry has at least: a key (length, one letter, type, one byte), a tensor (length, one letter, one
// size).
constexpr uint64_t kLeastKey = 8 + 1 + 4 + 1, kLeastTensor = 8 + 1 + 4 + 8 + 4 + 8;

uint64_t size_of(GgufValueType type) {
  constexpr uint64_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return kSizes[static_cast<size_t>(type)];
}

template <class Number>
Number load(std::string_view bytes, uint64_t index = 0) {
  Number value;
  std::memcpy(&value, bytes.data() + index * sizeof value, sizeof value);
  return value;
}

// Reads a header from front to back. Nothing is believed before it is known to lie inside the file.
class HeaderReader {
 public:
  HeaderReader(std::string_view file, std::string_view where) : file_(file), where_(where) {}

  template <class OnKey, class OnTensor>
  void run(OnKey&& on_key, OnTensor&& on_tensor) {
    at_ = 0;
    if (file_.substr(0, 4) != "GGUF") refuse("a GGUF file begins with the letters GGUF", in_quotes(file_.substr(0, 4)));
    at_ = 4;
    version = take<uint32_t>("the version");
    if (version == 0x02000000 || version == 0x03000000) refuse("the file is big-endian", "", "little-endian is read");
    if (version != 2 && version != 3) refuse("the version must be 2 or 3", std::to_string(version));
    tensor_count = take<uint64_t>("the number of tensors");
    key_count = take<uint64_t>("the number of keys");
    if (key_count > left() / kLeastKey) refuse("more keys than the file has room for", std::to_string(key_count));
    if (tensor_count > (left() - key_count * kLeastKey) / kLeastTensor) {
      refuse("more tensors than the file has room for", std::to_string(tensor_count));
    }
    for (uint64_t i = 0; i < key_count; ++i) {
      const size_t begin = at_;
      entry_ = "key " + std::to_string(i);
      const GgufHeader::Entry entry = key();
      on_key(begin, entry);
    }
    for (uint64_t i = 0; i < tensor_count; ++i) {
      const size_t begin = at_;
      entry_ = "tensor " + std::to_string(i);
      const GgufTensor entry = tensor();
      on_tensor(begin, entry);
    }
  }
  /// The name (or key) that begins at an offset on_key or on_tensor was given.
  std::string_view name_at(size_t begin) const { return file_.substr(begin + 8, load<uint64_t>(file_.substr(begin))); }
  uint64_t end() const { return at_; }
  [[noreturn]] void refuse(const std::string& rule, std::string_view found, std::string_view hint = {}) const {
    std::string text = std::string(where_);
    if (!entry_.empty()) text += ", " + entry_;
    if (!found.empty()) text += ": " + std::string(found);
    base::fail_invalid("gguf", rule, text, hint);
  }
  void leave_entries() { entry_.clear(); }

  uint32_t version = 0;
  uint64_t tensor_count = 0, key_count = 0;

 private:
  uint64_t left() const { return file_.size() - at_; }
  std::string_view take(uint64_t bytes, const char* what) {
    if (bytes > left()) {
      refuse("the file ends inside " + std::string(what),
             std::to_string(bytes) + " bytes wanted, " + std::to_string(left()) + " left");
    }
    const std::string_view taken = file_.substr(at_, bytes);
    at_ += bytes;
    return taken;
  }
  template <class Number>
  Number take(const char* what) {
    return load<Number>(take(sizeof(Number), what));
  }
  std::string_view string(const char* what) { return take(take<uint64_t>("a string's length"), what); }
  std::string_view name(const char* what, size_t longest) {
    const auto length = take<uint64_t>("a string's length");
    if (length == 0 || length > longest) {
      refuse(std::string(what) + " has 1 to " + std::to_string(longest) + " bytes", std::to_string(length));
    }
    const std::string_view text = take(length, what);
    if (base::first_invalid_utf8(text) != text.npos) refuse(std::string(what) + " must be UTF-8", in_quotes(text));
    entry_ += " " + in_quotes(text);
    return text;
  }
  GgufValueType value_type() {
    const auto type = take<uint32_t>("a type");
    if (type > static_cast<uint32_t>(GgufValueType::kF64)) refuse("unknown type of value", std::to_string(type));
    return static_cast<GgufValueType>(type);
  }
  void check_bools(std::string_view bytes) const {
    for (const char byte : bytes) {
      if (byte != 0 && byte != 1) refuse("a bool is 0 or 1", std::to_string(static_cast<unsigned char>(byte)));
    }
  }

  GgufHeader::Entry key() {
    GgufHeader::Entry entry;
    entry.key = name("a key", kLongestKey);
    GgufValue& value = entry.value;
    value.type = value_type();
    if (value.type == GgufValueType::kString) {
      value.bytes = string("a string");
    } else if (value.type == GgufValueType::kArray) {
      array(value);
    } else {
      value.bytes = take(size_of(value.type), "a value");
      if (value.type == GgufValueType::kBool) check_bools(value.bytes);
    }
    return entry;
  }
  void array(GgufValue& value) {
    value.element = value_type();
    if (value.element == GgufValueType::kArray) refuse("arrays of arrays are not read", "");
    value.count = take<uint64_t>("an array's length");
    const bool strings = value.element == GgufValueType::kString;
    const uint64_t each = strings ? 8 : size_of(value.element);
    if (value.count > left() / each) {
      refuse("an array is longer than the file", std::to_string(value.count) + " elements");
    }
    if (!strings) {
      value.bytes = take(value.count * each, "an array");
      if (value.element == GgufValueType::kBool) check_bools(value.bytes);
      return;
    }
    const size_t begin = at_;
    for (uint64_t i = 0; i < value.count; ++i) string("a string of an array");
    value.bytes = file_.substr(begin, at_ - begin);
  }

  GgufTensor tensor() {
    GgufTensor tensor;
    tensor.name = name("a tensor's name", kLongestName);
    tensor.dimensions = take<uint32_t>("the number of dimensions");
    if (tensor.dimensions < 1 || tensor.dimensions > kMostDimensions) {
      refuse("a tensor has 1 to 4 dimensions", std::to_string(tensor.dimensions));
    }
    int64_t values = 1;
    for (uint32_t i = 0; i < tensor.dimensions; ++i) {
      tensor.sizes[i] = take<int64_t>("a tensor's sizes");
      if (tensor.sizes[i] < 1) refuse("sizes are from 1 to 2^63 - 1", std::to_string(tensor.sizes[i]));
      if (!base::multiply(values, tensor.sizes[i], values)) refuse("the product of sizes leaves 63 bits", "");
    }
    const auto raw_type = take<uint32_t>("a tensor's type");
    const auto* type = std::find_if(kTypes.begin(), kTypes.end(), [&](const GgufTypeInfo& info) {
      return static_cast<uint32_t>(info.type) == raw_type;
    });
    if (type == kTypes.end()) {
      refuse("a type of tensor that dsmoe does not read", "type " + std::to_string(raw_type),
             "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K and Q6_K are read");
    }
    tensor.type = type->type;
    if (tensor.sizes[0] % type->block_values != 0) {
      refuse("a row must be whole blocks", std::to_string(tensor.sizes[0]) + " values in " + std::string(type->name) +
                                               " blocks of " + std::to_string(type->block_values));
    }
    const auto blocks = static_cast<uint64_t>(values / type->block_values);
    if (!base::multiply(blocks, static_cast<uint64_t>(type->block_bytes), tensor.bytes) ||
        tensor.bytes > file_.size()) {
      refuse("a tensor is larger than the file", std::to_string(values) + " values of " + std::string(type->name));
    }
    tensor.offset = take<uint64_t>("a tensor's offset");
    if (tensor.offset > file_.size()) refuse("a tensor begins beyond the file", std::to_string(tensor.offset));
    return tensor;
  }

  std::string_view file_, where_;
  size_t at_ = 0;
  std::string entry_;  // for errors
};

void check_unique(const HeaderReader& reader, std::vector<size_t>& begins, const char* what) {
  std::sort(begins.begin(), begins.end(), [&](size_t a, size_t b) { return reader.name_at(a) < reader.name_at(b); });
  for (size_t i = 1; i < begins.size(); ++i) {
    const std::string_view name = reader.name_at(begins[i]);
    if (reader.name_at(begins[i - 1]) == name) reader.refuse(std::string(what) + " is there twice", in_quotes(name));
  }
}

uint64_t alignment_from(const HeaderReader& reader, const GgufHeader::Entry& entry) {
  if (entry.value.type != GgufValueType::kU32) reader.refuse("general.alignment must be a u32", "");
  const auto alignment = load<uint32_t>(entry.value.bytes);
  if (!std::has_single_bit(alignment)) {
    reader.refuse("general.alignment must be a power of two", std::to_string(alignment));
  }
  return alignment;
}

// Tensors one after another, each at the next multiple of the alignment, to the end of the file.
class Layout {
 public:
  explicit Layout(const HeaderReader& reader) : reader_(reader) {}
  void next(const GgufTensor& tensor, uint64_t alignment) {
    if (tensor.offset != expected_) {
      reader_.refuse("tensors must follow one another at the alignment, without hole or overlap",
                     "at " + std::to_string(tensor.offset) + ", expected " + std::to_string(expected_));
    }
    end_ = tensor.offset + tensor.bytes;  // both at most the file's size
    expected_ = (end_ + alignment - 1) / alignment * alignment;
  }
  void check_end(uint64_t data_start, uint64_t file_size) const {
    if (end_ > file_size - data_start) {
      reader_.refuse("the file ends inside a tensor",
                     std::to_string(data_start + end_) + " bytes wanted, the file has " + std::to_string(file_size));
    }
    const uint64_t data = file_size - data_start;
    if (data != end_ && data != expected_) {
      reader_.refuse("bytes follow the last tensor", std::to_string(data - end_) + " of them");
    }
  }

 private:
  const HeaderReader& reader_;
  uint64_t expected_ = 0, end_ = 0;
};

}  // namespace

const std::array<GgufTypeInfo, 12>& gguf_types() { return kTypes; }

const GgufTypeInfo& gguf_type_info(GgufType type) {
  return *std::find_if(kTypes.begin(), kTypes.end(), [&](const GgufTypeInfo& info) { return info.type == type; });
}

std::optional<GgufType> gguf_type_of(std::string_view name) {
  const auto upper = [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; };
  for (const GgufTypeInfo& info : kTypes) {
    if (std::equal(info.name.begin(), info.name.end(), name.begin(), name.end(),
                   [&](char a, char b) { return a == upper(b); })) {
      return info.type;
    }
  }
  return std::nullopt;
}

std::vector<int64_t> GgufTensor::shape() const {
  std::vector<int64_t> shape(sizes.begin(), sizes.begin() + dimensions);
  std::reverse(shape.begin(), shape.end());
  return shape;
}

GgufHeader read_gguf_header(std::string_view file, std::string_view where) {
  HeaderReader reader(file, where);
  GgufHeader header;
  header.alignment = 32;
  std::vector<size_t> keys, names;
  // once to check, keeping where entries begin; a second time to collect what is then known to be sound
  Layout layout(reader);
  reader.run(
      [&](size_t begin, const GgufHeader::Entry& entry) {
        if (keys.empty()) keys.reserve(reader.key_count);
        keys.push_back(begin);
        if (entry.key == "general.alignment") header.alignment = alignment_from(reader, entry);
      },
      [&](size_t begin, const GgufTensor& tensor) {
        layout.next(tensor, header.alignment);
        if (names.empty()) names.reserve(reader.tensor_count);
        names.push_back(begin);
      });
  reader.leave_entries();
  check_unique(reader, keys, "a key");
  check_unique(reader, names, "a tensor");
  header.version = reader.version;
  header.data_start = (reader.end() + header.alignment - 1) / header.alignment * header.alignment;
  if (header.data_start > file.size()) {
    if (reader.tensor_count > 0) reader.refuse("the file ends before its data", std::to_string(file.size()) + " bytes");
    header.data_start = file.size();
  }
  layout.check_end(header.data_start, file.size());
  header.metadata.reserve(reader.key_count);
  header.tensors.reserve(reader.tensor_count);
  reader.run([&](size_t, const GgufHeader::Entry& entry) { header.metadata.push_back(entry); },
             [&](size_t, const GgufTensor& tensor) { header.tensors.push_back(tensor); });
  return header;
}

}  // namespace dsmoe::formats
