// What the commands write, and what they never write over: base/output.h's rule from the command line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "apps/testing.h"
#include "base/test_files.h"
#include "formats/npy.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Words = std::vector<std::string>;

class Outputs : public ::testing::Test {
 protected:
  void SetUp() override {
    write_byte_model(folder_ / "m", 200, true);
    tokenizer::save_tokenizer(corpus::byte_tokenizer({"<s>", "</s>", "<x>", "<y>"}), folder_ / "m");
    folder_.write("text.txt", "the cat sat on the mat, and the cat sat on the cat\n");
    base::fs::create_directory(folder_ / "run");
    folder_.write("run/metrics.jsonl", R"({"type":"step","step":1,"tokens":8,"loss":2.5})"
                                       "\n");
    ASSERT_EQ(run({"data", "build", "--tokenizer", path("m"), "--valid-share", "0", "--out", path("corpus"),
                   "x=" + path("text.txt")})
                  .exit_code,
              0);
    before_ = folder_.count();
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  // Commands that make a file, without the output.
  std::vector<Words> to_files() const {
    return {{"quantize", "-m", path("m"), "--type", "q8_0", "-t", "1", "--no-tokenizer"},
            {"export", "-m", path("m"), "--type", "f32", "-t", "1", "--no-tokenizer"},
            {"logits", "-m", path("m"), "-t", "1", "--tokens", "1,2,3"},
            {"report", path("run")}};
  }
  // Commands that make a folder, or files in one, and a file of theirs.
  std::vector<std::pair<Words, std::string>> to_folders() const {
    return {
        {{"init", "tiny", "model.num_hidden_layers=1", "-t", "1"}, "config.json"},
        {{"data", "build", "--tokenizer", path("m"), "--valid-share", "0", "x=" + path("text.txt")}, "manifest.json"},
        {{"tokenizer", "train", "--vocab-size", "262", path("text.txt")}, "tokenizer.json"},
        {{"study", "routing", "-m", path("m"), "-t", "1", "--data", path("corpus"), "--split", "train"},
         "routing.json"}};
  }
  Outcome write_to(Words command, const std::string& output, bool force = false) {
    command.insert(command.end(), {"-o", output});
    if (force) command.emplace_back("--force");
    return run(command);
  }

  base::TestFolder folder_;
  size_t before_ = 0;
};

TEST_F(Outputs, WhatIsThereStaysUnlessForced) {
  for (const Words& command : to_files()) {
    const std::string out = folder_.write("out", "precious");
    base::fs::permissions(out, base::fs::perms(0640));
    base::fs::create_symlink("out", folder_ / "link");
    const Outcome refused = write_to(command, path("link"));
    EXPECT_EQ(refused.exit_code, 4) << command[0] << refused.err;
    EXPECT_THAT(refused.err, HasSubstr("--force"));
    EXPECT_EQ(base::read_file(out), "precious");
    const Outcome forced = write_to(command, path("link"), true);
    EXPECT_EQ(forced.exit_code, 0) << command[0] << forced.err;
    EXPECT_NE(base::read_file(out), "precious");
    EXPECT_EQ(base::fs::status(out).permissions(), base::fs::perms(0640));
    EXPECT_TRUE(base::fs::is_symlink(folder_ / "link"));
    base::fs::remove(folder_ / "link");
    base::fs::remove(out);
    EXPECT_EQ(folder_.count(), before_) << command[0];
  }
}

TEST_F(Outputs, FoldersAreMadeWholeAndReplacedOnlyWhenForced) {
  for (const auto& [command, file] : to_folders()) {
    base::fs::create_directory(folder_ / "real");
    base::fs::create_directory_symlink("real", folder_ / "out");
    const Outcome made = write_to(command, path("out"));
    EXPECT_EQ(made.exit_code, 0) << command[0] << made.err;
    const std::string first = base::read_file(folder_ / "real" / file);
    const size_t files = static_cast<size_t>(std::distance(base::fs::directory_iterator(folder_ / "real"), {}));
    folder_.write("real/thesis", "a stranger's");
    folder_.write("real/" + file, "precious");
    EXPECT_EQ(write_to(command, path("out")).exit_code, 4) << command[0];
    EXPECT_EQ(base::read_file(folder_ / "real" / file), "precious");
    const Outcome forced = write_to(command, path("out"), true);
    EXPECT_EQ(forced.exit_code, 0) << command[0] << forced.err;
    EXPECT_EQ(base::read_file(folder_ / "real" / file), first);
    EXPECT_EQ(base::read_file(folder_ / "real" / "thesis"), "a stranger's");
    EXPECT_EQ(std::distance(base::fs::directory_iterator(folder_ / "real"), {}), std::ptrdiff_t(files + 1));
    base::fs::remove(folder_ / "out");
    base::fs::remove_all(folder_ / "real");
    EXPECT_EQ(folder_.count(), before_) << command[0];
  }
}

TEST_F(Outputs, TwoOfOneCommandAreNotOneFile) {
  for (const char* other : {"new.gguf", "./new.gguf", "m/../new.gguf"}) {
    const Outcome outcome =
        write_to({"quantize", "-m", path("m"), "--type", "q8_0", "--report", path(other)}, path("new.gguf"), true);
    EXPECT_EQ(outcome.exit_code, 2) << other;
    EXPECT_THAT(outcome.err, HasSubstr("two outputs are one file"));
    EXPECT_EQ(folder_.count(), before_);
  }
}

TEST_F(Outputs, AnInputIsNeverWrittenOver) {
  const std::string weights = base::read_file(folder_ / "m" / "model.safetensors");
  base::fs::create_hard_link(folder_ / "m" / "model.safetensors", folder_ / "alias");
  const auto refused = [&](const Words& command, const std::string& output) {
    const Outcome outcome = write_to(command, output, true);
    EXPECT_EQ(outcome.exit_code, 2) << command[0] << " " << output << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("a file that is read"));
  };
  for (const Words& command : to_files()) {
    if (command[0] == "report") continue;
    for (const char* output : {"m/model.safetensors", "alias", "m/config.json", "m/../m/tokenizer.json"}) {
      refused(command, path(output));
    }
  }
  refused({"report", path("run")}, path("run/metrics.jsonl"));
  refused({"quantize", "-m", path("m"), "--type", "q8_0", "--report", path("m/config.json")}, path("new.gguf"));
  refused({"init", path("m")}, path("m"));
  refused({"data", "build", "--tokenizer", path("m"), "x=" + path("text.txt")}, path("m"));
  refused({"tokenizer", "train", path("m/tokenizer.json")}, path("m"));
  EXPECT_EQ(base::read_file(folder_ / "m" / "model.safetensors"), weights);
  EXPECT_EQ(write_to(to_files()[0], path("m/beside.gguf")).exit_code, 0);
  EXPECT_EQ(write_to(to_files()[0], path("m/beside.gguf"), true).exit_code, 0)
      << "an older output in the folder is none of the model's files";
  refused({"logits", "-m", path("m/beside.gguf"), "--tokens", "1"}, path("m/beside.gguf"));
}

