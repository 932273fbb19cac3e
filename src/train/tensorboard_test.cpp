// Event files, read back by a small reader of the wire format.
#include "train/tensorboard.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

namespace dsmoe::train {
namespace {

template <class Number>
Number raw(std::string_view bytes) {
  Number value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

// Field number to payloads: the bytes of a fixed or length-delimited field, or the varint's eight.
std::multimap<uint64_t, std::string> fields_of(std::string_view message) {
  std::multimap<uint64_t, std::string> fields;
  const auto varint = [&message] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(message.at(0));
      message.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
  };
  while (!message.empty()) {
    const uint64_t key = varint();
    size_t size = 0;
    std::string payload;
    switch (key & 7) {
      case 0: {
        const uint64_t value = varint();
        payload.assign(reinterpret_cast<const char*>(&value), sizeof value);
        break;
      }
      case 1:
        size = 8;
        break;
      case 2:
        size = varint();
        break;
      case 5:
        size = 4;
        break;
      default:
        ADD_FAILURE() << "wire type " << (key & 7);
        return fields;
    }
    if (size > message.size()) {
      ADD_FAILURE() << "a field runs over the end";
      return fields;
    }
    fields.emplace(key >> 3, payload + std::string(message.substr(0, size)));
    message.remove_prefix(size);
  }
  return fields;
}

TEST(Crc32c, KnownValues) {
  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(""), 0U);
}

TEST(TensorBoard, RecordFramesItsData) {
  const std::string data(300, 'x');
  const std::string record = tf_record(data);
  ASSERT_EQ(record.size(), 8 + 4 + data.size() + 4);
  EXPECT_EQ(raw<uint64_t>(record), data.size());
  const auto unmask = [](uint32_t masked) {
    const uint32_t turned = masked - 0xa282ead8U;
    return (turned << 15) | (turned >> 17);
  };
  EXPECT_EQ(unmask(raw<uint32_t>(record.substr(8))), crc32c(record.substr(0, 8)));
  EXPECT_EQ(unmask(raw<uint32_t>(record.substr(12 + data.size()))), crc32c(data));
}

TEST(TensorBoard, ScalarsCanBeReadBack) {
  const std::string bytes = scalar_event(12.5, 300, {{"train/loss", 1.25}, {"perf/tokens_per_s", 1e6}});
  const auto event = fields_of(bytes);
  EXPECT_EQ(raw<double>(event.find(1)->second), 12.5);
  EXPECT_EQ(raw<uint64_t>(event.find(2)->second), 300U);
  std::map<std::string, float> scalars;
  const auto values = fields_of(event.find(5)->second);
  for (const auto& [number, bytes_of_value] : values) {
    ASSERT_EQ(number, 1U);
    const auto value = fields_of(bytes_of_value);
    scalars[value.find(1)->second] = raw<float>(value.find(2)->second);
  }
  EXPECT_EQ(scalars, (std::map<std::string, float>{{"train/loss", 1.25F}, {"perf/tokens_per_s", 1e6F}}));
}

TEST(TensorBoard, VersionAndSessionEvents) {
  EXPECT_EQ(fields_of(version_event(1)).find(3)->second, "brain.Event:2");
  const auto event = fields_of(session_start_event(1, 7));
  EXPECT_EQ(raw<uint64_t>(event.find(2)->second), 7U);
  EXPECT_EQ(raw<uint64_t>(fields_of(event.find(7)->second).find(1)->second), 1U) << "status START";
  EXPECT_EQ(event_file_name(1700000000.9).rfind("events.out.tfevents.1700000000.", 0), 0U);
}

}  // namespace
}  // namespace dsmoe::train
