// For tests: GGUF files by hand, byte by byte, legal or not.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dsmoe::formats {

/// Pieces of a file. Everything is appended as told, nothing is checked.
class GgufText {
 public:
  GgufText(uint32_t version, uint64_t tensors, uint64_t keys) {
    text = "GGUF";
    u32(version).u64(tensors).u64(keys);
  }
  GgufText& u8(uint8_t value) { return raw(value); }
  GgufText& u32(uint32_t value) { return raw(value); }
  GgufText& u64(uint64_t value) { return raw(value); }
  GgufText& f32(float value) { return raw(value); }
  GgufText& string(const std::string& value) {
    u64(value.size());
    text += value;
    return *this;
  }
  /// A key and the number of its type; the value comes next.
  GgufText& key(const std::string& name, uint32_t type) { return string(name).u32(type); }
  GgufText& tensor(const std::string& name, const std::vector<uint64_t>& sizes, uint32_t type, uint64_t offset) {
    string(name).u32(static_cast<uint32_t>(sizes.size()));
    for (const uint64_t size : sizes) u64(size);
    return u32(type).u64(offset);
  }
  /// Zeros to a multiple of `alignment`, then so many bytes of data.
  GgufText& data(size_t bytes, size_t alignment = 32) {
    text.resize((text.size() + alignment - 1) / alignment * alignment);
    text += std::string(bytes, 'd');
    return *this;
  }

  std::string text;

 private:
  template <class Number>
  GgufText& raw(Number value) {
    text.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
};

}  // namespace dsmoe::formats
