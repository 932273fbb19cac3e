// What a run needs is compared with what there is, and a base that stays in its file counts too.
#include "train/memory_need.h"

#include <gtest/gtest.h>

#include "formats/test_gguf_models.h"
#include "spec/counts.h"

namespace dsmoe::train {
namespace {

TEST(MemoryNeed, CountsTheFileOfABase) {
  const base::TestFolder folder;
  spec::RunConfig config;
  config.model = formats::small_mixture();
  config.train.lora_rank = 4;
  config.train.sequence_length = 16;
  formats::write_gguf_model(folder / "base.gguf", config.model);
  const formats::GgufModel file = formats::GgufModel::open(folder / "base.gguf");
  const auto beside =
      static_cast<uint64_t>(spec::training_bytes(config.model, config.train, spec::BaseWeights::kInFile).total());
  const auto whole = static_cast<uint64_t>(spec::training_bytes(config.model, config.train).total());
  const uint64_t size = file.file().size();

  EXPECT_NO_THROW(require_memory(config, whole));
  EXPECT_THROW(require_memory(config, whole - 1), base::Error);
  EXPECT_NO_THROW(require_memory(config, beside + size, 1, &file));
  const std::string message = base::message_of([&] { require_memory(config, beside + size - 1, 1, &file); });
  EXPECT_NE(message.find("of it the base's file"), message.npos) << message;
  EXPECT_NO_THROW(require_memory(config, 2 * beside + size, 2, &file)) << "mapped once for both";
}

// Nothing of the base but norms and routers is in memory: of a large model hardly more than adapters and one FFN.
TEST(MemoryNeed, LeavesTheBaseInItsFile) {
  spec::ModelConfig config = formats::small_mixture();
  config.vocab_size = 100'000;
  config.hidden_size = 2048;
  config.num_attention_heads = config.num_key_value_heads = 16;
  config.n_routed_experts = 64;
  config.moe_intermediate_size = 1408;
  config.intermediate_size = 8192;
  spec::TrainConfig train;
  train.lora_rank = 8;
  train.lora_targets = "attention";
  const spec::TrainingBytes in_memory = spec::training_bytes(config, train),
                            in_file = spec::training_bytes(config, train, spec::BaseWeights::kInFile);
  EXPECT_EQ(in_file.gradients, in_memory.gradients);
  EXPECT_EQ(in_file.moments, in_memory.moments);
  EXPECT_LT(in_file.master_weights, in_memory.master_weights / 100);
  EXPECT_LT(in_file.compute_weights, in_memory.compute_weights / 20);
}

}  // namespace
}  // namespace dsmoe::train
