// What a run says or refuses before its first step.
#include "train/run_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "train/test_support.h"

namespace dsmoe::train {
namespace {

using namespace testing;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Notices : public RunListener {
 public:
  void on_notice(const std::string& text) override { all.push_back(text); }
  std::vector<std::string> all;
};

void make_corpus_without_validation(const fs::path& folder) {
  corpus::CorpusEncoder encoder;
  encoder.encode = [](std::string_view text) { return std::vector<int32_t>(text.size(), 2); };
  encoder.vocab_size = 3;
  corpus::BuildOptions options;
  options.valid_share = 0;
  overwrite(folder.string() + ".txt", std::string(1000, 'x'));
  corpus::build_corpus(folder, {{"a", {folder.string() + ".txt"}}}, encoder, options, base::serial_for,
                       base::unsynced_files);
}

std::vector<std::string> notices_of(const fs::path& corpus, const fs::path& output,
                                    const std::vector<std::string>& settings, const RunOptions& options = {}) {
  Notices notices;
  RunFolder folder(output, base::unsynced_files);
  spec::ResolvedConfig config = tiny_run(corpus, output, settings);
  RunData data = open_corpus(config, options.init_path);
  plan_run(std::move(config), std::move(data), folder, options, notices);
  return notices.all;
}

TEST(RunPlan, SaysThatThereIsNothingToValidateOn) {
  const base::TestFolder temp("validate");
  make_corpus(temp / "corpus", 20);
  make_corpus_without_validation(temp / "none");
  EXPECT_THAT(notices_of(temp / "corpus", temp / "a", {}), IsEmpty());
  EXPECT_THAT(notices_of(temp / "none", temp / "b", {}), Contains(HasSubstr("nothing to validate on")));
  EXPECT_THAT(notices_of(temp / "none", temp / "c", {"train.validate_every=0"}),
              Contains(HasSubstr("nothing to validate on")))
      << "every run validates at its end";
}

TEST(RunPlan, SaysThatTheWarmUpIsLongerThanTheRun) {
  const base::TestFolder temp("warmup");
  make_corpus(temp / "corpus", 20);
  EXPECT_THAT(notices_of(temp / "corpus", temp / "a", {"train.warmup_steps=12"}), IsEmpty());
  EXPECT_THAT(notices_of(temp / "corpus", temp / "b", {"train.warmup_steps=13"}),
              Contains(HasSubstr("warm-up of 13 steps is longer than the run of 12")));
}

TEST(RunPlan, RefusesWeightsOfAnotherTokenizer) {
  const base::TestFolder temp("tokenizer");
  make_corpus(temp / "corpus", 20);
  fs::create_directories(temp / "bare");
  fs::create_directories(temp / "other");
  write_byte_tokenizer(temp / "other");
  RunOptions options;
  options.init_path = temp / "bare";
  EXPECT_THAT(notices_of(temp / "corpus", temp / "a", {}, options), IsEmpty()) << "nothing to compare with";
  options.init_path = temp / "other";
  const base::Error error = error_of([&] { notices_of(temp / "corpus", temp / "b", {}, options); });
  EXPECT_EQ(error.exit_code(), 3);
  EXPECT_THAT(error.what(), HasSubstr("another tokenizer than the model's of --init"));
  EXPECT_THAT(error.what(), HasSubstr("--tokenizer " + (temp / "other").string()));
}

}  // namespace
}  // namespace dsmoe::train
