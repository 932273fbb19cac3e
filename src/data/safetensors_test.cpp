#include <gtest/gtest.h>
#include "base/rng.h"
#include "data/model_folder.h"
#include "data/model_folder_writer.h"
namespace dsmoe::data {
namespace {
TEST(ModelFolder, TinyRoundTrip) {
  spec::ModelConfig c;
  c.vocab_size = 64;
  c.hidden_size = 16;
  c.num_hidden_layers = 2;
  c.intermediate_size = 24;
  c.n_routed_experts = 4;
  c.n_shared_experts = 1;
  c.num_experts_per_tok = 2;
  c.moe_intermediate_size = 8;
  c.first_k_dense_replace = 1;
  for (uint64_t shard : {uint64_t{5000}, uint64_t{1} << 40}) {
    const base::fs::path path = base::fs::path(testing::TempDir()) / "tiny_model";
    base::fs::remove_all(path);
    base::FolderWriter folder(path);
    ModelFolderWriter w(folder.path(), c, {.dtype = Dtype::kF32, .shard_bytes = shard});
    spec::for_each_tensor(
        c, [&](const spec::TensorSpec& t) { w.append_f32(std::vector<float>(static_cast<size_t>(t.numel()), 1.5f)); });
    w.finish();
    folder.commit();
    const auto m = ModelFolder::open(path);
    EXPECT_EQ(m.config(), c);
    EXPECT_EQ(m.read_f32("model.norm.weight"), std::vector<float>(16, 1.5f));
    EXPECT_TRUE(m.verify());
  }
}
}  // namespace
}  // namespace dsmoe::data
