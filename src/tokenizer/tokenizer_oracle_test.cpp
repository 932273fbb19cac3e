// Ids that Hugging Face's own library gave, without the library: testdata/tokenizer_oracle.json was written by
// tools/tokenizer_oracle/fixture.mjs, which says how. The comparison with the library itself is `make test-deep`.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/json.h"
#include "base/test_files.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::tokenizer {
namespace {

using base::Json;

std::string fnv(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  char hex[17];
  std::snprintf(hex, sizeof hex, "%016llx", static_cast<unsigned long long>(hash));
  return hex;
}

const Json& fixture() {
  static const Json value =
      base::parse_json(base::read_file(DSMOE_SOURCE_DIR "/src/tokenizer/testdata/tokenizer_oracle.json"), "fixture");
  return value;
}

std::vector<std::string> part_names() {
  std::vector<std::string> names;
  for (const auto& [name, part] : fixture()["parts"].items()) names.push_back(name);
  return names;
}

class OraclePart : public testing::TestWithParam<std::string> {};
TEST_P(OraclePart, GivesTheIdsOfHuggingFace) {
  const Json& part = fixture()["parts"][GetParam()];
  Json file = fixture()["tokenizer"];
  file.merge_patch(part["patch"]);
  const Tokenizer tokenizer = parse_tokenizer(file.dump());
  const Tokenizer written = parse_tokenizer(tokenizer_json_text(tokenizer.spec()));
  std::string ids;
  for (const Json& text : fixture()["texts"]) {
    const auto encoded = tokenizer.encode(text.get<std::string>());
    EXPECT_EQ(encoded, written.encode(text.get<std::string>()));
    std::string line;
    for (const int32_t id : encoded) line.append(line.empty() ? "" : " ").append(std::to_string(id));
    ids += line + "\n";
  }
  EXPECT_EQ(fnv(ids), part["ids"].get<std::string>());
}
INSTANTIATE_TEST_SUITE_P(, OraclePart, testing::ValuesIn(part_names()), [](const auto& info) { return info.param; });

// DeepSeek-LLM's vocabulary with the vectors that llama.cpp tests its own tokenizer with.
class DeepSeekLlm : public testing::Test {
 protected:
  void SetUp() override {
    const char* shared = std::getenv("DSMOE_SHARED");
    data_ = base::fs::path(shared != nullptr ? shared : DSMOE_SOURCE_DIR "/../shared") / "data";
    if (!base::fs::exists(data_ / "deepseek-llm-vocab.gguf")) {
      GTEST_SKIP() << "no data/deepseek-llm-vocab.gguf in DSMOE_SHARED or beside the project";
    }
    const std::string command = "python3 " DSMOE_SOURCE_DIR "/tools/gguf_tokenizer '" +
                                (data_ / "deepseek-llm-vocab.gguf").string() + "' '" + (folder_ / "made").string() +
                                "'";
    if (std::system(command.c_str()) != 0) GTEST_SKIP() << "python3 could not convert the GGUF file";
    tokenizer_ = std::make_unique<Tokenizer>(load_tokenizer(folder_ / "made"));
  }
  base::fs::path data_;
  base::TestFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

TEST_F(DeepSeekLlm, GivesTheIdsOfTheVectors) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  const std::string input = base::read_file(data_ / "deepseek-llm-vocab.inp");
  std::istringstream output(base::read_file(data_ / "deepseek-llm-vocab.out"));
  int vectors = 0;
  for (size_t at = 0; at <= input.size(); ++vectors) {
    std::string line;  // stays empty for the last text, which is empty too
    std::getline(output, line);
    const size_t end = std::min(input.find(separator, at), input.size());
    const std::string text = input.substr(at, end - at);
    std::istringstream numbers(line);
    const std::vector<int32_t> expected{std::istream_iterator<int32_t>(numbers), {}};
    EXPECT_EQ(tokenizer_->encode(text), expected) << text;
    EXPECT_EQ(tokenizer_->decode(expected), text);
    at = end + separator.size();
  }
  EXPECT_EQ(vectors, 47);
}

TEST_F(DeepSeekLlm, KnowsItsSpecialTokens) {
  EXPECT_EQ(tokenizer_->bos_id(), 100000);
  EXPECT_EQ(tokenizer_->eos_id(), 100001);
  EXPECT_EQ(tokenizer_->encode("Hello world", true), (std::vector<int32_t>{100000, 17464, 1843}));
  EXPECT_EQ(tokenizer_->encode("Führer"), (std::vector<int32_t>{37, 100014, 71, 6245}));
  EXPECT_EQ(pretokenizer_name(tokenizer_->spec().pre_tokenizer), "deepseek-llm");
}

}  // namespace
}  // namespace dsmoe::tokenizer
