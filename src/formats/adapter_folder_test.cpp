// Adapters as files: what is written comes back; what is broken or of another kind is refused by name.
#include "formats/adapter_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "formats/manifest.h"
#include "formats/safetensors_writer.h"
#include "formats/test_models.h"

namespace dsmoe::formats {
namespace {

namespace fs = base::fs;
using ::testing::HasSubstr;

AdapterModule module_of(const std::string& name, int64_t rank, int64_t inputs, int64_t outputs, double scale) {
  AdapterModule module{name, rank, inputs, outputs, scale, {}, {}};
  for (int64_t i = 0; i < rank * inputs; ++i) module.a.push_back(0.25F * static_cast<float>(i));
  for (int64_t i = 0; i < rank * outputs; ++i) module.b.push_back(-0.5F * static_cast<float>(i));
  return module;
}

class AdapterFolder : public ::testing::Test {
 protected:
  AdapterFolder() {
    adapter_.base_model = "somewhere/base";
    adapter_.base_hash = "0123";
    adapter_.modules = {module_of("model.layers.0.self_attn.q_proj", 2, 12, 12, 2),
                        module_of("model.layers.1.mlp.experts.3.up_proj", 3, 12, 6, 0.5)};
    write_adapter(folder_.path(), adapter_, base::unsynced_files);
  }
  base::Json config() const {
    return base::parse_json(base::read_file(folder_ / "adapter_config.json"), "adapter_config.json");
  }
  std::string message_with(const std::string& key, const base::Json& value) const {
    base::Json changed = config();
    changed[key] = value;
    base::write_file(folder_ / "adapter_config.json", base::dump_json(changed), base::unsynced_files);
    return base::message_of([&] { read_adapter(folder_.path()); });
  }
  base::TestFolder folder_{"adapter"};
  Adapter adapter_;
};

TEST_F(AdapterFolder, ComesBackAsItWasWritten) {
  EXPECT_TRUE(is_adapter(folder_.path()));
  const Adapter read = read_adapter(folder_.path());
  EXPECT_EQ(read.base_model, adapter_.base_model);
  EXPECT_EQ(read.base_hash, adapter_.base_hash);
  ASSERT_EQ(read.modules.size(), 2U);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read.modules[i].module, adapter_.modules[i].module);
    EXPECT_EQ(read.modules[i].rank, adapter_.modules[i].rank);
    EXPECT_EQ(read.modules[i].inputs, adapter_.modules[i].inputs);
    EXPECT_EQ(read.modules[i].outputs, adapter_.modules[i].outputs);
    EXPECT_DOUBLE_EQ(read.modules[i].scale, adapter_.modules[i].scale);
    EXPECT_EQ(read.modules[i].a, adapter_.modules[i].a);
    EXPECT_EQ(read.modules[i].b, adapter_.modules[i].b);
  }
}

TEST_F(AdapterFolder, IsWhatPeftReads) {
  const base::Json json = config();
  EXPECT_EQ(json["peft_type"], "LORA");
  EXPECT_EQ(json["r"], 2);
  EXPECT_EQ(json["lora_alpha"], 4.0);
  EXPECT_EQ(json["rank_pattern"], base::Json({{"model.layers.1.mlp.experts.3.up_proj", 3}}));
  EXPECT_EQ(json["alpha_pattern"], base::Json({{"model.layers.1.mlp.experts.3.up_proj", 1.5}}));
  const SafetensorsFile file(folder_ / "adapter_model.safetensors");
  EXPECT_TRUE(file.contains("base_model.model.model.layers.1.mlp.experts.3.up_proj.lora_B.weight"));
}

TEST_F(AdapterFolder, ReadsScalesAsPeftMeansThem) {
  base::Json changed = config();
  changed["use_rslora"] = true;
  changed["rank_pattern"] = {{"experts.3.up_proj", 3}};
  changed["alpha_pattern"] = {{"q_proj", 8}};
  base::write_file(folder_ / "adapter_config.json", base::dump_json(changed), base::unsynced_files);
  const Adapter read = read_adapter(folder_.path());
  EXPECT_DOUBLE_EQ(read.modules[0].scale, 8 / std::sqrt(2.0));
  EXPECT_DOUBLE_EQ(read.modules[1].scale, 4 / std::sqrt(3.0));
}

