#include "formats/end_tokens.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_files.h"
#include "formats/test_gguf_models.h"

namespace dsmoe::formats {
namespace {

using Ids = std::vector<int32_t>;

class EndTokens : public ::testing::Test {
 protected:
  /// Of a folder whose two files have these texts for eos_token_id, "" where the key, and "-" where the file is absent.
  Ids of(const std::string& config, const std::string& generation, std::optional<int32_t> tokenizer = {}) {
    const auto write = [&](const char* name, const std::string& value) {
      base::fs::remove(folder_ / name);
      if (value != "-") folder_.write(name, value.empty() ? "{}" : "{\"eos_token_id\": " + value + "}");
    };
    write("config.json", config);
    write("generation_config.json", generation);
    spec::ModelConfig model = small_mixture();
    model.eos_token_id = 2;  // what the class would assume
    return end_tokens(folder_.path(), model, tokenizer);
  }

  base::TestFolder folder_;
};

TEST_F(EndTokens, AllThreePlacesCount) {
  EXPECT_EQ(of("5", "-"), Ids{5});
  EXPECT_EQ(of("[5, 7]", "-"), (Ids{5, 7}));
  EXPECT_EQ(of("5", "[7, 5, 9]"), (Ids{5, 7, 9}));
  EXPECT_EQ(of("5", "5", 1), (Ids{1, 5}));
  EXPECT_EQ(of("null", "7"), Ids{7});
  EXPECT_EQ(of("null", "null", 1), Ids{1});
}

TEST_F(EndTokens, NoneIsNone) {
  for (const char* none : {"null", "[]", "-1"}) {
    EXPECT_EQ(of(none, "-"), Ids{}) << none;
    EXPECT_EQ(of(none, none), Ids{}) << none;
    EXPECT_EQ(of("", none), Ids{}) << "nor does the class' default come back: " << none;
  }
}

TEST_F(EndTokens, TheClassDefaultIsTheLastToBeAsked) {
  EXPECT_EQ(of("", "-"), Ids{2});
  EXPECT_EQ(of("", ""), Ids{2});
  EXPECT_EQ(of("", "7"), Ids{7});
  EXPECT_EQ(of("", "-", 1), Ids{1});
}

TEST_F(EndTokens, WhatTheVocabularyLacksNeverComes) { EXPECT_EQ(of("[5, 40]", "[100000, -3]"), Ids{5}); }

TEST_F(EndTokens, OtherValuesAreRefusedByName) {
  for (const char* value : {"\"</s>\"", "[5, \"x\"]", "true", "5.5", "{}"}) {
    const std::string line = base::message_of([&] { of("5", value); });
    EXPECT_NE(line.find("generation_config.json"), std::string::npos) << line;
    EXPECT_NE(line.find("eos_token_id must be an integer"), std::string::npos) << line;
  }
}

TEST_F(EndTokens, GgufKeysCarryAnyNumber) {
  for (const Ids& ends : {Ids{}, Ids{3}, Ids{3, 5}, Ids{3, 5, 7}, Ids{3, 5, 7, 9, 11}}) {
    for (const bool with_eos : {true, false}) {
      const std::optional<int32_t> eos = with_eos && !ends.empty() ? std::optional(ends[0]) : std::nullopt;
      Changes changes;
      changes.keys = [&](GgufMetadata& keys) { add_end_token_keys(keys, ends, eos); };
      spec::ModelConfig config = small_mixture();
      config.bos_token_id = -1;
      config.eos_token_id = eos.value_or(-1);
      write_gguf_model(folder_ / "f.gguf", config, changes);
      const GgufModel model = GgufModel::open(folder_ / "f.gguf");
      EXPECT_EQ(model.config().bos_token_id, -1);
      EXPECT_EQ(model.config().eos_token_id, config.eos_token_id);
      EXPECT_EQ(end_tokens(model.file(), model.config()), ends);
    }
  }
}

TEST_F(EndTokens, LlamaCppsKeysAloneSayIt) {
  Changes changes;
  changes.keys = [](GgufMetadata& keys) {
    keys.add_u32("tokenizer.ggml.eot_token_id", 9);
    keys.add_u32("tokenizer.ggml.eom_token_id", UINT32_MAX);
  };
  write_gguf_model(folder_ / "f.gguf", small_dense(), changes);
  const GgufModel model = GgufModel::open(folder_ / "f.gguf");
  EXPECT_EQ(end_tokens(model.file(), model.config()), (Ids{1, 9}));
}

// The dsmoe architecture has its own keys for both ids, and leaves out what a model has not.
TEST_F(EndTokens, AModelWithoutBosAndEosComesBack) {
  spec::ModelConfig config = small_mixture();
  config.norm_topk_prob = true;
  config.bos_token_id = config.eos_token_id = -1;
  write_gguf_model(folder_ / "f.gguf", config);
  const GgufModel model = GgufModel::open(folder_ / "f.gguf");
  EXPECT_EQ(model.config(), config);
  EXPECT_EQ(end_tokens(model.file(), model.config()), Ids{});
}

}  // namespace
}  // namespace dsmoe::formats
