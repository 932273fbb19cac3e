#include "serve/routing_record.h"

#include <algorithm>
#include <utility>

#include "formats/npy.h"

namespace dsmoe::serve {

RoutingRecord::RoutingRecord(const spec::ModelConfig& config, const engine::Intervention& intervention) {
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    place_.push_back(config.is_moe_layer(layer) ? tokens_.layers++ : -1);
    if (config.is_moe_layer(layer)) tokens_.slots = std::max(tokens_.slots, intervention.slots(config, layer));
  }
}

void RoutingRecord::on_routing(int64_t layer, const engine::RoutingView& routing) {
  const int64_t L = tokens_.layers, K = tokens_.slots, count = std::ssize(routing.tokens);
  const auto size = static_cast<size_t>((routing.first_position + count - tokens_.first) * L * K);
  if (tokens_.experts.size() < size) {
    tokens_.experts.resize(size, -1);
    tokens_.affinities.resize(size, 0);
  }
  for (int64_t t = 0; t < count; ++t) {
    const int64_t row = ((routing.first_position + t - tokens_.first) * L + place_[static_cast<size_t>(layer)]) * K;
    for (int64_t k = 0; k < std::min(K, routing.slots); ++k) {
      const auto slot = static_cast<size_t>(t * routing.slots + k), at = static_cast<size_t>(row + k);
      const int32_t expert = routing.ids_TK[slot];
      tokens_.experts[at] = expert;
      if (expert < 0) continue;
      tokens_.affinities[at] = routing.affinities_TE.empty()
                                   ? routing.weights_TK[slot]
                                   : routing.affinities_TE[static_cast<size_t>(t * routing.experts + expert)];
    }
  }
}

RoutedTokens RoutingRecord::take() {
  RoutedTokens taken = std::move(tokens_);
  tokens_ = {taken.first + taken.tokens(), taken.layers, taken.slots, {}, {}};
  return taken;
}

base::Json RoutedTokens::json() const {
  return {{"first", first}, {"layers", layers}, {"slots", slots}, {"experts", experts}, {"affinities", affinities}};
}

std::string RoutedTokens::experts_npy(int64_t experts_in_all) const {
  const bool bytes = experts_in_all < 256;
  std::string data = formats::npy_header(bytes ? "|u1" : "<u2", {tokens(), layers, slots});
  for (const int32_t expert : experts) {
    data += static_cast<char>(expert & 0xff);
    if (!bytes) data += static_cast<char>(expert >> 8 & 0xff);
  }
  return base64(data);
}

std::string RoutedTokens::affinities_npy() const {
  std::string data = formats::npy_header("<f4", {tokens(), layers, slots});
  data.append(reinterpret_cast<const char*>(affinities.data()), affinities.size() * sizeof(float));
  return base64(data);
}

std::string base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    const size_t there = std::min<size_t>(3, bytes.size() - i);
    for (size_t b = 0; b < 3; ++b) word = word << 8 | (b < there ? static_cast<unsigned char>(bytes[i + b]) : 0u);
    for (size_t d = 0; d < 4; ++d) text += d <= there ? kDigits[word >> (18 - 6 * d) & 63] : '=';
  }
  return text;
}

}  // namespace dsmoe::serve
