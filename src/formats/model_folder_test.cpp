// Model folders: what is written is read, and what is no model or a broken one is refused by name.
#include "formats/model_folder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "base/json.h"
#include "base/rng.h"
#include "formats/config_json.h"
#include "formats/test_models.h"

namespace dsmoe::formats {
namespace {

namespace fs = base::fs;
using base::message_of;
using std::string;

class ModelFolderTest : public testing::Test {
 protected:
  // The line with which opening fails.
  string refusal(const fs::path& path) const {
    return message_of([&] { ModelFolder::open(path); });
  }
  base::Json index() const { return base::parse_json(base::read_file(model_ / string(kIndexFile)), "index"); }
  void write(const string& name, const string& text) const {
    base::write_file(model_ / name, text, base::unsynced_files);
  }
  void write_index(const base::Json& json) const { write(string(kIndexFile), base::dump_json(json)); }
  // Writes the model again as one file, with its list of tensors edited.
  void rewrite(const std::function<void(std::vector<NamedTensor>&)>& edit) const {
    fs::remove_all(model_);
    write_model(model_, small_mixture(), {.dtype = Dtype::kF32});
    const fs::path path = model_ / string(kSingleFile);
    {
      const SafetensorsFile file(path);
      std::vector<NamedTensor> tensors;
      for (const TensorEntry& entry : file.entries()) tensors.push_back({entry.name, file.view(entry)});
      edit(tensors);
      write_safetensors(model_ / "edited", std::move(tensors), {}, base::unsynced_files);
    }
    fs::rename(model_ / "edited", path);
  }

  base::TestFolder folder_{"model_folder"};
  fs::path model_ = folder_ / "model";
};

#define EXPECT_REFUSED(words)                                         \
  do {                                                                \
    const string line = refusal(model_);                              \
    EXPECT_NE(line.find(words), string::npos) << line;                \
    EXPECT_EQ(line.find('\n'), string::npos) << "one line: " << line; \
  } while (false)

TEST_F(ModelFolderTest, EveryKindOfModelComesBack) {
  for (const spec::ModelConfig& config : models_of_every_kind()) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
      for (const uint64_t shard_bytes : {uint64_t{3000}, uint64_t{1} << 40}) {
        fs::remove_all(model_);
        write_model(model_, config, {.dtype = dtype, .shard_bytes = shard_bytes});
        const ModelFolder model = ModelFolder::open(model_);
        EXPECT_EQ(model.config(), config);
        EXPECT_EQ(model.dtype(), dtype);
        EXPECT_EQ(fs::exists(model_ / string(kSingleFile)), shard_bytes > 3000);
        EXPECT_TRUE(model.verify());
        uint64_t bytes = 0;
        spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
          const TensorView view = model.tensor(tensor.name);
          EXPECT_EQ(view.shape, tensor.shape);
          EXPECT_EQ(view.dtype, stored_dtype(tensor, dtype));
          bytes += view.bytes.size();
          if (tensor.role == spec::TensorRole::kHashTable) {
            EXPECT_EQ(model.read_hash_table(tensor.name), initial_hash_table(config, 1));
            return;
          }
          std::vector<float> wanted(static_cast<size_t>(tensor.numel()));
          initial_values(tensor, config, 1, 0, wanted);
          std::vector<std::byte> stored(view.bytes.size());
          from_f32(wanted, view.dtype, stored);
          EXPECT_EQ(base::as_text(view.bytes), base::as_text(stored)) << tensor.name;
          to_f32(view.dtype, stored, wanted);
          EXPECT_EQ(model.read_f32(tensor.name), wanted) << tensor.name;
        });
        EXPECT_EQ(model.total_size(), bytes);
        ASSERT_FALSE(HasFailure()) << base::dump_json(model.config_json());
      }
    }
  }
}

TEST_F(ModelFolderTest, ShardsAreFullButNotTooFull) {
  write_model(model_, small_mixture(), {.dtype = Dtype::kF32, .shard_bytes = 3000});
  const base::Json json = index();
  std::set<string> files;
  for (const auto& [name, file] : json["weight_map"].items()) files.insert(file.get<string>());
  const size_t count = files.size();
  ASSERT_GT(count, 3u);
  size_t number = 0;
  uint64_t total = 0;
  for (const string& file : files) {
    char wanted[64];
    std::snprintf(wanted, sizeof wanted, "model-%05zu-of-%05zu.safetensors", ++number, count);
    EXPECT_EQ(file, wanted);
    const SafetensorsFile shard(model_ / file);
    EXPECT_TRUE(shard.data_size() <= 3000 || shard.entries().size() == 1);
    total += shard.data_size();
  }
  EXPECT_EQ(json["metadata"]["total_size"], total);
}

