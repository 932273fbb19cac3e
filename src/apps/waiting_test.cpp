// A pipe where a file belongs: every command refuses it at once. Opening one would wait for somebody to write into it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "apps/testing.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;

class Waiting : public ::testing::Test {
 protected:
  std::string pipe(const std::string& name) const {
    base::fs::remove(folder_ / name);
    EXPECT_EQ(::mkfifo((folder_ / name).c_str(), 0600), 0);
    return folder_ / name;
  }
  void expect_refused(const std::vector<std::string>& words) const {
    const Outcome result = run(words);
    EXPECT_TRUE(result.exit_code == 3 || result.exit_code == 4) << result.exit_code;
    EXPECT_THAT(result.err, HasSubstr("is a pipe")) << ::testing::PrintToString(words);
  }
  base::TestFolder folder_;
};

TEST_F(Waiting, ForNoFileOfAModel) {
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}) {
    base::fs::remove_all(folder_ / "model");
    write_byte_model(folder_ / "model", 30);
    pipe(std::string("model/") + file);
    expect_refused({"logits", "-m", folder_ / "model", "-p", "AB", "-o", folder_ / "out.npy"});
  }
  base::fs::remove(folder_ / "model/model.safetensors");
  pipe("model/model.safetensors.index.json");
  expect_refused({"quantize", "-m", folder_ / "model", "--type", "q8_0", "-o", folder_ / "out.gguf"});
}

TEST_F(Waiting, ForNoConfigurationTokenizerOrSource) {
  expect_refused({"plan", pipe("run.toml")});
  expect_refused({"init", pipe("run.json"), "-o", folder_ / "m"});
  expect_refused({"tokenizer", "train", "--vocab-size", "300", "--out", folder_ / "tok", pipe("text.txt")});
  expect_refused({"tokenizer", "train", "--vocab-size", "300", "--out", folder_ / "tok", pipe("text.txt.gz")});
  base::fs::create_directory(folder_ / "bytes");
  tokenizer::save_tokenizer(corpus::byte_tokenizer(), folder_ / "bytes");
  expect_refused(
      {"data", "build", "--tokenizer", folder_ / "bytes", "--out", folder_ / "data", "a=" + pipe("a.jsonl")});
  expect_refused({"data", "build", "--tokenizer", pipe("t.json"), "--out", folder_ / "data", "a=" + pipe("a.jsonl")});
}

}  // namespace
}  // namespace dsmoe::apps
