// `dsmoe quantize`, `dsmoe export` and GGUF files in the commands that run a model: output, files, exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/testing.h"
#include "formats/end_tokens.h"
#include "formats/gguf_model.h"
#include "formats/npy.h"
#include "formats/test_models.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;

class QuantizeCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    spec::ModelConfig config = formats::small_mixture();
    config.hidden_size = 64;
    config.moe_intermediate_size = 32;
    config.initializer_range = 0.2;
    formats::write_model(path("m"), config);
    config.norm_topk_prob = true;
    formats::write_model(path("normed"), config);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::vector<float> logits(std::vector<std::string> model) {
    std::vector<std::string> arguments = {"logits", "--tokens", "1,2,3", "--force", "-o", path("out.npy"), "-m"};
    arguments.insert(arguments.end(), model.begin(), model.end());
    const Outcome result = run(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return formats::read_npy(path("out.npy")).values;
  }

  base::TestFolder folder_;
};

TEST_F(QuantizeCommands, AFileOrAFolderQuantisedAsItIsOpenedRunsLikeTheOther) {
  EXPECT_EQ(run({"export", "-m", path("m"), "-o", path("f.gguf")}).exit_code, 0);
  EXPECT_EQ(logits({path("m")}), logits({path("f.gguf")})) << "bf16 as the folder";
  const Outcome result = run({"quantize", "-m", path("m"), "--type", "Q4_0", "-o", path("q.gguf"), "--json", "--report",
                              path("report.json"), "--name", "tiny"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("arch deepseek"));
  EXPECT_THAT(result.err, HasSubstr("no tokenizer comes with it"));
  const base::Json json = base::parse_json(result.out, "output");
  EXPECT_EQ(json["file_size"], base::fs::file_size(path("q.gguf")));
  EXPECT_EQ(json["type"], "q4_0");
  EXPECT_GT(json["relative_error"].get<double>(), 0.01);
  const base::Json report = base::parse_json(base::read_file(path("report.json")), "report");
  EXPECT_EQ(report["tensors"].size(), json["tensor_count"]);
  for (const base::Json& tensor : report["tensors"]) {
    if (tensor["name"] == "blk.1.ffn_up_exps.weight") {
      EXPECT_EQ(tensor["experts"].size(), 4u);
    }
  }
  EXPECT_EQ(formats::GgufModel::open(path("q.gguf")).file().text("general.name"), "tiny");
  EXPECT_EQ(logits({path("q.gguf")}), logits({path("m"), "-q", "q4_0"}));
  EXPECT_NE(logits({path("q.gguf")}), logits({path("m")}));
}

TEST_F(QuantizeCommands, ATokenizerGoesAlong) {
  tokenizer::TokenizerSpec tokenizer;
  tokenizer.tokens = {"<s>", "a", "b", "ab"};
  tokenizer.merges = {{1, 2, 3}};
  tokenizer::AddedToken begin;
  begin.content = "<s>";
  begin.special = true;
  tokenizer.added_tokens = {begin};
  tokenizer.pre_tokenizer = *tokenizer::pretokenizer_steps("deepseek-v3");
  tokenizer::save_tokenizer(tokenizer, path("m"));
  EXPECT_EQ(run({"export", "-m", path("m"), "-o", path("f.gguf")}).exit_code, 0);
  const auto generate = [&](const std::string& model) {
    return run({"generate", "-m", path(model), "-p", "abab", "-n", "5", "--temp", "0", "--ignore-eos"}).out;
  };
  EXPECT_EQ(generate("f.gguf"), generate("m"));
  EXPECT_EQ(run({"export", "-m", path("m"), "-o", path("bare.gguf"), "--no-tokenizer"}).exit_code, 0);
  const Outcome bare = run({"generate", "-m", path("bare.gguf"), "-p", "abab"});
  EXPECT_EQ(bare.exit_code, 3);
  EXPECT_THAT(bare.err, HasSubstr("the model has no tokenizer"));
}

TEST_F(QuantizeCommands, TheEndsOfAnAnswerGoAlong) {
  base::write_file(folder_ / "m/generation_config.json", R"({"eos_token_id": [3, 9, 11, 12]})", base::unsynced_files);
  EXPECT_EQ(run({"export", "-m", path("m"), "-o", path("f.gguf")}).exit_code, 0);
  const auto file = formats::GgufModel::open(path("f.gguf"));
  const std::vector<int32_t> ends = formats::end_tokens(file.file(), file.config());
  EXPECT_EQ(ends, formats::end_tokens(path("m"), file.config(), std::nullopt));
  EXPECT_THAT(ends, ::testing::IsSupersetOf({3, 9, 11, 12}));
}

TEST_F(QuantizeCommands, BadInputLeavesNothingBehind) {
  const auto refused = [&](std::vector<std::string> arguments, int exit_code, const char* words) {
    const Outcome result = run(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(words));
    EXPECT_EQ(folder_.count(), 2u);
  };
  const std::string out = path("no.gguf");
  refused({"quantize", "-m", path("m"), "--type", "q4_x", "-o", out}, 2, "unknown type");
  refused({"quantize", "-m", path("m"), "-o", out}, 2, "--type");
  refused({"export", "-m", path("m"), "--type", "q4_0", "-o", out}, 2, "q4_0");
  refused({"quantize", "-m", path("nowhere"), "--type", "q4_0", "-o", out}, 4, "nowhere");
  refused({"quantize", "-m", path("normed"), "--type", "q4_0", "--arch", "deepseek", "-o", out}, 3,
          "norm_topk_prob true");
  refused({"export", "-m", path("m"), "--arch", "mixtral", "-o", out}, 2, "mixtral");
  refused({"export", "-m", path("m"), "-o", path("none/f.gguf")}, 4, "none");
  refused({"logits", "-m", path("m"), "-q", "q9", "--tokens", "1", "-o", path("l.npy")}, 2, "unknown type");
  base::write_file(folder_ / "broken.gguf", "GGUF, or is it?");
  const Outcome broken = run({"logits", "-m", path("broken.gguf"), "--tokens", "1", "-o", path("l.npy")});
  EXPECT_EQ(broken.exit_code, 3);
  EXPECT_THAT(broken.err, HasSubstr("[gguf] "));
  const Outcome file = run({"logits", "-m", path("broken.gguf"), "-q", "q4_0", "--tokens", "1", "-o", path("l.npy")});
  EXPECT_EQ(file.exit_code, 2);
  EXPECT_THAT(file.err, HasSubstr("-q quantises a model folder"));
}

}  // namespace
}  // namespace dsmoe::apps
