// TensorBoard event files, written by hand: TFRecord framing with masked CRC-32C, and the three protobuf messages that
// scalars need. No protobuf library. What is written is a view for people; metrics.jsonl is the record.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"

namespace dsmoe::train {

/// CRC-32C (Castagnoli) of bytes.
uint32_t crc32c(std::string_view bytes);
/// As TFRecord stores it: rotated right by 15 and offset, so that a checksum of checksums does not degenerate.
uint32_t masked_crc32c(std::string_view bytes);
/// length (u64), its masked checksum, data, its masked checksum; little-endian.
std::string tf_record(std::string_view data);

using Scalars = std::vector<std::pair<std::string, double>>;
/// Serialised `Event` messages.
std::string version_event(double wall_time);
std::string scalar_event(double wall_time, int64_t step, const Scalars& scalars);
/// A session start: readers drop what other files of the folder hold from `step` on, which a resumed run repeats.
std::string session_start_event(double wall_time, int64_t step);

/// The name readers look for: events.out.tfevents.<seconds>.<host>.<pid>.
std::string event_file_name(double wall_time);

}  // namespace dsmoe::train
