#include "data/validation.h"

#include <algorithm>
#include <limits>
#include <numbers>
#include <string>

#include "base/error.h"

namespace dsmoe::data {

ValidationWindows::ValidationWindows(const TokenDataset& dataset, int64_t sequence_length, int64_t token_limit)
    : dataset_(dataset), sequence_length_(sequence_length), streams_(dataset.domain_names().size()) {
  if (sequence_length < 1) {
    base::fail_invalid("data", "sequence_length must be at least 1", std::to_string(sequence_length));
  }
  DSMOE_CHECK(token_limit >= 0, "a limit on tokens");
  const double kept = token_limit == 0 || dataset.total_tokens() == 0
                          ? 1.0
                          : static_cast<double>(token_limit) / static_cast<double>(dataset.total_tokens());
  for (int64_t document = 0; document < dataset.documents(); ++document) {
    const int domain = dataset.domain(document);
    Stream& stream = streams_[static_cast<size_t>(domain)];
    const double wanted = kept * static_cast<double>(dataset.counts(domain).tokens);
    if (kept < 1 && static_cast<double>(stream.tokens()) >= wanted) continue;
    stream.add(dataset, document);
    stream.bytes += dataset.bytes_in(document);
  }
  for (size_t domain = 0; domain < streams_.size(); ++domain) {
    Stream& stream = streams_[domain];
    stream.targets = std::max<int64_t>(stream.tokens() - 1, 0);
    for (int64_t begin = 0; begin < stream.targets; begin += sequence_length) {
      windows_.push_back({static_cast<int>(domain), begin, std::min(sequence_length, stream.targets - begin)});
    }
  }
}

void ValidationWindows::read(int64_t index, std::span<int32_t> inputs, std::span<int32_t> targets) const {
  const auto length = static_cast<size_t>(sequence_length_);
  DSMOE_CHECK(inputs.size() == length && targets.size() == length, "room for S inputs and S targets");
  const Window& window = windows_[static_cast<size_t>(index)];
  const auto scored = static_cast<size_t>(window.scored);
  std::vector<int32_t> ids(scored + 1);
  streams_[static_cast<size_t>(window.domain)].read(dataset_, window.begin, ids);
  std::copy_n(ids.begin(), scored, inputs.begin());
  std::copy_n(ids.begin() + 1, scored, targets.begin());
  std::fill(inputs.begin() + window.scored, inputs.end(), inputs[scored - 1]);
  std::fill(targets.begin() + window.scored, targets.end(), kNotScored);
}

TextScore& TextScore::operator+=(const TextScore& other) {
  nats += other.nats;
  tokens += other.tokens;
  bytes += other.bytes;
  return *this;
}

double TextScore::nats_per_token() const {
  return tokens > 0 ? nats / static_cast<double>(tokens) : std::numeric_limits<double>::quiet_NaN();
}

double TextScore::bits_per_byte() const {
  return bytes > 0 ? nats / std::numbers::ln2 / static_cast<double>(bytes) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace dsmoe::data
