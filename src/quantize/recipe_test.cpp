// Which tensor gets which type: llama.cpp's choices, restated from its documentation by hand for a few models.
#include "quantize/recipe.h"

#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "kernels/blocks.h"

namespace dsmoe::quantize {
namespace {

using formats::GgufType;
using std::string;

// The published 16B.
spec::ModelConfig sixteen_b() {
  spec::ModelConfig c;
  c.vocab_size = 102400;
  c.hidden_size = 2048;
  c.num_hidden_layers = 28;
  c.num_attention_heads = c.num_key_value_heads = 16;
  c.intermediate_size = 10944;
  c.max_position_embeddings = 4096;
  c.n_routed_experts = 64;
  c.n_shared_experts = 2;
  c.num_experts_per_tok = 6;
  c.moe_intermediate_size = 1408;
  c.first_k_dense_replace = 1;
  return c;
}

std::map<string, GgufType> types_of(const char* recipe, const spec::ModelConfig& config, bool pure = false) {
  std::map<string, GgufType> types;
  for (const auto& plan : formats::gguf_tensors(config)) {
    types[plan.name] = type_for(recipe_named(recipe), pure, plan, config);
  }
  return types;
}

TEST(Recipe, NormsAndRoutersStayFloats) {
  for (const Recipe& recipe : recipes()) {
    const auto types = types_of(string(recipe.name).c_str(), sixteen_b());
    for (const char* name :
         {"output_norm.weight", "blk.0.attn_norm.weight", "blk.3.ffn_norm.weight", "blk.3.ffn_gate_inp.weight"}) {
      EXPECT_EQ(types.at(name), GgufType::kF32) << recipe.name << ' ' << name;
    }
  }
}

TEST(Recipe, RowsThatAreNoMultipleOf256FallBack) {
  const auto q4 = types_of("q4_k_m", sixteen_b());
  EXPECT_EQ(q4.at("blk.1.ffn_gate_exps.weight"), GgufType::kQ4K);
  EXPECT_EQ(q4.at("blk.5.ffn_down_exps.weight"), GgufType::kQ8_0) << "Q6_K there, but rows of 1408";
  EXPECT_EQ(q4.at("blk.4.ffn_down_exps.weight"), GgufType::kQ5_0) << "Q4_K there, but rows of 1408";
  EXPECT_EQ(q4.at("blk.5.ffn_down_shexp.weight"), GgufType::kQ6K) << "rows of 2816 are eleven times 256";
  EXPECT_EQ(q4.at("blk.0.ffn_down.weight"), GgufType::kQ8_0) << "rows of 10944";
  EXPECT_EQ(types_of("q5_k_s", sixteen_b()).at("blk.4.ffn_down_exps.weight"), GgufType::kQ5_1);
  EXPECT_EQ(types_of("q6_k", sixteen_b()).at("blk.4.ffn_down_exps.weight"), GgufType::kQ8_0);
  spec::ModelConfig odd = sixteen_b();
  odd.moe_intermediate_size = 40;
  EXPECT_EQ(types_of("q4_0", odd).at("blk.4.ffn_down_exps.weight"), GgufType::kF16);
}

// Layers 0-2 and 24-27 of 28, and every third between from 5 on: (layer - 3) % 3 == 2.
TEST(Recipe, TheMixtureGivesSomeLayersMoreBits) {
  const auto types = types_of("q4_k_m", sixteen_b());
  const std::map<int, bool> more = {{0, true}, {2, true},  {3, false}, {4, false},  {5, true},  {6, false},
                                    {8, true}, {11, true}, {23, true}, {22, false}, {24, true}, {27, true}};
  for (const auto& [layer, wanted] : more) {
    const string prefix = "blk." + std::to_string(layer) + ".";
    EXPECT_EQ(types.at(prefix + "attn_v.weight"), wanted ? GgufType::kQ6K : GgufType::kQ4K) << layer;
    EXPECT_EQ(types.at(prefix + "attn_q.weight"), GgufType::kQ4K);
    EXPECT_EQ(types.at(prefix + "attn_output.weight"), GgufType::kQ4K);
  }
  EXPECT_EQ(types.at("output.weight"), GgufType::kQ6K);
  EXPECT_EQ(types.at("token_embd.weight"), GgufType::kQ4K);
  const auto small = types_of("q4_k_s", sixteen_b());
  EXPECT_EQ(small.at("blk.3.attn_v.weight"), GgufType::kQ5K);
  EXPECT_EQ(small.at("blk.4.attn_v.weight"), GgufType::kQ4K);
  EXPECT_EQ(small.at("blk.2.ffn_down_shexp.weight"), GgufType::kQ5K);
  EXPECT_EQ(small.at("blk.3.ffn_down_shexp.weight"), GgufType::kQ4K);
}

TEST(Recipe, PlainOnesAndPureOnes) {
  const auto plain = types_of("q4_0", sixteen_b());
  EXPECT_EQ(plain.at("output.weight"), GgufType::kQ6K);
  EXPECT_EQ(plain.at("token_embd.weight"), GgufType::kQ4_0);
  EXPECT_EQ(plain.at("blk.27.ffn_down_exps.weight"), GgufType::kQ4_0);
  EXPECT_EQ(types_of("q8_0", sixteen_b()).at("output.weight"), GgufType::kQ8_0);
  for (const auto& [name, type] : types_of("q4_0", sixteen_b(), true)) {
    EXPECT_TRUE(type == GgufType::kQ4_0 || type == GgufType::kF32) << name;
  }
  for (const auto& [name, type] : types_of("bf16", sixteen_b())) {
    EXPECT_TRUE(type == GgufType::kBf16 || type == GgufType::kF32) << name;
  }
}

TEST(Recipe, EightExpertsLeaveAttentionMoreBits) {
  spec::ModelConfig c = sixteen_b();
  c.n_routed_experts = 8;
  const auto types = types_of("q4_k_m", c);
  EXPECT_EQ(types.at("blk.4.attn_v.weight"), GgufType::kQ8_0);
  EXPECT_EQ(types.at("blk.4.attn_k.weight"), GgufType::kQ8_0);
  EXPECT_EQ(types.at("blk.4.attn_output.weight"), GgufType::kQ5K);
}

TEST(Recipe, NamesInAnyCaseAndTheNearest) {
  EXPECT_EQ(recipe_named("Q4_K_M").name, "q4_k_m");
  EXPECT_EQ(recipe_named("q4_k").name, "q4_k_m");
  EXPECT_EQ(recipe_named("Q5_K").name, "q5_k_m");
  try {
    recipe_named("q4_k_n");
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kUsage);
    EXPECT_NE(string(error.what()).find("did you mean q4_k_"), string::npos) << error.what();
  }
}

// Two rooms state the sizes of blocks, and neither may include the other.
TEST(Recipe, BlocksHaveTheSizesThatTheFormatSays) {
  const std::map<GgufType, kernels::BlockType> types = {
      {GgufType::kQ8_0, kernels::BlockType::kQ8_0}, {GgufType::kQ4_0, kernels::BlockType::kQ4_0},
      {GgufType::kQ4_1, kernels::BlockType::kQ4_1}, {GgufType::kQ5_0, kernels::BlockType::kQ5_0},
      {GgufType::kQ5_1, kernels::BlockType::kQ5_1}, {GgufType::kQ4K, kernels::BlockType::kQ4K},
      {GgufType::kQ5K, kernels::BlockType::kQ5K},   {GgufType::kQ6K, kernels::BlockType::kQ6K}};
  for (const auto& [type, block] : types) {
    EXPECT_EQ(formats::gguf_type_info(type).block_values, kernels::block_values(block));
    EXPECT_EQ(formats::gguf_type_info(type).block_bytes, kernels::block_bytes(block));
  }
  EXPECT_EQ(types.size(), static_cast<size_t>(kernels::kBlockTypes));
}

}  // namespace
}  // namespace dsmoe::quantize
