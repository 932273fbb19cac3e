// A run on examples in place of a corpus: it learns their answers, and goes on to the same bits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "corpus/example_batches.h"
#include "formats/adapter_folder.h"
#include "formats/model_folder.h"
#include "formats/safetensors.h"
#include "train/loop.h"
#include "train/test_support.h"

namespace dsmoe::train {
namespace {

using namespace testing;

/// Questions of a few ids, each answered by as many of another id and an end.
corpus::ExampleData some_examples() {
  corpus::ExampleData data;
  data.domains = {"made"};
  base::Rng rng(4);
  for (int i = 0; i < 40; ++i) {
    corpus::Example example;
    const auto count = 1 + rng.below(9);
    const auto add = [&](int32_t id, bool trained) {
      example.ids.push_back(id);
      example.trained.push_back(trained ? 1 : 0);
    };
    add(0, false);
    for (size_t k = 0; k < count; ++k) add(static_cast<int32_t>(20 + count), false);
    for (size_t k = 0; k < count; ++k) add(static_cast<int32_t>(60 + count), true);
    add(1, true);
    example.answer_bytes = static_cast<int64_t>(count);
    (i < 36 ? data.train : data.valid).add(example, 0);
  }
  return data;
}

class ExampleRun : public ::testing::Test {
 protected:
  RunData data() const {
    RunData data;
    data.batches = std::make_unique<corpus::ExampleBatches>(
        examples_.train, corpus::ExampleBatches::Shape{.seed = 1, .examples = 8, .micro_tokens = 64});
    data.validation = std::make_unique<corpus::ScoredExamples>(examples_.valid, examples_.domains, 0);
    data.validates_first = true;
    data.hash = examples_.train.hash();
    data.description = {{"files", {"made"}}};
    return data;
  }
  spec::ResolvedConfig config(const std::string& output, const std::vector<std::string>& settings = {}) const {
    std::vector<std::string> all = {"train.global_batch=8", "train.learning_rate=0.01", "train.aux_loss_alpha=0.01"};
    all.insert(all.end(), settings.begin(), settings.end());
    return tiny_run("", folder_ / output, all);
  }
  base::TestFolder folder_{"example_run"};
  corpus::ExampleData examples_ = some_examples();
};

struct Listener : RunListener {
  void on_step(const StepRecord& record) override { steps.push_back(record); }
  void on_validation(const ValidationRecord& record) override { validations.push_back(record); }
  std::vector<StepRecord> steps;
  std::vector<ValidationRecord> validations;
};

TEST_F(ExampleRun, LearnsTheAnswers) {
  Listener listener;
  EXPECT_EQ(run_training(config("a", {"train.steps=40", "train.validate_every=20"}), data(), {}, listener),
            RunEnd::kDone);
  ASSERT_EQ(listener.validations.size(), 3U);
  EXPECT_EQ(listener.validations[0].step, 0) << "what it began with";
  EXPECT_LT(listener.validations[2].all.nats_per_token, 2.0);
  EXPECT_LT(listener.validations[2].all.nats_per_token, listener.validations[0].all.nats_per_token);
  int64_t targets = 0;
  for (int64_t i = 0; i < examples_.valid.size(); ++i) targets += examples_.valid.targets(i);
  EXPECT_EQ(listener.validations[2].all.tokens, targets) << "answers alone are scored";
  int64_t tokens = 0;
  for (const StepRecord& step : listener.steps) {
    int64_t read = 0;
    for (const int64_t count : step.layers.back().counts_E) read += count;
    tokens += read / 3;
    EXPECT_EQ(step.tokens, tokens) << "no padding: every routed token is one of an example";
  }
  EXPECT_NE(base::read_file(folder_ / "a" / "data.json").find("made"), std::string::npos);
}

TEST_F(ExampleRun, GoesOnToTheSameBits) {
  Listener whole, parts;
  run_training(config("whole"), data(), {}, whole);
  RunOptions options;
  options.resume = Resume::kAuto;
  int asked = 0;
  options.stop = [&asked] { return ++asked > 7; };
  EXPECT_EQ(run_training(config("parts"), data(), options, parts), RunEnd::kStopped);
  options.stop = [] { return false; };
  // A run that began before the format was written down goes on: that the data is the same decides.
  EXPECT_EQ(run_training(config("parts", {"data.chat_format=own"}), data(), options, parts), RunEnd::kDone);
  for (const char* name : {"model.safetensors", "optimizer.safetensors"}) {
    EXPECT_EQ(base::read_file(folder_ / "whole" / "step-00000012" / name),
              base::read_file(folder_ / "parts" / "step-00000012" / name))
        << name;
  }
  RunData other = data();
  other.hash = "another";
  EXPECT_THAT(error_of([&] { run_training(config("parts"), std::move(other), options, parts); }).what(),
              ::testing::HasSubstr("trained on other data"));
}

class AdapterRun : public ExampleRun {
 protected:
  /// The folder of a short run's model.
  fs::path base_model(const std::string& name, int64_t seed) {
    Listener listener;
    run_training(config(name, {"train.steps=2", "train.seed=" + std::to_string(seed)}), data(), {}, listener);
    return folder_ / name / "step-00000002";
  }
  RunEnd run(const std::string& output, RunOptions options, Listener& listener, const std::string& rank = "3") {
    return run_training(config(output, {"train.lora_rank=" + rank, "train.lora_targets=all"}), data(), options,
                        listener);
  }
  static RunOptions beside(const fs::path& base) {
    RunOptions options;
    options.init_path = base;
    return options;
  }
};

TEST_F(AdapterRun, BeginsWithTheBaseAndLearns) {
  const fs::path model = base_model("base", 1);
  const std::string before = base::read_file(model / "model.safetensors");
  Listener listener, whole;
  run("adapters", beside(model), listener);
  RunOptions options = beside(model);
  run_training(config("weights"), data(), options, whole);
  EXPECT_EQ(listener.validations[0].all.nats_per_token, whole.validations[0].all.nats_per_token)
      << "adapters add nothing yet";
  EXPECT_LT(listener.validations.back().all.nats_per_token, listener.validations[0].all.nats_per_token - 0.1);
  EXPECT_EQ(base::read_file(model / "model.safetensors"), before);
  const fs::path saved = folder_ / "adapters" / "step-00000012";
  EXPECT_FALSE(fs::exists(saved / "model.safetensors")) << "the base is not written again";
  const formats::Adapter adapter = formats::read_adapter(saved);
  EXPECT_EQ(adapter.base_hash, formats::hash_of_weights(model));
  formats::require_fits(adapter, config("x").config.model, "x");
}

TEST_F(AdapterRun, GoesOnToTheSameBitsBesideTheSameBase) {
  const fs::path model = base_model("base", 1);
  Listener whole, parts;
  run("whole", beside(model), whole);
  RunOptions options = beside(model);
  options.resume = Resume::kAuto;
  int asked = 0;
  options.stop = [&asked] { return ++asked > 7; };
  EXPECT_EQ(run("parts", options, parts), RunEnd::kStopped);
  options.stop = [] { return false; };
  EXPECT_THAT(error_of([&] { run("parts", options, parts, "2"); }).what(), ::testing::HasSubstr("train.lora_rank"));
  options.init_path = base_model("other", 2);
  EXPECT_THAT(error_of([&] { run("parts", options, parts); }).what(), ::testing::HasSubstr("trained with"));
  options.init_path = model;
  EXPECT_EQ(run("parts", options, parts), RunEnd::kDone);
  for (const char* name : {"adapter_model.safetensors", "adapter_config.json", "optimizer.safetensors"}) {
    EXPECT_EQ(base::read_file(folder_ / "whole" / "step-00000012" / name),
              base::read_file(folder_ / "parts" / "step-00000012" / name))
        << name;
  }
}

TEST_F(AdapterRun, NeedsABase) {
  Listener listener;
  EXPECT_THAT(error_of([&] { run("none", {}, listener); }).what(), ::testing::HasSubstr("stand beside"));
  EXPECT_FALSE(fs::exists(folder_ / "none"));
}

class ExpertRun : public AdapterRun {
 protected:
  RunEnd run(const std::string& output, RunOptions options, Listener& listener,
             const std::string& experts = "layers.1.mlp.experts.2,layers.2.mlp.experts.5,layers.2.mlp.experts.0") {
    RunData examples = data();
    examples.description["experts"] = {{"targets", experts}, {"layers", {"scores"}}};
    return run_training(config(output, {"train.lora_targets=" + experts, "train.learning_rate=0.1"}),
                        std::move(examples), options, listener);
  }
};

TEST_F(ExpertRun, TrainsTheChosenAndLeavesEveryOtherByte) {
  const fs::path base = base_model("base", 1);
  Listener listener;
  run("experts", beside(base), listener);
  EXPECT_LT(listener.validations.back().all.nats_per_token, listener.validations[0].all.nats_per_token - 0.1);
  const fs::path saved = folder_ / "experts" / "step-00000012";
  const auto before = formats::ModelFolder::open(base), after = formats::ModelFolder::open(saved);
  spec::for_each_tensor(before.config(), [&](const spec::TensorSpec& tensor) {
    bool chosen = false;
    for (const char* expert : {"layers.1.mlp.experts.2.", "layers.2.mlp.experts.5.", "layers.2.mlp.experts.0."}) {
      chosen = chosen || tensor.name.find(expert) != std::string::npos;
    }
    EXPECT_EQ(before.read_f32(tensor.name) == after.read_f32(tensor.name), !chosen) << tensor.name;
  });
  const auto moments = formats::SafetensorsFile(saved / "optimizer.safetensors").entries();
  EXPECT_EQ(moments.size(), 2 * 2 * 3U) << "two of gates and ups, and of down, for each expert";
  EXPECT_THAT(base::read_file(folder_ / "experts" / "data.json"), ::testing::HasSubstr("scores"));
  EXPECT_THAT(
      base::read_file(folder_ / "experts" / "metrics.jsonl"),
      ::testing::HasSubstr(R"({"targets":"layers.1.mlp.experts.2,layers.2.mlp.experts.5,layers.2.mlp.experts.0",)"
                           R"("type":"experts"})"));
}

TEST_F(ExpertRun, GoesOnToTheSameBitsWithTheSameExperts) {
  RunOptions options = beside(base_model("base", 1));
  Listener whole, parts;
  run("whole", options, whole);
  options.resume = Resume::kAuto;
  int asked = 0;
  options.stop = [&asked] { return ++asked > 7; };
  EXPECT_EQ(run("parts", options, parts), RunEnd::kStopped);
  options.stop = [] { return false; };
  EXPECT_THAT(error_of([&] { run("parts", options, parts, "mlp.experts.1"); }).what(),
              ::testing::HasSubstr("train.lora_targets"));
  EXPECT_EQ(run("parts", options, parts), RunEnd::kDone);
  for (const char* name : {"model.safetensors", "optimizer.safetensors"}) {
    EXPECT_EQ(base::read_file(folder_ / "whole" / "step-00000012" / name),
              base::read_file(folder_ / "parts" / "step-00000012" / name))
        << name;
  }
}

}  // namespace
}  // namespace dsmoe::train
