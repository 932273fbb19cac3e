#include "train/tensorboard.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <cstring>

namespace dsmoe::train {
namespace {

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
    table[i] = crc;
  }
  return table;
}();

static_assert(std::endian::native == std::endian::little, "the formats written here are little-endian");

template <class Number>
void append_raw(std::string& out, Number value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof value);
}

// Protobuf's wire format: a field is a varint of (number << 3 | type), then its value.
enum WireType : uint64_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };

void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out += static_cast<char>((value & 0x7f) | 0x80);
    value >>= 7;
  }
  out += static_cast<char>(value);
}

void append_key(std::string& out, uint64_t field, WireType type) { append_varint(out, field << 3 | type); }

void append_bytes(std::string& out, uint64_t field, std::string_view bytes) {
  append_key(out, field, kLength);
  append_varint(out, bytes.size());
  out += bytes;
}

// Event { 1: double wall_time, 2: int64 step, 3: string file_version, 5: Summary summary, 7: SessionLog session_log }
std::string event(double wall_time, int64_t step) {
  std::string out;
  append_key(out, 1, kFixed64);
  append_raw(out, wall_time);
  append_key(out, 2, kVarint);
  append_varint(out, static_cast<uint64_t>(step));
  return out;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0U;
  for (const char c : bytes) crc = kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8U; }

std::string tf_record(std::string_view data) {
  std::string length;
  append_raw(length, static_cast<uint64_t>(data.size()));
  std::string out = length;
  append_raw(out, masked_crc32c(length));
  out += data;
  append_raw(out, masked_crc32c(data));
  return out;
}

std::string version_event(double wall_time) {
  std::string out = event(wall_time, 0);
  append_bytes(out, 3, "brain.Event:2");
  return out;
}

std::string scalar_event(double wall_time, int64_t step, const Scalars& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) {  // Summary { 1: Value { 1: tag, 2: float simple_value } }
    std::string item;
    append_bytes(item, 1, tag);
    append_key(item, 2, kFixed32);
    append_raw(item, static_cast<float>(value));
    append_bytes(summary, 1, item);
  }
  std::string out = event(wall_time, step);
  append_bytes(out, 5, summary);
  return out;
}

std::string session_start_event(double wall_time, int64_t step) {
  std::string session;  // SessionLog { 1: enum status, START = 1 }
  append_key(session, 1, kVarint);
  append_varint(session, 1);
  std::string out = event(wall_time, step);
  append_bytes(out, 7, session);
  return out;
}

std::string event_file_name(double wall_time) {
  char host[256] = "localhost";
  if (::gethostname(host, sizeof host - 1) != 0) std::strcpy(host, "localhost");
  return "events.out.tfevents." + std::to_string(static_cast<int64_t>(wall_time)) + "." + host + "." +
         std::to_string(::getpid());
}

}  // namespace dsmoe::train
