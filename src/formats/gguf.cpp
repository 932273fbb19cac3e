#include "formats/gguf.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"
#include "base/hash.h"

namespace dsmoe::formats {
namespace {

using base::in_quotes;

template <class Number>
Number load(std::string_view bytes, uint64_t index = 0) {
  Number value;
  std::memcpy(&value, bytes.data() + index * sizeof value, sizeof value);
  return value;
}

// One integer of an array of them, or nothing where the type is none or the value leaves 63 bits.
std::optional<int64_t> integer_at(GgufValueType type, std::string_view bytes, uint64_t index) {
  switch (type) {
    case GgufValueType::kU8:
      return load<uint8_t>(bytes, index);
    case GgufValueType::kI8:
      return load<int8_t>(bytes, index);
    case GgufValueType::kU16:
      return load<uint16_t>(bytes, index);
    case GgufValueType::kI16:
      return load<int16_t>(bytes, index);
    case GgufValueType::kU32:
      return load<uint32_t>(bytes, index);
    case GgufValueType::kI32:
      return load<int32_t>(bytes, index);
    case GgufValueType::kI64:
      return load<int64_t>(bytes, index);
    case GgufValueType::kU64: {
      const auto value = load<uint64_t>(bytes, index);
      if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
      return static_cast<int64_t>(value);
    }
    default:
      return std::nullopt;
  }
}

}  // namespace

GgufFile::GgufFile(const base::fs::path& path)
    : file_(path), header_(read_gguf_header(base::as_text(file_.bytes()), path.string())) {
  by_key_.resize(header_.metadata.size());
  std::iota(by_key_.begin(), by_key_.end(), 0u);
  std::sort(by_key_.begin(), by_key_.end(),
            [&](uint32_t a, uint32_t b) { return header_.metadata[a].key < header_.metadata[b].key; });
  by_name_.resize(header_.tensors.size());
  std::iota(by_name_.begin(), by_name_.end(), 0u);
  std::sort(by_name_.begin(), by_name_.end(),
            [&](uint32_t a, uint32_t b) { return header_.tensors[a].name < header_.tensors[b].name; });
}

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name, [&](uint32_t index, std::string_view key) {
    return header_.tensors[index].name < key;
  });
  return at != by_name_.end() && header_.tensors[*at].name == name ? &header_.tensors[*at] : nullptr;
}

const GgufValue* GgufFile::find(std::string_view key) const {
  const auto at = std::lower_bound(by_key_.begin(), by_key_.end(), key, [&](uint32_t index, std::string_view wanted) {
    return header_.metadata[index].key < wanted;
  });
  return at != by_key_.end() && header_.metadata[*at].key == key ? &header_.metadata[*at].value : nullptr;
}

void GgufFile::wrong_kind(std::string_view key, std::string_view wanted) const {
  base::fail_invalid("gguf", "a key must be " + std::string(wanted), path().string() + ", " + in_quotes(key));
}

std::optional<int64_t> GgufFile::integer(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const auto found = integer_at(value->type, value->bytes, 0);
  if (!found) wrong_kind(key, "an integer of at most 63 bits");
  return found;
}

std::optional<double> GgufFile::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type == GgufValueType::kF32) return load<float>(value->bytes);
  if (value->type == GgufValueType::kF64) return load<double>(value->bytes);
  const auto found = integer_at(value->type, value->bytes, 0);
  if (!found) wrong_kind(key, "a number");
  return static_cast<double>(*found);
}

std::optional<bool> GgufFile::boolean(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufValueType::kBool) wrong_kind(key, "a bool");
  return value->bytes[0] != 0;
}

std::optional<std::string_view> GgufFile::text(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufValueType::kString) wrong_kind(key, "a string");
  return value->bytes;
}

std::optional<std::vector<std::string_view>> GgufFile::texts(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufValueType::kArray || value->element != GgufValueType::kString) {
    wrong_kind(key, "an array of strings");
  }
  std::vector<std::string_view> texts;
  texts.reserve(value->count);
  std::string_view left = value->bytes;
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto length = load<uint64_t>(left);
    texts.push_back(left.substr(8, length));
    left.remove_prefix(8 + length);
  }
  return texts;
}

std::optional<std::vector<int64_t>> GgufFile::integers(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != GgufValueType::kArray) wrong_kind(key, "an array of integers");
  std::vector<int64_t> integers;
  for (uint64_t i = 0; i < value->count; ++i) {
    const auto found = integer_at(value->element, value->bytes, i);
    if (!found) wrong_kind(key, "an array of integers");
    integers.push_back(*found);
  }
  return integers;
}

}  // namespace dsmoe::formats
