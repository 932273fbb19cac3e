// Layers, origins, errors and round trips of the configuration.
#include "spec/settings.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "spec/presets.h"

namespace dsmoe::spec {
namespace {

TEST(Settings, LayersAndOrigins) {
  const ResolvedConfig resolved = resolve("tiny", {"train.seed=7", "train.precision=f32", "data.weights.code=2"});
  EXPECT_EQ(resolved.config.model.hidden_size, 64);
  EXPECT_EQ(resolved.config.train.seed, 7);
  EXPECT_EQ(resolved.config.train.precision, Precision::kF32);
  EXPECT_EQ(resolved.config.data.weights.at("code"), 2);
  EXPECT_EQ(resolved.origins.at("model.hidden_size"), "preset tiny");
  EXPECT_EQ(resolved.origins.at("train.seed"), "command line");
  EXPECT_FALSE(resolved.origins.contains("train.beta1"));
  EXPECT_EQ(resolve_toml(to_toml(resolved.config, &resolved.origins), "x").config, resolved.config);
}

}  // namespace
}  // namespace dsmoe::spec