TEST_F(ModelFolderTest, WhatIsNoModelGetsAHint) {
  EXPECT_REFUSED("no such folder");
  base::write_file(model_, "text");
  EXPECT_REFUSED("not a folder");
  fs::remove(model_);
  fs::create_directory(model_);
  EXPECT_REFUSED("has no config.json; a model folder has config.json and model.safetensors");
  write("train.idx", "");
  EXPECT_REFUSED("this is a corpus");
  write("metrics.jsonl", "");
  fs::remove(model_ / "train.idx");
  EXPECT_REFUSED("has no checkpoint yet");
  fs::create_directory(model_ / "snapshots");
  EXPECT_REFUSED("name one folder in snapshots/");
  write("config.json", "{}");
  EXPECT_REFUSED("needs model.safetensors or model.safetensors.index.json");
  write("pytorch_model.bin", "");
  EXPECT_REFUSED("can run code");
  write(string(kSingleFile), "");
  EXPECT_REFUSED("lacks the key \"model_type\"");
  const fs::path gguf = folder_ / "m.gguf";
  base::write_file(gguf, "GGUF");
  EXPECT_NE(refusal(gguf).find("GGUF"), string::npos);
}

TEST_F(ModelFolderTest, AnAdapterBesideTheWeightsIsNotPassedOver) {
  for (const char* name : {"adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"}) {
    fs::remove_all(model_);
    write_model(model_, small_dense());
    write(name, "{}");
    EXPECT_REFUSED(string("an adapter must be merged into the weights: ") + (model_ / name).string());
    fs::remove(model_ / "config.json");
    EXPECT_REFUSED("an adapter must be merged");
  }
}

TEST_F(ModelFolderTest, IndexCasesAreRefusedByName) {
  write_model(model_, small_mixture(), {.dtype = Dtype::kF32, .shard_bytes = 3000});
  const base::Json good = index();
  const string name = "model.norm.weight", file = good["weight_map"][name].get<string>();
  const auto with_file = [&](const base::Json& value) {
    base::Json bad = good;
    bad["weight_map"][name] = value;
    write_index(bad);
  };
  for (const char* path : {"../x.safetensors", "/etc/passwd", "a/b.safetensors", "..", ".", "", "a\\b"}) {
    with_file(path);
    EXPECT_REFUSED("must name plain files of the folder");
  }
  with_file(string("a\0b", 3));
  EXPECT_REFUSED("must name plain files of the folder");
  with_file(7);
  EXPECT_REFUSED("must name files");
  with_file("gone.safetensors");
  EXPECT_REFUSED("a shard is missing");
  with_file(good["weight_map"]["model.embed_tokens.weight"]);
  EXPECT_REFUSED("not in the shard that the index names");

  base::Json bad = good;
  bad["weight_map"]["model.extra.weight"] = file;
  write_index(bad);
  EXPECT_REFUSED("not in the shard that the index names");
  bad = good;
  bad["weight_map"].erase(name);
  write_index(bad);
  EXPECT_REFUSED("a shard holds a tensor that the index does not name");
  bad = good;
  bad["metadata"]["total_size"] = good["metadata"]["total_size"].get<uint64_t>() + 4;
  write_index(bad);
  EXPECT_REFUSED("total_size differs");
  bad["metadata"]["total_size"] = "many";
  write_index(bad);
  EXPECT_REFUSED("total_size differs");
  bad = good;
  bad["weight_map"] = base::Json::array();
  write_index(bad);
  EXPECT_REFUSED("weight_map must be an object");
  bad.erase("weight_map");
  write_index(bad);
  EXPECT_REFUSED("lacks the key \"weight_map\"");
  write(string(kIndexFile), "{\"weight_map\":{\"a\":\"x\",\"a\":\"x\"}}");
  EXPECT_REFUSED("has a key twice");
  write(string(kIndexFile), "{");
  EXPECT_REFUSED("not valid JSON");

  // a tensor in two shards: the index can name only one of them
  write_index(good);
  EXPECT_EQ(refusal(model_), "(no error)");
  const float value[12] = {};
  write_safetensors(model_ / "more.safetensors", {{name, {Dtype::kF32, {12}, std::as_bytes(std::span(value))}},
                                                  {"more", {Dtype::kF32, {}, std::as_bytes(std::span(value, 1))}}});
  bad = good;
  bad["weight_map"]["more"] = "more.safetensors";
  write_index(bad);
  EXPECT_REFUSED("a tensor is in two shards");
  fs::remove(model_ / file);
  write_index(good);
  EXPECT_REFUSED("a shard is missing");
}

