#include "corpus/validation.h"

#include <algorithm>
#include <limits>
#include <numbers>
#include <string>

#include "base/error.h"

namespace dsmoe::corpus {

namespace {

// Documents from the front that come nearest to `wanted` tokens: one that would overshoot by more than it would fall
// short is passed over. If none fits, the shortest.
std::vector<int64_t> choose(const TokenDataset& dataset, const std::vector<int64_t>& documents, double wanted) {
  std::vector<int64_t> chosen;
  double tokens = 0;
  for (const int64_t document : documents) {
    const auto length = static_cast<double>(dataset.tokens_in(document));
    if (tokens + length / 2 > wanted) continue;
    chosen.push_back(document);
    tokens += length;
  }
  if (chosen.empty() && !documents.empty()) {
    const auto shorter = [&](int64_t a, int64_t b) { return dataset.tokens_in(a) < dataset.tokens_in(b); };
    chosen.push_back(*std::min_element(documents.begin(), documents.end(), shorter));
  }
  return chosen;
}

}  // namespace

ValidationWindows::ValidationWindows(const TokenDataset& dataset, int64_t sequence_length, int64_t token_limit)
    : dataset_(dataset), sequence_length_(sequence_length), streams_(dataset.domain_names().size()) {
  if (sequence_length < 1) {
    base::fail_invalid("data", "sequence_length must be at least 1", std::to_string(sequence_length));
  }
  DSMOE_CHECK(token_limit >= 0, "a limit on tokens");
  std::vector<std::vector<int64_t>> documents(streams_.size());
  for (int64_t document = 0; document < dataset.documents(); ++document) {
    documents[static_cast<size_t>(dataset.domain(document))].push_back(document);
  }
  const bool limited = token_limit > 0 && token_limit < dataset.total_tokens();
  for (size_t domain = 0; domain < streams_.size(); ++domain) {
    if (limited) {
      const double kept = static_cast<double>(token_limit) / static_cast<double>(dataset.total_tokens());
      const auto tokens = static_cast<double>(dataset.counts(static_cast<int>(domain)).tokens);
      documents[domain] = choose(dataset, documents[domain], kept * tokens);
    }
    Stream& stream = streams_[domain];
    for (const int64_t document : documents[domain]) {
      stream.add(dataset, document);
      stream.bytes += dataset.bytes_in(document);
    }
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

void ValidationWindows::read_documents(int64_t index, std::span<int64_t> documents) const {
  const Window& window = windows_[static_cast<size_t>(index)];
  DSMOE_CHECK(std::ssize(documents) == window.scored, "room for the targets that count");
  streams_[static_cast<size_t>(window.domain)].read_documents(window.begin + 1, documents);
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

}  // namespace dsmoe::corpus
