// --adapter, `dsmoe merge` and `dsmoe export --adapter` as a user meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "apps/testing.h"
#include "base/error.h"
#include "formats/adapter_folder.h"
#include "formats/gguf.h"
#include "formats/npy.h"
#include "spec/adapter.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;

class AdapterCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    write_byte_model(folder_ / "model", 30);
    config_ = formats::ModelFolder::open(folder_ / "model").config();
    // of attention, and of routed experts with an even number
    base::Rng rng(2);
    spec::for_each_tensor(config_, [&](const spec::TensorSpec& tensor) {
      if (!spec::takes_adapter(tensor)) return;
      const std::string module = spec::module_of(tensor.name);
      const bool wanted = spec::target_names("attention", module) || spec::target_names("experts.2", module) ||
                          spec::target_names("experts.4.down_proj", module);
      if (!wanted) return;
      const int64_t rank = spec::target_names("experts.4", module) ? 1 : 2;
      formats::AdapterModule m{module, rank, tensor.shape[1], tensor.shape[0], rank == 1 ? 0.75 : 1.5, {}, {}};
      for (int64_t i = 0; i < rank * m.inputs; ++i) m.a.push_back(static_cast<float>(0.3 * rng.normal()));
      for (int64_t i = 0; i < rank * m.outputs; ++i) m.b.push_back(static_cast<float>(0.3 * rng.normal()));
      adapter_.modules.push_back(std::move(m));
    });
    adapter_.base_hash = formats::hash_of_weights(folder_ / "model");
    write("adapter", adapter_);
  }
  void write(const std::string& name, const formats::Adapter& adapter) {
    base::fs::create_directories(folder_ / name);
    formats::write_adapter(folder_ / name, adapter, base::unsynced_files);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::vector<float> logits(std::vector<std::string> model) {
    std::vector<std::string> words = {"logits", "--tokens", "65,66,7,200,9", "-o", path("out.npy"), "--force"};
    words.insert(words.end(), model.begin(), model.end());
    const Outcome result = run(words);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return formats::read_npy(path("out.npy")).values;
  }
  /// Largest difference, relative to the largest logit.
  static double apart(const std::vector<float>& a, const std::vector<float>& b) {
    EXPECT_EQ(a.size(), b.size());
    double worst = 0, largest = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      worst = std::max(worst, std::abs(double{a[i]} - b[i]));
      largest = std::max(largest, std::abs(double{a[i]}));
    }
    return worst / largest;
  }
  // An adapter's two products lengthen the chain that engine_bound counts; either side errs.
  double bound() const { return 2 * 3 * engine::testing::engine_bound(config_, 5); }

  base::TestFolder folder_;
  spec::ModelConfig config_;
  formats::Adapter adapter_;
};

TEST_F(AdapterCommands, UnmergedMergedAndBesideAFileAreOneModel) {
  const std::vector<float> base = logits({"-m", path("model")});
  const std::vector<float> unmerged = logits({"-m", path("model"), "--adapter", path("adapter")});
  EXPECT_GT(apart(unmerged, base), 0.05);
  EXPECT_EQ(logits({"-m", path("model"), "--adapter", path("adapter") + "=0"}), base);

  const Outcome merged =
      run({"merge", "-m", path("model"), "--adapter", path("adapter"), "-o", path("merged"), "--json"});
  EXPECT_EQ(merged.exit_code, 0) << merged.err;
  EXPECT_THAT(merged.out, HasSubstr("\"adapted_matrices\":"));
  EXPECT_TRUE(base::fs::exists(path("merged/tokenizer.json")));
  EXPECT_LE(apart(unmerged, logits({"-m", path("merged")})), bound());

  const Outcome exported =
      run({"export", "-m", path("model"), "--type", "f32", "--no-tokenizer", "-o", path("model.gguf")});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_LE(apart(unmerged, logits({"-m", path("model.gguf"), "--adapter", path("adapter")})), bound())
      << "rows of q and k lie in another order there";

  const Outcome in_file =
      run({"merge", "-m", path("model.gguf"), "--adapter", path("adapter"), "-o", path("both.gguf"), "--json"});
  EXPECT_EQ(in_file.exit_code, 0) << in_file.err;
  EXPECT_THAT(in_file.out, HasSubstr("\"adapted_matrices\":"));
  EXPECT_LE(apart(unmerged, logits({"-m", path("both.gguf")})), bound());
}

