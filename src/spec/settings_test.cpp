// The configuration in layers: who wins, where values came from, what is refused and how, and round trips.
#include "spec/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/test_files.h"
#include "spec/familiar_keys.h"
#include "spec/presets.h"

namespace dsmoe::spec {
namespace {

using testing::HasSubstr;

std::string error_of(const std::function<void()>& action, base::ErrorKind kind = base::ErrorKind::kInvalid) {
  try {
    action();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << "one line";
    return error.what();
  }
  return "(no error)";
}

std::string error_of_override(const std::string& text) {
  return error_of([&] { resolve("tiny", {text}); });
}

std::string error_of_toml(const std::string& text) {
  return error_of([&] { resolve_toml(text, "x.toml"); });
}

TEST(Settings, LaterLayersWinAndAreRemembered) {
  const base::TestFolder folder;
  folder.write("base.toml", "extends = \"tiny\"\n[train]\nseed = 5\nsteps = 50\n");
  const std::string path = folder.write("run.toml", "extends = \"base.toml\"\n[train]\nsteps = 60\nwarmup_steps = 6\n");
  const ResolvedConfig resolved =
      resolve(path, {"train.warmup_steps=7", "train.precision=f32", "data.path=corpus", "train.warmup_steps=8"});
  const TrainConfig& train = resolved.config.train;
  EXPECT_EQ(resolved.config.model, resolve("tiny").config.model);
  EXPECT_EQ(train.seed, 5);
  EXPECT_EQ(train.steps, 60);
  EXPECT_EQ(train.warmup_steps, 8);
  EXPECT_EQ(train.precision, Precision::kF32);
  EXPECT_EQ(resolved.config.data.path, "corpus");
  EXPECT_EQ(resolved.origins.at("model.hidden_size"), "preset tiny");
  EXPECT_THAT(resolved.origins.at("train.seed"), HasSubstr("base.toml"));
  EXPECT_EQ(resolved.origins.at("train.steps"), "file " + path);
  EXPECT_EQ(resolved.origins.at("train.warmup_steps"), "command line");
  EXPECT_FALSE(resolved.origins.contains("train.beta1")) << "defaults have no origin";
  EXPECT_EQ(resolved.description, "") << "what a file extends describes itself, not the file";
}

TEST(Settings, StepsTakeBackTheMinutesOfALayerBelow) {
  ASSERT_GT(resolve("demo-deepseekmoe").config.train.minutes, 0);
  const ResolvedConfig steps = resolve("demo-deepseekmoe", {"train.steps=4"});
  EXPECT_EQ(steps.config.train.steps, 4);
  EXPECT_EQ(steps.config.train.minutes, 0);
  EXPECT_EQ(steps.origins.at("train.minutes"), "command line");
  for (const std::vector<std::string>& both :
       {std::vector<std::string>{"train.steps=4", "train.minutes=2"}, {"train.minutes=2", "train.steps=4"}}) {
    EXPECT_EQ(resolve("demo-deepseekmoe", both).config.train.minutes, 2) << "who says both means the minutes";
  }
  const ResolvedConfig written = resolve("demo-deepseekmoe");
  EXPECT_EQ(resolve_toml(to_toml(written.config), "run.toml").config, written.config);
}

TEST(Settings, EveryTypeFromTheCommandLine) {
  const RunConfig c =
      resolve("tiny",
              {"train.seed=9223372036854775807", "train.learning_rate=3e-4", "train.weight_decay=1",
               "train.recompute=true", "train.schedule=cosine", "train.decay_points=[0.5, 0.75]", "data.path=a b=\"c\"",
               "output.dir=", "data.weights={code = 1, \"web text\" = 0.5}", "data.weights.code=2"})
          .config;
  EXPECT_EQ(c.train.seed, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(c.train.learning_rate, 3e-4);
  EXPECT_EQ(c.train.weight_decay, 1);
  EXPECT_TRUE(c.train.recompute);
  EXPECT_EQ(c.train.schedule, Schedule::kCosine);
  EXPECT_EQ(c.train.decay_points, (std::vector<double>{0.5, 0.75}));
  EXPECT_EQ(c.data.path, "a b=\"c\"") << "a text is taken as it stands";
  EXPECT_EQ(c.data.weights, (std::map<std::string, double>{{"code", 2}, {"web text", 0.5}}));
}

TEST(Settings, UnknownKeysNameTheNearest) {
  EXPECT_EQ(error_of_override("train.learnin_rate=1"),
            "[command line] unknown key: \"train.learnin_rate\"; did you mean train.learning_rate?");
  EXPECT_EQ(error_of_override("model.hiden_size=1"),
            "[command line] unknown key: \"model.hiden_size\"; did you mean model.hidden_size?");
  EXPECT_EQ(error_of_override("model.seed=1"), "[command line] unknown key: \"model.seed\"; did you mean train.seed?");
  EXPECT_EQ(error_of_override("seed=1"), "[command line] unknown key: \"seed\"; did you mean train.seed?");
  EXPECT_EQ(error_of_override("trian.seed=1"), "[command line] unknown section: \"trian\"; did you mean train?");
  EXPECT_EQ(error_of_override("train.zzzzzzzzzzzz=1"), "[command line] unknown key: \"train.zzzzzzzzzzzz\"");
  EXPECT_EQ(error_of_override("train.seed.x=1"),
            "[command line] unknown key: \"train.seed.x\"; did you mean train.seed?");
  EXPECT_EQ(error_of_override("train.seed"), "[command line] an override must be section.key=value: \"train.seed\"");
  EXPECT_EQ(error_of_toml("[model]\nhiden_size = 1\n"),
            "[x.toml] unknown key: \"model.hiden_size\"; did you mean model.hidden_size?");
  EXPECT_EQ(error_of_toml("[modle]\nhidden_size = 1\n"), "[x.toml] unknown section: \"modle\"; did you mean model?");
  EXPECT_EQ(error_of_toml("hidden_size = 1\n"),
            "[x.toml] unknown key: \"hidden_size\"; did you mean model.hidden_size?");
  EXPECT_EQ(error_of_toml("extend = \"tiny\"\n"), "[x.toml] unknown key: \"extend\"; did you mean extends?");
  EXPECT_EQ(error_of([] { resolve("mini-deepsekmoe"); }),
            "[preset] unknown preset: \"mini-deepsekmoe\"; did you mean mini-deepseekmoe?");
  EXPECT_THAT(error_of([] { resolve("16b"); }), HasSubstr("did you mean deepseekmoe-16b?"));
}

TEST(Settings, NamesOfOtherSystemsAreUnderstoodAndOnlyNearOnesSuggested) {
  EXPECT_EQ(error_of_override("lr=1"), "[command line] unknown key: \"lr\"; did you mean train.learning_rate?");
  EXPECT_EQ(error_of_override("train.lr=1"),
            "[command line] unknown key: \"train.lr\"; did you mean train.learning_rate?");
  EXPECT_EQ(error_of_override("train.batch-size=1"),
            "[command line] unknown key: \"train.batch-size\"; did you mean train.global_batch?");
  EXPECT_EQ(error_of_override("model.n_layer=1"),
            "[command line] unknown key: \"model.n_layer\"; did you mean model.num_hidden_layers?");
  EXPECT_EQ(error_of_override("optimizer.lr=1"),
            "[command line] unknown section: \"optimizer\"; did you mean train.learning_rate?");
  EXPECT_EQ(error_of_toml("[optim]\nmax_grad_norm = 1\n"),
            "[x.toml] unknown section: \"optim\"; did you mean train.clip_norm?");
  EXPECT_EQ(error_of_override("banana=1"), "[command line] unknown key: \"banana\"");
  EXPECT_EQ(error_of_override("train.xy=1"), "[command line] unknown key: \"train.xy\"");
}

TEST(Settings, EveryFamiliarNameLeadsToASettingAndIsNone) {
  std::set<std::string> keys, names;
  for (const SettingInfo& setting : list_settings()) {
    keys.insert(setting.key);
    names.insert(setting.key.substr(setting.key.find('.') + 1));
  }
  for (const char* name : {"lr", "LR", "batch_size", "batch-size", "n_layer", "n_head", "hidden", "max_steps", "wd",
                           "n_ctx", "top_k", "out_dir", "gradient_checkpointing"}) {
    EXPECT_TRUE(keys.contains(std::string(familiar_key(name)))) << name;
  }
  for (const std::string& name : names) EXPECT_EQ(familiar_key(name), "") << name;
  for (const char* name : {"", " ", "lr ", "lr wd", "l", "learning"}) EXPECT_EQ(familiar_key(name), "") << name;
}

TEST(Settings, AModelAloneIsNotValidatedForTraining) {
  const std::vector<std::string> short_model = {"model.max_position_embeddings=16", "train.warmup_steps=-1"};
  EXPECT_EQ(resolve("tiny", short_model, Validation::kModelOnly).config.model.max_position_embeddings, 16);
  EXPECT_THROW(resolve("tiny", short_model), base::Error);
  EXPECT_THROW(resolve("tiny", {"model.num_experts_per_tok=99"}, Validation::kModelOnly), base::Error);
  EXPECT_THROW(resolve("tiny", {"train.warmup_steps=x"}, Validation::kModelOnly), base::Error)
      << "types are checked still";
}

TEST(Settings, WrongTypesAreRefused) {
  const std::pair<const char*, const char*> cases[] = {
      {"train.seed=abc", "[command line] train.seed must be an integer: \"abc\""},
      {"train.seed=1.5", "[command line] train.seed must be an integer: 1.5"},
      {"train.seed=1e3",
       "[command line] train.seed must be an integer: 1000.0; write it without a point or an exponent"},
      {"train.seed=\"1\"", "[command line] train.seed must be an integer: \"1\""},
      {"train.seed=", "[command line] train.seed must be an integer: \"\""},
      {"train.seed=1\nx=2", "[command line] train.seed must be an integer: \"1\\x0ax=2\""},
      {"train.seed=1 # note", "[command line] train.seed must be an integer: \"1 # note\""},
      {"train.seed=9223372036854775808", "[command line] train.seed must be an integer: \"9223372036854775808\""},
      {"train.learning_rate=fast", "[command line] train.learning_rate must be a number: \"fast\""},
      {"train.learning_rate=nan", "[command line] train.learning_rate must be a finite number: nan"},
      {"train.learning_rate=-inf", "[command line] train.learning_rate must be a finite number: -inf"},
      {"train.recompute=1", "[command line] train.recompute must be true or false: 1"},
      {"train.recompute=yes", "[command line] train.recompute must be true or false: \"yes\""},
      {"train.schedule=cosin",
       "[command line] train.schedule must be one of multistep, cosine, constant: \"cosin\"; did you mean cosine?"},
      {"train.decay_points=0.5", "[command line] train.decay_points must be a list of numbers: 0.5"},
      {"train.decay_points=[true]", "[command line] train.decay_points must be a number: true"},
      {"data.weights=3", "[command line] data.weights must be a table of numbers: 3"},
      {"data.weights.code=x", "[command line] data.weights.\"code\" must be a number: \"x\""},
      {"data.path=\xff", "[command line] data.path must be valid UTF-8: \"\\xff\""},
  };
  for (const auto& [text, error] : cases) EXPECT_EQ(error_of_override(text), error);
  EXPECT_EQ(error_of_toml("[train]\nschedule = 1\n"),
            "[x.toml] train.schedule must be one of multistep, cosine, constant: 1");
  EXPECT_EQ(error_of_toml("[data]\npath = 1\n"), "[x.toml] data.path must be a text in quotes: 1");
  EXPECT_EQ(error_of_toml("train = 3\n"), "[x.toml] train must be a section: 3");
  EXPECT_EQ(error_of_toml("extends = 3\n"), "[x.toml] extends must be a text in quotes: 3");
  EXPECT_THAT(error_of_toml("[train]\nseed = 1\nseed = 2\n"), HasSubstr("not valid TOML at line 3"));
  EXPECT_THAT(error_of_toml("[train]\nseed = 1979-05-27\n"), HasSubstr("dates"));
}

TEST(Settings, FilesThatCannotBeUsed) {
  const base::TestFolder folder;
  EXPECT_THAT(error_of([] { resolve("none/run.toml"); }, base::ErrorKind::kIo), HasSubstr("No such file"));
  const std::string circle = folder.write("circle.toml", "extends = \"circle.toml\"\n");
  EXPECT_THAT(error_of([&] { resolve(circle); }), HasSubstr("extends goes in a circle"));
  const std::string list = folder.write("list.json", "[]");
  EXPECT_THAT(error_of([&] { resolve(list); }), HasSubstr("must be an object"));
  const std::string large = folder.write("large.json", R"({"train": {"seed": 18446744073709551615}})");
  EXPECT_THAT(error_of([&] { resolve(large); }), HasSubstr("train.seed must be an integer below 2^63"));
  const std::string deep = folder.write("deep.toml", "[train]\nseed = " + std::string(300, '['));
  EXPECT_THAT(error_of([&] { resolve(deep); }), HasSubstr("nested deeper"));
  const std::string invalid = folder.write("invalid.toml", "[data]\npath = \"\xff\"\n");
  EXPECT_THAT(error_of([&] { resolve(invalid); }), HasSubstr("not valid TOML"));
}

TEST(Settings, TextReadsBackAsTheSame) {
  for (const Preset& preset : presets()) {
    const ResolvedConfig resolved = resolve(std::string(preset.name), {"data.weights.a=0.1"});
    EXPECT_EQ(resolve_toml(to_toml(resolved.config, &resolved.origins), "x").config, resolved.config) << preset.name;
    EXPECT_EQ(resolve_toml(to_toml(resolved.config), "x").config, resolved.config) << preset.name;
  }
  const base::TestFolder folder;
  const ResolvedConfig resolved = resolve("nano-gshard", {"output.dir=runs/\"a\"\t\x01 中"});
  const std::string json = folder.write("run.json", base::dump_json(to_json(resolved.config, &resolved.origins)));
  EXPECT_EQ(resolve(json).config, resolved.config);
  EXPECT_EQ(resolve_toml(to_toml(resolved.config), "x").config, resolved.config);
}

TEST(Settings, TextSaysWhereValuesCameFrom) {
  const ResolvedConfig resolved = resolve("tiny", {"train.seed=7"});
  const std::string toml = to_toml(resolved.config, &resolved.origins);
  EXPECT_THAT(toml, HasSubstr("hidden_size = 64                            # preset tiny\n"));
  EXPECT_THAT(toml, HasSubstr("# command line\n"));
  EXPECT_THAT(toml, HasSubstr("beta1 = 0.9                                 # default\n"));
  const base::Json json = to_json(resolved.config, &resolved.origins);
  EXPECT_EQ(json["origins"]["train.seed"], "command line");
  EXPECT_EQ(json["origins"]["train.beta1"], "default");
  EXPECT_EQ(json["origins"].size(), list_settings().size());
  const ResolvedConfig hostile{resolved.config, {{"train.seed", "file a\n[train]\nseed = 9"}}, ""};
  EXPECT_EQ(resolve_toml(to_toml(hostile.config, &hostile.origins), "x").config, resolved.config);
}

// Any doubles and texts survive the way through TOML.
RC_GTEST_PROP(Settings, AnyValuesRoundTrip, ()) {
  RunConfig c = resolve("tiny").config;
  c.train.learning_rate = static_cast<double>(*rc::gen::inRange(0, 1 << 30)) / 12345678.9;
  c.train.adam_eps = 1.0 / static_cast<double>(*rc::gen::inRange(2, 1 << 30));
  for (const char byte : *rc::gen::container<std::string>(rc::gen::inRange<char>(1, 127))) c.output.dir += byte;
  for (const int number : *rc::gen::container<std::vector<int>>(rc::gen::inRange(1, 1000))) {
    c.data.weights["domain " + std::to_string(number)] = 1.0 / number;
  }
  RC_ASSERT(resolve_toml(to_toml(c), "x").config == c);
  RC_ASSERT(differences(resolve_toml(to_toml(c), "x").config, c).empty());
}

TEST(Settings, DifferencesNameTheFields) {
  const RunConfig a = resolve("tiny").config,
                  b = resolve("tiny", {"train.seed=2", "model.router_type=hash", "train.aux_loss_alpha=0"}).config;
  EXPECT_THAT(differences(a, b), testing::ElementsAre("model.router_type: \"topk\" and \"hash\"", "train.seed: 1 and 2",
                                                      "train.aux_loss_alpha: 0.01 and 0.0"));
  EXPECT_TRUE(differences(a, a).empty());
}

// No member is missing from the lists: listed members, laid side by side, leave no gap that could hold another.
TEST(Settings, EveryMemberIsListed) {
  RunConfig config;
  std::vector<std::pair<const char*, size_t>> members;
  visit_run_fields(config, [&](const char*, const char*, auto& member, const char*) {
    members.emplace_back(reinterpret_cast<const char*>(&member), sizeof member);
  });
  std::sort(members.begin(), members.end());
  const char* at = reinterpret_cast<const char*>(&config);
  for (const auto& [begin, size] : members) {
    EXPECT_LT(begin - at, 8) << "before the member at byte " << begin - reinterpret_cast<const char*>(&config);
    at = begin + size;
  }
  EXPECT_LT(reinterpret_cast<const char*>(&config + 1) - at, 8);
}

TEST(Settings, TheDocumentListsEveryKey) {
  const std::string document = base::read_file(std::string(DSMOE_SOURCE_DIR) + "/docs/configuration.md");
  EXPECT_THAT(document, HasSubstr(settings_markdown()))
      << "paste the output of `dsmoe plan --settings` into docs/configuration.md";
}

}  // namespace
}  // namespace dsmoe::spec