TEST_F(AdapterFolder, RefusesOtherKindsByName) {
  EXPECT_THAT(message_with("use_dora", true), HasSubstr("use_dora must be off"));
  write_adapter(folder_.path(), adapter_, base::unsynced_files);
  EXPECT_THAT(message_with("bias", "all"), HasSubstr("bias must be off"));
  write_adapter(folder_.path(), adapter_, base::unsynced_files);
  EXPECT_THAT(message_with("modules_to_save", {"lm_head"}), HasSubstr("modules_to_save must be off"));
  write_adapter(folder_.path(), adapter_, base::unsynced_files);
  EXPECT_THAT(message_with("peft_type", "IA3"), HasSubstr("peft_type must be LORA"));
  write_adapter(folder_.path(), adapter_, base::unsynced_files);
  EXPECT_THAT(message_with("r", 5), HasSubstr("ranks"));
  write_adapter(folder_.path(), adapter_, base::unsynced_files);
  EXPECT_THAT(message_with("rank_pattern", {{".*", 3}}), HasSubstr("regular expressions"));
}

TEST_F(AdapterFolder, RefusesTensorsWithoutTheirPairs) {
  const std::vector<std::byte> bytes(8);
  const auto message_of_tensors = [&](std::vector<std::string> names) {
    std::vector<NamedTensor> tensors;
    for (std::string& name : names) {
      tensors.push_back({"base_model.model.model.layers.0.self_attn.q_proj." + name, {Dtype::kF32, {2, 1}, bytes}});
    }
    write_safetensors(folder_ / "adapter_model.safetensors", tensors, {}, base::unsynced_files);
    return base::message_of([&] { read_adapter(folder_.path()); });
  };
  EXPECT_THAT(message_of_tensors({"lora_A.weight"}), HasSubstr("its lora_B"));
  EXPECT_THAT(message_of_tensors({"lora_B.weight"}), HasSubstr("lora_A and lora_B"));
  EXPECT_THAT(message_of_tensors({"lora_magnitude_vector"}), HasSubstr("lora_A and lora_B"));
  EXPECT_THAT(message_of_tensors({}), HasSubstr("must have tensors"));
}

TEST_F(AdapterFolder, FitsOrSaysWhichModuleDoesNot) {
  const spec::ModelConfig model = small_mixture();
  require_fits(adapter_, model, "x");
  const auto message = [&](const AdapterModule& module) {
    const Adapter other{"", "", {module}};
    return base::message_of([&] { require_fits(other, model, "x"); });
  };
  EXPECT_THAT(message(module_of("model.layers.9.self_attn.q_proj", 2, 12, 12, 1)), HasSubstr("layers.9"));
  EXPECT_THAT(message(module_of("model.layers.1.mlp.gate", 2, 12, 4, 1)), HasSubstr("mlp.gate is none"));
  EXPECT_THAT(message(module_of("model.layers.0.self_attn.q_proj", 2, 12, 14, 1)), HasSubstr("14 x 12"));
}

TEST(HashOfWeights, NamesTheWeightsWhateverElseIsInTheFolder) {
  const base::TestFolder folder("hash_of_weights");
  const auto make = [&](const char* name, uint64_t seed) {
    fs::create_directories(folder / name);
    ModelFolderWriter writer(folder / name, small_mixture(), {.dtype = Dtype::kF32}, base::unsynced_files);
    spec::for_each_tensor(small_mixture(), [&](const spec::TensorSpec& tensor) {
      std::vector<float> values(static_cast<size_t>(tensor.numel()));
      initial_values(tensor, small_mixture(), seed, 0, values);
      writer.append_f32(values);
    });
    writer.finish();
    return hash_of_weights(folder / name);
  };
  const std::string one = make("one", 1);
  EXPECT_EQ(make("again", 1), one);
  EXPECT_NE(make("two", 2), one);
  base::write_file(folder / "one" / "notes.txt", "x", base::unsynced_files);
  write_manifest(folder / "one", {}, base::unsynced_files);
  EXPECT_EQ(hash_of_weights(folder / "one"), one) << "the manifest's checksums are the same";
  const Adapter adapter{"base", one, {}};
  require_base(adapter, one, "x");
  require_base(adapter, "", "x");
  EXPECT_THAT(base::message_of([&] { require_base(adapter, make("three", 3), "x"); }), HasSubstr("trained with"));
}

}  // namespace
}  // namespace dsmoe::formats
