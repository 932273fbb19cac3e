// dsmoe init and its progress, as a user meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "apps/progress.h"
#include "apps/testing.h"
#include "formats/config_json.h"
#include "formats/manifest.h"
#include "formats/model_folder.h"
#include "formats/model_folder_writer.h"
#include "spec/counts.h"
#include "spec/presets.h"
#include "spec/settings.h"

namespace dsmoe::apps {
namespace {

using testing::HasSubstr;
using testing::Not;

Outcome init(std::vector<std::string> words) {
  words.insert(words.begin(), "init");
  return run(words);
}

TEST(Init, WritesAModelOfThePreset) {
  const base::TestFolder folder;
  const std::string path = folder / "m";
  const Outcome result = init({"tiny", "-o", path, "--seed", "5", "--dtype", "f32", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("no tokenizer comes with it"));
  const formats::ModelFolder model = formats::ModelFolder::open(path);
  EXPECT_EQ(model.config(), spec::resolve("tiny").config.model);
  EXPECT_EQ(model.dtype(), formats::Dtype::kF32);
  EXPECT_TRUE(model.verify());
  const base::Json json = base::parse_json(result.out, "standard output");
  EXPECT_EQ(json["total_size"], model.total_size());
  EXPECT_EQ(json["shards"], 1);
  EXPECT_EQ(json["seed"], 5);
}

TEST(Init, SeedDecidesTheBytesAndThreadsDoNot) {
  const base::TestFolder folder;
  const auto bytes = [&](const std::string& name, const std::string& seed, const std::string& threads) {
    EXPECT_EQ(init({"tiny", "-o", folder / name, "--seed", seed, "--threads", threads}).exit_code, 0);
    return formats::hash_file(folder / name / "model.safetensors");
  };
  const std::string first = bytes("a", "1", "1");
  EXPECT_EQ(bytes("b", "1", "3"), first);
  EXPECT_NE(bytes("c", "2", "1"), first);
}

TEST(Init, AbsurdShapesAreRefusedByCounting) {
  const base::TestFolder folder;
  for (const char* preset : {"deepseekmoe-16b", "tiny"}) {
    const Outcome result = init({preset, "model.num_hidden_layers=100", "model.n_routed_experts=65536",
                                 "model.moe_intermediate_size=2048", "-o", folder / "m"});
    EXPECT_EQ(result.exit_code, 4) << result.err;
    EXPECT_THAT(result.err, HasSubstr("not enough free space"));
  }
  EXPECT_EQ(folder.count(), 0U);
}

TEST(Init, TakesOverridesAndShapesOfFolders) {
  const base::TestFolder folder;
  const std::string a = folder / "a", b = folder / "b";
  ASSERT_EQ(init({"tiny", "model.num_hidden_layers=2", "-o", a}).exit_code, 0);
  EXPECT_EQ(formats::ModelFolder::open(a).config().num_hidden_layers, 2);
  ASSERT_EQ(init({a, "-o", b}).exit_code, 0);
  EXPECT_EQ(formats::ModelFolder::open(b).config(), formats::ModelFolder::open(a).config());
  ASSERT_EQ(init({a, "model.num_hidden_layers=1", "-o", folder / "c"}).exit_code, 0);
  EXPECT_EQ(formats::ModelFolder::open(folder / "c").config().num_hidden_layers, 1);
}

TEST(Init, DoesNotValidateTheTraining) {
  const base::TestFolder folder;
  const Outcome result = init({"tiny", "model.max_position_embeddings=16", "-o", folder / "m"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(formats::ModelFolder::open(folder / "m").config().max_position_embeddings, 16);
}

TEST(Init, RefusalsHaveTheirExitCodesAndLeaveNothing) {
  const base::TestFolder folder;
  const std::string out = folder / "m";
  EXPECT_EQ(init({"tiny"}).exit_code, 2);
  EXPECT_EQ(init({"tiny", "-o", out, "--dtype", "int8"}).exit_code, 2);
  EXPECT_EQ(init({"tiny", "-o", out, "--seed", "-1"}).exit_code, 2);
  EXPECT_EQ(init({"tiyn", "-o", out}).exit_code, 3);
  EXPECT_EQ(init({"tiny", "model.num_experts_per_tok=9", "-o", out}).exit_code, 3);
  const Outcome big = init({"deepseekmoe-145b", "model.vocab_size=16777216", "model.hidden_size=1048576", "-o", out});
  EXPECT_EQ(big.exit_code, 4) << big.err;
  EXPECT_THAT(big.err, HasSubstr("not enough free space"));
  EXPECT_EQ(folder.count(), 0u);
  base::write_file(folder / "m", "a file");
  EXPECT_EQ(init({"tiny", "-o", out}).exit_code, 4);
  EXPECT_EQ(base::read_file(folder / "m"), "a file");
}

TEST(Init, EveryPresetIsPlannedAsSpecCountsItAndSurvivesConfigJson) {
  for (const spec::Preset& preset : spec::presets()) {
    const spec::ModelConfig config = spec::resolve(std::string(preset.name)).config.model;
    for (const auto& [dtype, precision] : {std::pair(formats::Dtype::kBf16, spec::Precision::kBf16),
                                           std::pair(formats::Dtype::kF32, spec::Precision::kF32)}) {
      const formats::ModelFolderWriter plan("nowhere", config, {.dtype = dtype});
      EXPECT_EQ(plan.total_size(), static_cast<uint64_t>(spec::weight_bytes(config, precision))) << preset.name;
      EXPECT_EQ(formats::config_from_json(formats::config_to_json(config, dtype), "again"), config) << preset.name;
    }
  }
  // as in the released folder
  const formats::ModelFolderWriter released("nowhere", spec::resolve("deepseekmoe-16b").config.model);
  EXPECT_EQ(released.total_size(), 32'751'456'256u);
  EXPECT_EQ(released.shard_count(), 7u);
}

TEST(Progress, PlainLinesComeEveryFewSeconds) {
  std::ostringstream out;
  double now = 100;
  Progress progress("writing", 1000, bytes_text, out, {.bar = false, .color = false, .every = 5}, [&] { return now; });
  for (int second = 1; second <= 11; ++second) {
    now = 100 + second;
    progress.update(static_cast<uint64_t>(second) * 50);
  }
  EXPECT_EQ(out.str(),
            "writing: 250 B of 1.00 kB (25%), 50 B/s, 15.0s left\n"
            "writing: 500 B of 1.00 kB (50%), 50 B/s, 10.0s left\n");
  out.str("");
  now = 120;
  progress.update(1000);
  progress.finish();
  EXPECT_THAT(out.str(), HasSubstr("took 20.0s\n"));
  EXPECT_THAT(out.str(), Not(HasSubstr("\033")));
}

TEST(Progress, TheBarRedrawsOneLine) {
  std::ostringstream out;
  double now = 0;
  {
    Progress progress("x", 100, count_text, out, {.bar = true, .color = true, .every = 0}, [&] { return now += 1; });
    progress.update(50);
    EXPECT_THAT(out.str(), HasSubstr("\r\033[K[\033[32m############............\033[0m] x: 50 of 100 (50%)"));
    EXPECT_THAT(out.str(), Not(HasSubstr("\n")));
  }
  EXPECT_EQ(out.str().back(), '\n') << "an error's line starts on its own";
  std::ostringstream plain;
  Progress progress("x", 0, count_text, plain, {.bar = true, .color = false, .every = 0}, [&] { return now += 1; });
  progress.update(1234567);
  EXPECT_THAT(plain.str(), HasSubstr("x: 1.23M, "));
  EXPECT_THAT(plain.str(), Not(HasSubstr("left")));
  EXPECT_THAT(plain.str(), Not(HasSubstr("[3")));
}

TEST(Progress, WorkOfAnEarlierProcessSaysNothingAboutTheRate) {
  std::ostringstream out;
  double now = 0;
  Progress progress("x", 1000, count_text, out, {.bar = false, .color = false, .every = 5}, [&] { return now; });
  progress.set_done_before(900);
  now = 5;
  progress.update(850);  // a run goes on from its last checkpoint, a little before where it was stopped
  now = 10;
  progress.update(950);
  EXPECT_EQ(out.str(), "x: 850 of 1.00k (85%), 0/s\nx: 950 of 1.00k (95%), 5/s, 10.0s left\n");
}

TEST(Progress, ALineOfItsOwnTakesTheBarsPlace) {
  std::ostringstream out;
  double now = 0;
  Progress progress("x", 100, count_text, out, {.bar = true, .color = false, .every = 0}, [&] { return now += 1; });
  progress.update(50);
  out.str("");
  progress.say("half is done");
  progress.set_label("y");
  progress.update(60);
  EXPECT_THAT(out.str(), testing::StartsWith("\r\033[Khalf is done\n\r\033[K["));
  EXPECT_THAT(out.str(), HasSubstr("] y: 60 of 100 (60%)"));
}

// What is drawn again must stay in one row, or each drawing leaves a row behind.
TEST(Progress, ARowFitsTheTerminal) {
  const std::string text = "encoding: 50 of 100 (50%), 50/s";
  for (size_t columns = 1; columns < 80; ++columns) {
    const std::string row = progress_row(0.5, text, columns);
    EXPECT_LT(row.size(), columns);
    EXPECT_TRUE(row.ends_with(text.substr(0, columns - 1))) << row;
    EXPECT_EQ(row.starts_with("[##"), columns >= text.size() + 8) << row;
  }
  EXPECT_EQ(progress_row(0.5, text, 200), "[############............] " + text);
  EXPECT_EQ(progress_row(0.5, text, 0), progress_row(0.5, text, 200)) << "no terminal";
  EXPECT_EQ(progress_row(0.5, text, 43, true), "[\033[32m####....\033[0m] " + text);
  EXPECT_EQ(progress_row(-1, text, 200), text) << "nobody knows how much there is";
}

TEST(Progress, FiguresForPeople) {
  EXPECT_EQ(bytes_text(0), "0 B");
  EXPECT_EQ(bytes_text(999.4), "999 B");
  EXPECT_EQ(bytes_text(32751456256.0), "32.75 GB");
  EXPECT_EQ(count_text(123456), "123k");
  EXPECT_EQ(duration_text(0.04), "0.0s");
  EXPECT_EQ(duration_text(59.97), "1m00s");
  EXPECT_EQ(duration_text(250), "4m10s");
  EXPECT_EQ(duration_text(7500), "2h05m");
}

}  // namespace
}  // namespace dsmoe::apps
