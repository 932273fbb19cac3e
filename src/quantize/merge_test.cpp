// Adapters in the weights of a GGUF file: the sums, their order, and every other byte.
#include "quantize/merge.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/rng.h"
#include "formats/merge_adapters.h"
#include "quantize/export.h"
#include "quantize/testing.h"

namespace dsmoe::quantize {
namespace {

formats::AdapterModule module_of(const std::string& name, int64_t outputs, int64_t inputs, uint64_t seed) {
  base::Rng rng(seed);
  formats::AdapterModule module{name, 2, inputs, outputs, 0.5, {}, {}};
  for (int64_t i = 0; i < 2 * inputs; ++i) module.a.push_back(static_cast<float>(rng.normal()));
  for (int64_t i = 0; i < 2 * outputs; ++i) module.b.push_back(static_cast<float>(rng.normal()));
  return module;
}

struct Merged {
  explicit Merged(const char* type) {
    formats::write_model(folder / "model", wide_mixture());
    adapter.modules = {module_of("model.layers.0.self_attn.k_proj", 128, 256, 1),
                       module_of("model.layers.1.mlp.experts.2.up_proj", 32, 256, 2),
                       module_of("model.layers.1.mlp.shared_experts.down_proj", 256, 64, 3)};
    ExportOptions options;
    options.recipe = recipe_named(type);
    options.pure = true;
    export_gguf(formats::ModelFolder::open(folder / "model"), folder / "base.gguf", options, base::unsynced_files);
    report = merge_gguf(base(), scaled, folder / "merged.gguf", {}, base::unsynced_files);
  }
  formats::GgufModel base() const { return formats::GgufModel::open(folder / "base.gguf"); }
  formats::GgufModel merged() const { return formats::GgufModel::open(folder / "merged.gguf"); }

  base::TestFolder folder;
  formats::Adapter adapter;
  std::vector<formats::ScaledAdapter> scaled{{&adapter, 2}};
  MergeReport report;
};

TEST(Merge, OfFloatsIsTheFolderOfBoth) {
  const Merged m("f32");
  EXPECT_EQ(m.report.matrices, 3);
  EXPECT_EQ(m.report.error.error_squares, 0);
  const formats::ModelFolder folder = formats::ModelFolder::open(m.folder / "model");
  formats::ModelFolderOptions as_floats;
  as_floats.dtype = formats::Dtype::kF32;
  {
    base::FolderWriter out(m.folder / "both", base::unsynced_files);
    formats::ModelFolderWriter writer(out.path(), folder.config(), as_floats, base::unsynced_files);
    formats::merge_adapters(writer, folder, m.scaled, base::serial_for, [](uint64_t) {});
    writer.finish();
    out.commit();
  }
  ExportOptions options;
  options.recipe = recipe_named("f32");
  export_gguf(formats::ModelFolder::open(m.folder / "both"), m.folder / "both.gguf", options, base::unsynced_files);
  const auto both = formats::GgufModel::open(m.folder / "both.gguf"), merged = m.merged();
  spec::for_each_tensor(folder.config(), [&](const spec::TensorSpec& tensor) {
    const auto want = both.tensor(tensor.name).bytes, got = merged.tensor(tensor.name).bytes;
    ASSERT_EQ(want.size(), got.size());
    EXPECT_EQ(std::memcmp(want.data(), got.data(), got.size()), 0) << tensor.name;
  });
}

TEST(Merge, OfBlocksKeepsTypesKeysAndEveryOtherTensor) {
  for (const char* type : {"q8_0", "q4_0", "q4_k_m", "q6_k"}) {
    const Merged m(type);
    const auto base = m.base(), merged = m.merged();
    EXPECT_GT(m.report.error.relative(), 0) << type;
    EXPECT_LT(m.report.error.relative(), 0.2) << type;
    ASSERT_EQ(base.file().header().metadata.size(), merged.file().header().metadata.size());
    for (size_t i = 0; i < base.file().header().metadata.size(); ++i) {
      const auto &a = base.file().header().metadata[i], &b = merged.file().header().metadata[i];
      EXPECT_EQ(a.key, b.key);
      EXPECT_EQ(a.value.type, b.value.type) << a.key;
      EXPECT_EQ(a.value.bytes, b.value.bytes) << a.key;
    }
    spec::for_each_tensor(base.config(), [&](const spec::TensorSpec& tensor) {
      const auto before = base.tensor(tensor.name), after = merged.tensor(tensor.name);
      EXPECT_EQ(before.type, after.type) << tensor.name;
      const bool same = std::memcmp(before.bytes.data(), after.bytes.data(), after.bytes.size()) == 0;
      const bool adapted = tensor.name.find("layers.0.self_attn.k_proj") != std::string::npos ||
                           tensor.name.find("layers.1.mlp.experts.2.up_proj") != std::string::npos ||
                           tensor.name.find("layers.1.mlp.shared_experts.down_proj") != std::string::npos;
      EXPECT_EQ(same, !adapted) << type << " " << tensor.name;
    });
  }
}

TEST(Merge, RefusesWhatDoesNotFitAndLeavesNothing) {
  Merged m("q8_0");
  m.adapter.modules[0].module = "model.layers.9.self_attn.k_proj";
  EXPECT_THROW(merge_gguf(m.base(), m.scaled, m.folder / "none.gguf", {}, base::unsynced_files), base::Error);
  MergeOptions stop;
  stop.progress = [](uint64_t, uint64_t) { base::fail_invalid("test", "stopped", ""); };
  m.adapter.modules[0].module = "model.layers.0.self_attn.k_proj";
  EXPECT_THROW(merge_gguf(m.base(), m.scaled, m.folder / "none.gguf", stop, base::unsynced_files), base::Error);
  EXPECT_FALSE(base::fs::exists(m.folder / "none.gguf"));
}

}  // namespace
}  // namespace dsmoe::quantize
