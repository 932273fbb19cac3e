// Which experts each token of a sequence was given to: what a request may ask to be told.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "engine/intervention.h"
#include "spec/model_config.h"

namespace dsmoe::serve {

/// T tokens, L mixture layers, K slots.
struct RoutedTokens {
  int64_t first = 0;              ///< position of the first token
  int64_t layers = 0, slots = 0;  ///< L, K
  std::vector<int32_t> experts;   ///< [T, L, K], best first; -1 in a slot left empty
  std::vector<float> affinities;  ///< [T, L, K] what the router gave them; of a hash table the gate's weight

  int64_t tokens() const { return layers * slots == 0 ? 0 : std::ssize(experts) / (layers * slots); }
  /// {first, layers, slots, experts, affinities}, lists that run over tokens, layers and slots.
  base::Json json() const;
  /// The same as .npy files in base64, [T, L, K]: bytes or 16 bits for experts (empty slots have the largest value).
  std::string experts_npy(int64_t experts_in_all) const;
  std::string affinities_npy() const;
};

class RoutingRecord : public engine::RoutingProbe {
 public:
  RoutingRecord(const spec::ModelConfig& config, const engine::Intervention& intervention);
  void on_routing(int64_t layer, const engine::RoutingView& routing) override;
  /// What has been recorded since the last call. A pass that was made twice counts once.
  RoutedTokens take();

 private:
  std::vector<int64_t> place_;  // by layer: among the mixture layers, or -1
  RoutedTokens tokens_;
};

std::string base64(std::string_view bytes);

}  // namespace dsmoe::serve