TEST_F(ModelFolderTest, TotalSizeAsOldWritersStoredIt) {
  write_model(model_, small_mixture(), {.shard_bytes = 3000});
  base::Json json = index();
  json["metadata"]["total_size"] = json["metadata"]["total_size"].get<double>();
  write_index(json);
  EXPECT_EQ(refusal(model_), "(no error)");
  json.erase("metadata");
  write_index(json);
  EXPECT_EQ(refusal(model_), "(no error)");
}

TEST_F(ModelFolderTest, TensorsMustBeExactlyTheModels) {
  const auto find = [](std::vector<NamedTensor>& tensors, const string& name) -> NamedTensor& {
    for (NamedTensor& each : tensors) {
      if (each.name == name) return each;
    }
    throw std::out_of_range(name);
  };
  rewrite([](auto& tensors) { tensors.erase(tensors.begin()); });
  EXPECT_REFUSED("a tensor is missing");
  rewrite([&](auto& tensors) { find(tensors, "model.norm.weight").name = "model.norm.wieght"; });
  EXPECT_REFUSED("a tensor is missing");
  EXPECT_REFUSED("the folder has \"model.norm.wieght\"");
  rewrite([&](auto& tensors) { tensors.push_back({"extra", find(tensors, "model.norm.weight").tensor}); });
  EXPECT_REFUSED("does not belong to the model");
  rewrite([&](auto& tensors) {
    tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", find(tensors, "model.norm.weight").tensor});
  });
  EXPECT_REFUSED("(no error)");
  rewrite([&](auto& tensors) { find(tensors, "model.layers.1.self_attn.k_proj.weight").tensor.shape = {12, 6}; });
  EXPECT_REFUSED("k_proj.weight is [12, 6], wanted [6, 12]");
  rewrite([&](auto& tensors) { find(tensors, "model.layers.1.mlp.gate.weight").tensor.dtype = Dtype::kI32; });
  EXPECT_REFUSED("a weight must be BF16, F16, F32 or F64");
}

TEST_F(ModelFolderTest, ADescriptionOfFarMoreThanTheFilesIsRefusedByCounting) {
  write_model(model_, small_mixture(), {.dtype = Dtype::kF32});
  spec::ModelConfig claimed = small_mixture();
  claimed.num_hidden_layers = 100;
  claimed.n_routed_experts = 65536;
  write("config.json", base::dump_json(config_to_json(claimed, Dtype::kF32)));
  EXPECT_REFUSED("must have room for the parameters it describes");
}

TEST_F(ModelFolderTest, HashTablesMustHoldExperts) {
  const spec::ModelConfig config = small_hash();
  for (const int32_t id : {4, -1}) {
    fs::remove_all(model_);
    base::FolderWriter folder(model_, base::unsynced_files);
    ModelFolderWriter writer(folder.path(), config, {.dtype = Dtype::kF32}, base::unsynced_files);
    spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
      const auto count = static_cast<size_t>(tensor.numel());
      if (tensor.role == spec::TensorRole::kHashTable) return writer.append_i32(std::vector<int32_t>(count, id));
      writer.append_f32(std::vector<float>(count));
    });
    writer.finish();
    folder.commit();
    EXPECT_REFUSED("expert ids below n_routed_experts");
  }
}

TEST_F(ModelFolderTest, AFolderOfHuggingFacesCache) {
  write_model(folder_ / "blobs", small_mixture(), {.shard_bytes = 3000});
  fs::create_directories(folder_ / "snapshots/0123abc");
  for (const auto& file : fs::directory_iterator(folder_ / "blobs")) {
    fs::create_symlink("../../blobs/" + file.path().filename().string(),
                       folder_ / "snapshots/0123abc" / file.path().filename());
  }
  EXPECT_EQ(ModelFolder::open(folder_ / "snapshots/0123abc").config(), small_mixture());
}

