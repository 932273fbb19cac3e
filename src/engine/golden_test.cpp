// The engine on Hugging Face folders made by an independent script, against the logits that the script computed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/file.h"
#include "base/json.h"
#include "corpus/test_corpus.h"
#include "engine/engine.h"
#include "engine/testing.h"
#include "formats/model_folder_writer.h"
#include "kernels/matrix.h"

namespace dsmoe::engine {
namespace {

struct Ids : RoutingProbe {
  void on_routing(int64_t layer, const RoutingView& view) override {
    auto& rows = by_layer[std::to_string(layer)];
    const auto K = static_cast<size_t>(view.slots);
    for (size_t t = 0; t < view.tokens.size(); ++t) {
      const auto row = view.ids_TK.subspan(t * K, K);
      rows.push_back({row.begin(), row.end()});
    }
  }
  std::map<std::string, std::vector<std::vector<int32_t>>> by_layer;
};

void expect_golden(const base::fs::path& folder) {
  SCOPED_TRACE(folder.filename().string());
  const base::Json golden = base::parse_json(base::read_file(folder / "golden.json"), "golden.json");
  const auto tokens = golden.at("tokens").get<std::vector<int32_t>>();
  ASSERT_GT(golden.at("margin").get<double>(), 1e-5) << "a near tie: give the script another seed";
  Weights weights = Weights::load(folder);
  if (formats::is_adapter(folder / "adapter")) {
    const formats::Adapter adapter = formats::read_adapter(folder / "adapter");
    const formats::ScaledAdapter whole{&adapter};
    weights.add_adapters({&whole, 1});
  }
  Engine engine(std::move(weights), {.threads = 2, .chunk = 16});
  Session session(engine);
  Ids ids;
  session.probe = &ids;
  const auto logits = session.append_all(tokens);
  double largest = 0, worst = 0;
  const auto V = static_cast<size_t>(engine.config().vocab_size);
  for (size_t t = 0; t < tokens.size(); ++t) {
    for (size_t v = 0; v < V; ++v) {
      const double want = golden.at("logits").at(t).at(v).get<double>();
      largest = std::max(largest, std::abs(want));
      worst = std::max(worst, std::abs(logits[t * V + v] - want));
    }
  }
  EXPECT_LE(worst, testing::engine_bound(engine.config(), static_cast<int64_t>(tokens.size())) * largest);
  const auto experts = golden.at("experts").get<decltype(ids.by_layer)>();
  EXPECT_EQ(ids.by_layer, experts);
}

TEST(Golden, EveryTraceOfTheIndependentScript) {
  const base::TestFolder folder;
  const std::string command =
      "python3 '" DSMOE_SOURCE_DIR "/tests/golden/forward.py' '" + folder.path().string() + "' >/dev/null";
  if (std::system("python3 -c '' 2>/dev/null") != 0) GTEST_SKIP() << "no python3 here to make golden traces with";
  ASSERT_EQ(std::system(command.c_str()), 0);
  int cases = 0;
  for (const auto& entry : base::fs::directory_iterator(folder.path())) {
    expect_golden(entry.path());
    ++cases;
  }
  EXPECT_GE(cases, 14);
}

TEST(Golden, AnAdapterOfPeftsGivesTheLogitsOfTheMergedModel) {
  const base::TestFolder folder;
  const std::string command =
      "python3 '" DSMOE_SOURCE_DIR "/tests/golden/adapter.py' make '" + folder.path().string() + "'";
  if (std::system("python3 -c '' 2>/dev/null") != 0) GTEST_SKIP() << "no python3 here to make golden traces with";
  ASSERT_EQ(std::system(command.c_str()), 0);
  expect_golden(folder / "adapted");
}

// bf16 weights are computed with as they lie in the file, and are exactly the float32 model of the same values.
TEST(Golden, Bf16WeightsAreTheirFloat32Values) {
  const auto config = testing::odd_config("first_layers_dense").config;
  const auto write = [&](const base::TestFolder& folder, formats::Dtype dtype) {
    base::FolderWriter files(folder / "model", base::unsynced_files);
    formats::ModelFolderWriter model(files.path(), config, {.dtype = dtype}, base::unsynced_files);
    auto tensors = testing::random_tensors(config, 8);
    spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
      auto& values = tensors.at(tensor.name).values;
      std::vector<std::byte> cut(values.size() * 2);
      formats::from_f32(values, formats::Dtype::kBf16, cut);
      formats::to_f32(formats::Dtype::kBf16, cut, values);
      model.append_f32(values);
    });
    model.finish();
    files.commit();
  };
  const base::TestFolder small, large;
  write(small, formats::Dtype::kBf16);
  write(large, formats::Dtype::kF32);
  Engine bf16 = Engine::load(small / "model"), f32 = Engine::load(large / "model");
  EXPECT_EQ(bf16.weights().layers()[0].q.type, kernels::WeightType::kBf16);
  EXPECT_EQ(f32.weights().layers()[0].q.type, kernels::WeightType::kF32);
  EXPECT_EQ(f32.weights().layers()[2].router.type, kernels::WeightType::kBf16) << "nothing is lost";
  const auto ids = testing::random_ids(config, 30);
  Session a(bf16), b(f32);
  const auto x = a.append_all(ids), y = b.append_all(ids);
  EXPECT_TRUE(std::equal(x.begin(), x.end(), y.begin(), y.end()));
}

}  // namespace
}  // namespace dsmoe::engine