TEST_F(AdapterCommands, PartsAddUp) {
  const std::vector<float> whole = logits({"-m", path("model"), "--adapter", path("adapter")});
  const std::vector<float> halves =
      logits({"-m", path("model"), "--adapter", path("adapter") + "=0.25", "--adapter", path("adapter") + "=0.75"});
  EXPECT_LE(apart(whole, halves), bound());
}

TEST_F(AdapterCommands, RefuseWhatDoesNotBelong) {
  const auto message = [&](const std::string& adapter, int exit_code) {
    const Outcome result = run({"merge", "-m", path("model"), "--adapter", adapter, "-o", path("no")});
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_FALSE(base::fs::exists(path("no")));
    return result.err;
  };
  formats::Adapter other = adapter_;
  other.base_hash = "another";
  write("other_base", other);
  EXPECT_THAT(message(path("other_base"), 3), HasSubstr("trained with another"));
  other = adapter_;
  other.modules[0].module = "model.layers.8.self_attn.q_proj";
  write("other_model", other);
  EXPECT_THAT(message(path("other_model"), 3), HasSubstr("layers.8"));
  EXPECT_THAT(message(path("model"), 3), HasSubstr("adapter_config.json"));
  EXPECT_THAT(message(path("adapter") + "=much", 2), HasSubstr("DIR=SCALE"));
  const Outcome exported = run({"export", "-m", path("model"), "--no-tokenizer", "-o", path("model.gguf")});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  const Outcome file =
      run({"merge", "-m", path("model.gguf"), "--adapter", path("adapter"), "-o", path("no"), "--dtype", "f32"});
  EXPECT_EQ(file.exit_code, 2);
  EXPECT_THAT(file.err, HasSubstr("--dtype is for model folders"));
  EXPECT_THAT(run({"logits", "-m", path("adapter"), "--tokens", "1", "-o", path("no")}).err, HasSubstr("--adapter"));
}

TEST_F(AdapterCommands, ExportWritesWhatLlamaCppReads) {
  const Outcome result =
      run({"export", "-m", path("model"), "--adapter", path("adapter"), "-o", path("adapter.gguf"), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const formats::GgufFile file(path("adapter.gguf"));
  const auto* experts = file.find_tensor("blk.1.ffn_down_exps.weight.lora_a");
  ASSERT_NE(experts, nullptr);
  EXPECT_EQ(experts->shape(), (std::vector<int64_t>{6, 2, 10})) << "one rank, a place for every expert";
  const auto values = [&](const std::string& name) {
    const auto bytes = file.bytes(*file.find_tensor(name));
    std::vector<float> all(bytes.size() / sizeof(float));
    std::memcpy(all.data(), bytes.data(), bytes.size());
    return all;
  };
  const std::vector<float> a = values("blk.1.ffn_down_exps.weight.lora_a");
  const auto zero = [&](size_t begin, size_t end) {
    return std::all_of(a.begin() + std::ptrdiff_t(begin), a.begin() + std::ptrdiff_t(end),
                       [](float x) { return x == 0; });
  };
  EXPECT_TRUE(zero(0, 40) && zero(60, 80) && zero(90, 120)) << "experts without adapters, and a rank that is smaller";
  EXPECT_FALSE(zero(40, 60) || zero(80, 90));
  // The reader scales all by alpha / rank = 1.5; expert 4 wants half of that.
  const std::vector<float> b = values("blk.1.ffn_down_exps.weight.lora_b");
  const auto module =
      std::ranges::find(adapter_.modules, "model.layers.1.mlp.experts.4.down_proj", &formats::AdapterModule::module);
  EXPECT_FLOAT_EQ(b[4 * 24 * 2], module->b[0] * 0.5F);
  EXPECT_EQ(b[4 * 24 * 2 + 1], 0);
}

}  // namespace
}  // namespace dsmoe::apps