TEST_F(Outputs, PipesDevicesAndStandardOutputAreWrittenAsTheyAre) {
  const Words logits = to_files()[2];
  EXPECT_EQ(write_to(logits, path("plain.npy")).exit_code, 0);
  const std::string whole = base::read_file(folder_ / "plain.npy");
  const Outcome printed = write_to(logits, "/dev/stdout");
  EXPECT_EQ(printed.exit_code, 0) << printed.err;
  EXPECT_EQ(printed.out, whole);
  EXPECT_EQ(write_to(logits, "/dev/null").exit_code, 0);
  EXPECT_TRUE(base::fs::is_character_file("/dev/null"));
  EXPECT_EQ(write_to(logits, "/dev/full").exit_code, 4);
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  std::string got;
  std::thread reader([&] {
    FILE* file = std::fopen(path("fifo").c_str(), "rb");
    for (int c; (c = std::fgetc(file)) != EOF;) got += static_cast<char>(c);
    std::fclose(file);
  });
  EXPECT_EQ(write_to(logits, path("fifo")).exit_code, 0);
  reader.join();
  EXPECT_EQ(got, whole);
  EXPECT_TRUE(base::fs::is_fifo(folder_ / "fifo"));
}

TEST_F(Outputs, WhatCannotBeWrittenIsKnownBeforeTheWork) {
  const std::string longer(300, 'n');
  base::fs::create_directory(folder_ / "sub");
  folder_.write("file", "x");
  std::vector<Words> all = to_files();
  for (const auto& [command, file] : to_folders()) all.push_back(command);
  for (const Words& command : all) {
    EXPECT_EQ(write_to(command, "").exit_code, 2) << command[0];
    for (const std::string& output : {path(longer), path("file/out"), std::string("/proc/none")}) {
      const Outcome outcome = write_to(command, output, true);
      EXPECT_EQ(outcome.exit_code, 4) << command[0] << " " << outcome.err;
      EXPECT_THAT(outcome.err, HasSubstr("[output]"));
      EXPECT_THAT(outcome.err, Not(HasSubstr("fault of dsmoe")));
    }
  }
  for (const Words& command : to_files()) {
    EXPECT_THAT(write_to(command, path("sub"), true).err, HasSubstr("this is a folder"));
    EXPECT_THAT(write_to(command, path("none/out"), true).err, HasSubstr("No such file"));
  }
  for (const auto& [command, file] : to_folders()) {
    EXPECT_THAT(write_to(command, path("file"), true).err, HasSubstr("something else is there"));
  }
  EXPECT_EQ(folder_.count(), before_ + 2);
}