TEST_F(ModelFolderTest, TokenizerFilesFurtherKeysAndCardAreTakenOver) {
  fs::create_directory(folder_ / "tokenizer");
  base::write_file(folder_ / "tokenizer/tokenizer.json", "{\"t\": 1}");
  base::write_file(folder_ / "tokenizer/other.txt", "not taken");
  write_model(model_, small_mixture(),
              {.further_keys = {{"aux_loss_alpha", 0.001}, {"seq_aux", true}},
               .tokenizer_from = folder_ / "tokenizer",
               .card = "mine\n"});
  EXPECT_EQ(base::read_file(model_ / "tokenizer.json"), "{\"t\": 1}");
  EXPECT_EQ(base::read_file(model_ / "README.md"), "mine\n");
  EXPECT_FALSE(fs::exists(model_ / "other.txt"));
  const ModelFolder model = ModelFolder::open(model_);
  EXPECT_EQ(model.config_json()["aux_loss_alpha"], 0.001);
  EXPECT_EQ(model.config_json()["seq_aux"], true);
  const base::Json generation = base::parse_json(base::read_file(model_ / "generation_config.json"), "generation");
  EXPECT_EQ(generation["eos_token_id"], 1);
}

TEST_F(ModelFolderTest, EveryFailingCallLeavesNothing) {
  for (const bool forever : {false, true}) {
    int failures = 0;
    for (int k = 1;; ++k) {
      base::FailingFiles files(k, forever);
      try {
        write_model(model_, small_mixture(), {.shard_bytes = 3000}, files);
      } catch (const base::Error& error) {
        EXPECT_EQ(error.kind(), base::ErrorKind::kIo);
        EXPECT_NE(string(error.what()).find("No space left"), string::npos) << error.what();
      }
      if (fs::exists(model_)) {
        EXPECT_EQ(refusal(model_), "(no error)") << "whole under its name, at call " << k;
        EXPECT_TRUE(ModelFolder::open(model_).verify());
      } else {
        EXPECT_EQ(folder_.count(), 0u) << "nothing half-written at call " << k;
      }
      fs::remove_all(model_);
      if (!files.failed()) break;
      ++failures;
    }
    EXPECT_GT(failures, 20);
  }
}

TEST_F(ModelFolderTest, WriterRefusesImpossibleModels) {
  spec::ModelConfig crumbs = small_mixture();
  crumbs.num_hidden_layers = 100;
  crumbs.n_routed_experts = 65536;
  crumbs.moe_intermediate_size = 1;
  crumbs.hidden_size = 4;
  EXPECT_NE(message_of([&] { ModelFolderWriter writer(folder_.path(), crumbs); }).find("more tensors than this"),
            string::npos);
  spec::ModelConfig config = small_mixture();
  config.num_experts_per_tok = 5;
  EXPECT_NE(message_of([&] { ModelFolderWriter(folder_.path(), config); }).find("num_experts_per_tok"), string::npos);
  EXPECT_NE(message_of([&] { ModelFolderWriter(folder_.path(), small_mixture(), {.dtype = Dtype::kI32}); }).find("I32"),
            string::npos);
  EXPECT_EQ(folder_.count(), 0u);
}

TEST_F(ModelFolderTest, WhatExpertsArePickedByIsFinite) {
  spec::ModelConfig config = small_mixture();
  config.topk_method = spec::TopkMethod::kNoauxTc;
  const auto open_with = [&](float value, const string& name, int64_t count) {
    fs::remove_all(model_);
    write_model(model_, config, {.dtype = Dtype::kF32});
    const fs::path path = model_ / string(kSingleFile);
    std::vector<float> values(static_cast<size_t>(count));
    values[static_cast<size_t>(count / 4)] = value;  // the first of expert 1
    {
      const SafetensorsFile file(path);
      std::vector<NamedTensor> tensors;
      for (const TensorEntry& entry : file.entries()) {
        tensors.push_back({entry.name, file.view(entry)});
        if (entry.name == name) tensors.back().tensor.bytes = std::as_bytes(std::span(values));
      }
      write_safetensors(model_ / "edited", std::move(tensors), {}, base::unsynced_files);
    }
    fs::rename(model_ / "edited", path);
    return refusal(model_);
  };
  const string gate = "model.layers.2.mlp.gate.", bias = gate + "e_score_correction_bias", weight = gate + "weight";
  EXPECT_EQ(open_with(-3, bias, 4), "(no error)");
  EXPECT_EQ(open_with(-3, weight, 4 * 12), "(no error)");
  for (const float value : {std::nanf(""), HUGE_VALF}) {
    string line = open_with(value, bias, 4);
    EXPECT_NE(line.find("a selection bias must be finite"), string::npos) << line;
    EXPECT_NE(line.find(bias + " has"), string::npos) << line;
    line = open_with(value, weight, 4 * 12);
    EXPECT_NE(line.find("a router's weight must be finite"), string::npos) << line;
    EXPECT_NE(line.find("for expert 1"), string::npos) << line;
  }
}

}  // namespace
}  // namespace dsmoe::formats
