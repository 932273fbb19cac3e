// Files through the engine: a GGUF file of floats gives the folder's own bits, a quantised one what its weights mean.
#include "engine/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "engine/reference.h"
#include "formats/test_models.h"
#include "quantize/in_memory.h"

namespace dsmoe::quantize {
namespace {

using std::string;

ExportOptions options_of(const char* type) {
  ExportOptions options;
  options.recipe = recipe_named(type);
  return options;
}

std::vector<int32_t> some_ids(const spec::ModelConfig& config, size_t count = 12) {
  base::Rng rng(5);
  std::vector<int32_t> ids;
  while (ids.size() < count) ids.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(config.vocab_size))));
  return ids;
}

std::vector<float> logits(engine::Engine engine, std::span<const int32_t> ids) {
  engine::Session session(engine);
  const auto all = session.append_all(ids);
  return {all.begin(), all.end()};
}

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b, const string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << what;
}

double relative_distance(std::span<const float> got, std::span<const double> want) {
  double error = 0, size = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  return std::sqrt(error / size);
}

TEST(EngineOfGguf, FloatFilesGiveTheFoldersBits) {
  const base::TestFolder folder("gguf_engine");
  for (spec::ModelConfig config : formats::models_of_every_kind()) {
    config.initializer_range = 0.2;  // large enough that a wrong order of rows changes every logit
    for (const auto& [dtype, type] :
         {std::pair{formats::Dtype::kF32, "f32"}, {formats::Dtype::kBf16, "bf16"}, {formats::Dtype::kF16, "f16"}}) {
      base::fs::remove_all(folder / "m");
      formats::write_model(folder / "m", config, {.dtype = dtype});
      export_gguf(formats::ModelFolder::open(folder / "m"), folder / "f.gguf", options_of(type), base::unsynced_files);
      const auto ids = some_ids(config);
      expect_same_bits(logits(engine::Engine::load(folder / "m"), ids),
                       logits(engine::Engine::load(folder / "f.gguf"), ids), type);
    }
  }
}

// Widths for every block type; every expert is picked, so that rounding cannot change the choice.
spec::ModelConfig wide(bool moe) {
  spec::ModelConfig c = moe ? formats::small_mixture() : formats::small_dense();
  c.hidden_size = 256;
  c.num_attention_heads = 4;
  c.num_key_value_heads = 2;
  c.intermediate_size = 288;
  c.initializer_range = 0.1;
  if (moe) {
    c.moe_intermediate_size = 64;
    c.num_experts_per_tok = c.n_routed_experts;
  }
  return c;
}

// A block of 32 activations of about normal distribution has its largest near 2.1 deviations, so rounding to 1/127 of
// that leaves 2.1 / 127 / sqrt(12) = 0.5 % of a product; some eight products in a row add up to 1.4 %, and 4 % is a
// wide bound for these. A wrong scale, row or half of a block costs far more.
TEST(EngineOfGguf, QuantisedFilesGiveWhatTheirWeightsMean) {
  const base::TestFolder folder("gguf_engine_q");
  for (const bool moe : {false, true}) {
    const spec::ModelConfig config = wide(moe);
    base::fs::remove_all(folder / "m");
    formats::write_model(folder / "m", config, {.dtype = formats::Dtype::kF32});
    const auto model = formats::ModelFolder::open(folder / "m");
    const auto ids = some_ids(config);
    for (const Recipe& recipe : recipes()) {
      const string type(recipe.name);
      export_gguf(model, folder / "f.gguf", options_of(type.c_str()), base::unsynced_files);
      engine::Engine engine = engine::Engine::load(folder / "f.gguf", {.threads = 1});
      const auto want = engine::reference_forward(engine.weights(), ids, {});
      const auto got = logits(std::move(engine), ids);
      EXPECT_LT(relative_distance(got, want.logits_TV), 0.04) << type << (moe ? " moe" : " dense");
      expect_same_bits(logits(engine::Engine::load(folder / "f.gguf", {.threads = 3, .chunk = 7}), ids), got,
                       type + " by threads and chunks");
    }
  }
}

// Past a span's border, where heads are attended in parts, and before it; heads that are whole blocks of int8, which
// are rounded one by one, and heads that are not.
TEST(EngineOfGguf, QuantisedModelsHaveTheSameBitsBehindLongContexts) {
  const base::TestFolder folder("gguf_engine_long");
  for (const int64_t heads : {4, 16}) {
    spec::ModelConfig config = wide(true);
    config.num_attention_heads = heads;
    config.max_position_embeddings = 600;
    base::fs::remove_all(folder / "m");
    formats::write_model(folder / "m", config, {.dtype = formats::Dtype::kF32});
    export_gguf(formats::ModelFolder::open(folder / "m"), folder / "f.gguf", options_of("q4_0"), base::unsynced_files);
    const auto ids = some_ids(config, 530);
    const auto want = logits(engine::Engine::load(folder / "f.gguf", {.threads = 1}), ids);
    for (const int threads : {1, 2, 3}) {
      engine::Engine engine = engine::Engine::load(folder / "f.gguf", {.threads = threads});
      engine::Session session(engine);
      session.append(std::span(ids).first(490));
      const auto V = static_cast<size_t>(config.vocab_size);
      for (size_t t = 490; t < ids.size(); ++t) {
        const auto last = session.append(std::span(ids).subspan(t, 1));
        ASSERT_EQ(std::memcmp(last.data(), want.data() + t * V, V * sizeof(float)), 0) << heads << " heads, " << t;
      }
    }
  }
}

TEST(EngineOfGguf, QuantisedAsItIsOpenedIsTheFile) {
  const base::TestFolder folder("gguf_engine_memory");
  const spec::ModelConfig config = wide(true);
  formats::write_model(folder / "m", config);
  const auto model = formats::ModelFolder::open(folder / "m");
  export_gguf(model, folder / "f.gguf", options_of("q4_k_m"), base::unsynced_files);
  engine::Engine in_memory(engine::Weights::from_gguf(quantised_in_memory(model, options_of("q4_k_m"))), {});
  const auto ids = some_ids(config);
  expect_same_bits(logits(std::move(in_memory), ids), logits(engine::Engine::load(folder / "f.gguf"), ids), "q4_k_m");
  EXPECT_EQ(folder.count(), 2u) << "nothing else on the disk";
}

TEST(EngineOfGguf, AModelLargerThanMemoryIsRefusedWithBothFigures) {
  EXPECT_NO_THROW(engine::require_memory(100, 100, "m"));
  const string message = base::message_of([] { engine::require_memory(32'751'456'256, 25'000'000'000, "m"); });
  for (const char* part : {"32751456256", "25000000000", "-q q4_0"}) {
    EXPECT_NE(message.find(part), string::npos) << message;
  }
}

}  // namespace
}  // namespace dsmoe::quantize