TEST_F(Outputs, AStudyThatFailsLeavesNoFolder) {
  const auto study = [&](const std::string& split) {
    return run({"study", "routing", "-m", path("m"), "-t", "1", "--data", path("corpus"), "--split", split, "-o",
                path("deep/out")});
  };
  const Outcome split = study("sideways");
  EXPECT_EQ(split.exit_code, 2) << split.err;
  EXPECT_THAT(split.err, HasSubstr("train and valid"));
  EXPECT_NE(study("valid").exit_code, 0) << "it holds nothing";
  EXPECT_EQ(folder_.count(), before_);
}

TEST_F(Outputs, OddRecordsAreBadDataOfARun) {
  const std::string good = base::read_file(folder_ / "run" / "metrics.jsonl");
  const auto report = [&](const std::string& file, const std::string& text) {
    folder_.write("run/" + file, text);
    const Outcome outcome = run({"report", path("run"), "-o", path("page.html"), "--force"});
    folder_.write("run/metrics.jsonl", good);
    if (file != "metrics.jsonl") base::fs::remove(folder_ / "run" / file);
    EXPECT_THAT(outcome.err, Not(HasSubstr("fault of dsmoe"))) << text;
    return outcome.exit_code;
  };
  for (const char* text : {"[]\n", "null\n", "3\n", "{\"type\":3,\"loss\":1}\n", "\"step\"\n", "{\n"}) {
    EXPECT_EQ(report("metrics.jsonl", text), 3) << text;
  }
  for (const char* text : {"[]", "null", "{\"params_total\":\"many\"}", "{\"params_activated\":[]}", "{"}) {
    EXPECT_EQ(report("plan.json", text), 3) << text;
  }
  for (const char* text :
       {"[]", "{\"bits_per_byte\":1,\"nats_per_token\":1,\"tokens\":1,\"bytes\":1,\"domains\":[1]}"}) {
    EXPECT_EQ(report("eval.json", text), 3) << text;
  }
  EXPECT_EQ(report("routing.json", "[[]]"), 3);
  EXPECT_EQ(report("metrics.jsonl", good + "{\"type\":\"st"), 0) << "a last line that was torn is left out";
}

TEST_F(Outputs, ChatSavesOverNothingAndOutlivesItsCommands) {
  folder_.write("talk", "precious");
  const std::string long_name(5000, 'n');
  const std::string input = "hello\n/save \n/save\n/system \n/temp \n/save " + path("talk") + "\n/save " +
                            path("sub/x") + "\n/save /\n/save " + long_name + "\n/save " + path("m/model.safetensors") +
                            "\nhello\n/save " + path("new") + "\n";
  const Outcome outcome = run({"chat", "-m", path("m"), "-n", "5", "--temp", "0", "-t", "1"}, input);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(base::read_file(folder_ / "talk"), "precious");
  EXPECT_TRUE(base::read_file(folder_ / "new").starts_with("User: hello"));
  EXPECT_LT(outcome.err.size(), 5000u);
  run({"chat", "-m", path("m"), "-n", "5", "--temp", "0", "-t", "1"}, "hello\n/save --force " + path("talk") + "\n");
  EXPECT_TRUE(base::read_file(folder_ / "talk").starts_with("User: hello"));
}

}  // namespace
}  // namespace dsmoe::apps
