// Where model.vocab_size comes from; run.toml says so beside the value.
#include "train/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "train/loop.h"
#include "train/test_support.h"

namespace dsmoe::train {
namespace {

using namespace testing;
using ::testing::HasSubstr;

class Vocabulary : public ::testing::Test {
 protected:
  Vocabulary() { make_corpus(temp_ / "corpus", 20); }  // 258 tokens; the preset says 512
  spec::ResolvedConfig taken(spec::ResolvedConfig config) const {
    take_vocabulary(config, corpus::TokenDataset::open(temp_ / "corpus", "train"));
    return config;
  }
  std::string trained(const std::string& output, const std::vector<std::string>& settings, const RunOptions& options) {
    class Quiet : public RunListener {
    } quiet;
    run_training(tiny_run(temp_ / "corpus", temp_ / output, settings), options, quiet);
    return base::read_file(temp_ / output / "run.toml");
  }
  base::TestFolder temp_;
};

TEST_F(Vocabulary, IsTheDatasUnlessItIsSet) {
  const spec::ResolvedConfig data = taken(spec::resolve("tiny"));
  EXPECT_EQ(data.config.model.vocab_size, 258);
  EXPECT_EQ(data.origins.at("model.vocab_size"), "data");

  const spec::ResolvedConfig set = taken(spec::resolve("tiny", {"model.vocab_size=300"}));
  EXPECT_EQ(set.config.model.vocab_size, 300);
  EXPECT_EQ(set.origins.at("model.vocab_size"), "command line");

  overwrite(temp_ / "own.toml", "extends = \"tiny\"\n[model]\nvocab_size = 280\n");
  EXPECT_EQ(taken(spec::resolve(temp_ / "own.toml")).config.model.vocab_size, 280);
  overwrite(temp_ / "other.toml", "extends = \"tiny\"\n[model]\nnum_hidden_layers = 2\n");
  EXPECT_EQ(taken(spec::resolve(temp_ / "other.toml")).config.model.vocab_size, 258) << "the file says nothing of it";
}

TEST_F(Vocabulary, OfWeightsThatAreThereIsKept) {
  const std::vector<std::string> wide = {"model.vocab_size=270", "train.steps=2", "train.warmup_steps=1"};
  const std::vector<std::string> plain = {"train.steps=4", "train.warmup_steps=1"};
  RunOptions options;
  EXPECT_THAT(trained("run", wide, options), HasSubstr("vocab_size = 270"));
  options.resume = Resume::kAuto;
  EXPECT_THAT(trained("run", plain, options), HasSubstr("vocab_size = 270")) << "the run goes on";
  RunOptions further;
  further.init_path = temp_ / "run/step-00000002";
  EXPECT_THAT(trained("further", plain, further), HasSubstr("vocab_size = 270"));
  EXPECT_THAT(trained("anew", plain, {}), HasSubstr("vocab_size = 258"));
}

}  // namespace
}  // namespace dsmoe::train
