// `dsmoe logits`, `dsmoe generate` and `dsmoe eval perplexity` as a user meets them: output, files, exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "apps/model_arguments.h"
#include "apps/testing.h"
#include "base/error.h"
#include "base/utf8.h"
#include "engine/engine.h"
#include "formats/npy.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;

/// A model of bytes with a tokenizer, and the same without one.
class ModelCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    write_byte_model(folder_ / "model", 30);
    write_byte_model(folder_ / "bare", 30, true);
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  base::TestFolder folder_;
};

TEST(TokenIds, AreReadStrictly) {
  EXPECT_EQ(parse_token_ids("1,2, 3 ,40"), (std::vector<int32_t>{1, 2, 3, 40}));
  for (const char* bad : {"", "1,", ",1", "1;2", "1 2", "-1", "x", "99999999999", "1.5"}) {
    EXPECT_THROW(parse_token_ids(bad), base::Error) << bad;
  }
}

TEST_F(ModelCommands, LogitsWritesWhatTheEngineComputes) {
  const Outcome result = run({"logits", "-m", path("bare"), "--tokens", "65,66,7", "-o", path("a.npy")});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("float32 [3, 260]"));
  const formats::NpyArray array = formats::read_npy(path("a.npy"));
  EXPECT_EQ(array.shape, (std::vector<int64_t>{3, 260}));
  auto engine = engine::Engine::load(path("bare"));
  engine::Session session(engine);
  const auto want = session.append_all(std::vector<int32_t>{65, 66, 7});
  EXPECT_TRUE(std::equal(want.begin(), want.end(), array.values.begin(), array.values.end()));
  EXPECT_EQ(run({"logits", "-m", path("model"), "-p", "AB\a", "-t", "1", "-o", path("b.npy")}).exit_code, 0);
  EXPECT_EQ(formats::read_npy(path("b.npy")).values, array.values);
}

TEST_F(ModelCommands, LogitsOfDamagedWeightsAreAnErrorNotAFile) {
  {
    std::fstream weights(folder_ / "bare/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    weights.seekp(-4, std::ios::end);
    weights.write("\xFF\xFF\xFF\xFF", 4);  // not a number, in bf16 and in float32
  }
  const Outcome result = run({"logits", "-m", path("bare"), "--tokens", "65,66", "-o", path("no.npy")});
  EXPECT_EQ(result.exit_code, 6);
  EXPECT_THAT(result.err, HasSubstr("[logits] the model's logits are not finite: after token "));
  EXPECT_FALSE(base::fs::exists(path("no.npy")));
}

TEST_F(ModelCommands, LogitsRefusesBadInputAndWritesNothing) {
  const auto refused = [&](std::vector<std::string> arguments, int exit_code, const char* words) {
    arguments.insert(arguments.begin(), {"logits", "-o", path("no.npy")});
    const Outcome result = run(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(words));
    EXPECT_EQ(result.out, "");
    EXPECT_FALSE(base::fs::exists(path("no.npy")));
  };
  refused({"-m", path("bare"), "--tokens", "1,260"}, 3, "token ids must be from 0 to 259: 260");
  refused({"-m", path("bare"), "--tokens", "1,two"}, 2, "token ids are written 1,2,3");
  refused({"-m", path("bare"), "-p", "text"}, 3, "has no tokenizer");
  refused({"-m", path("model"), "-p", std::string(31, 'x')}, 3, "= 30 tokens: 0 so far and 31 more");
  refused({"-m", path("bare"), "--tokens", "1", "-p", "x"}, 2, "");
  refused({"--tokens", "1"}, 2, "--model");
  refused({"-m", path("nowhere"), "--tokens", "1"}, 4, "nowhere");
  base::fs::create_directories(path("empty"));
  refused({"-m", path("empty"), "--tokens", "1"}, 3, "not a model folder");
}

TEST_F(ModelCommands, GenerateIsDecidedByItsSeedAlone) {
  const auto generate = [&](const std::string& seed, const std::string& threads) {
    return run({"generate", "-m", path("model"), "-p", "Once", "-n", "20", "--top-k", "0", "--top-p", "1", "--min-p",
                "0", "--ignore-eos", "-s", seed, "-t", threads});
  };
  const Outcome a = generate("1", "1");
  EXPECT_EQ(a.exit_code, 0) << a.err;
  EXPECT_EQ(a.out, generate("1", "2").out);
  EXPECT_NE(a.out, generate("2", "1").out);
  EXPECT_THAT(a.err, HasSubstr("20 generated"));
}

// Text from a pipe or standard input is the prompt that -p would be, whatever way it comes.
TEST_F(ModelCommands, PromptsComeFromFilesPipesAndStandardInput) {
  const auto tokens = [&](std::vector<std::string> how, const std::string& typed = "") {
    how.insert(how.begin(), {"generate", "-m", path("model"), "--temp", "0", "-n", "4", "--json"});
    const Outcome result = run(how, typed);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const auto json = base::parse_json(result.out, "output");
    EXPECT_EQ(json["prompt_tokens"], 4);
    return json["tokens"].get<std::vector<int32_t>>();
  };
  const auto want = tokens({"-p", "Once"});
  EXPECT_EQ(tokens({"-f", folder_.write("prompt.txt", "Once").string()}), want);
  EXPECT_EQ(tokens({"-f", "-"}, "Once"), want);
  const std::string fifo = path("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  std::thread writer([&] { std::ofstream(fifo) << "Once"; });
  EXPECT_EQ(tokens({"-f", fifo}), want);
  writer.join();
  const Outcome scored = run({"eval", "perplexity", "-m", path("model"), "-", "--json"}, "Once upon");
  EXPECT_EQ(base::parse_json(scored.out, "output")["bytes"], 9) << scored.err;
  const std::string marked = std::string(base::kByteOrderMark) + "Once upon";
  const std::string file = folder_.write("marked.txt", marked);
  EXPECT_EQ(tokens({"-f", folder_.write("marked_prompt.txt", marked.substr(0, 7)).string()}), want);
  EXPECT_EQ(run({"eval", "perplexity", "-m", path("model"), file, "--json"}).out.substr(0, 60),
            scored.out.substr(0, 60))
      << "a byte order mark is no part of the text";
}

TEST_F(ModelCommands, AnUnchosenSeedIsDrawnAndPrinted) {
  const auto generate = [&](std::vector<std::string> seed) {
    seed.insert(seed.begin(), {"generate", "-m", path("model"), "-p", "x", "-n", "20", "--top-k", "0", "--top-p", "1",
                               "--min-p", "0", "--ignore-eos", "--json"});
    const Outcome result = run(seed);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const auto json = base::parse_json(result.out, "output");
    const std::string taken = std::to_string(json["seed"].get<uint64_t>());
    EXPECT_THAT(result.err, HasSubstr(", seed " + taken + "\n"));
    return std::pair(taken, json["text"].get<std::string>());
  };
  for (const std::vector<std::string>& how : {std::vector<std::string>{}, {"-s", "-1"}, {"--seed=-1"}}) {
    const auto first = generate(how);
    EXPECT_NE(generate(how).second, first.second) << "another text every time";
    EXPECT_EQ(generate({"-s", first.first}), first) << "the seed that was printed gives it again";
  }
  EXPECT_THAT(run({"chat", "-m", path("model"), "-s", "7"}).err, HasSubstr("seed 7\n"));
}

// A mistake in what was typed is told before a large model is opened, so also where there is no model at all.
TEST_F(ModelCommands, ArgumentsAreCheckedBeforeTheModel) {
  const auto refused = [&](std::vector<std::string> words, int exit_code, const char* rule) {
    const Outcome result = run(std::move(words));
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(rule));
  };
  const std::string nowhere = path("nowhere"), missing = path("missing");
  refused({"generate", "-m", nowhere, "--tokens", "1,x"}, 2, "token ids are written 1,2,3");
  refused({"generate", "-m", nowhere, "--tokens", ""}, 2, "--tokens must not be empty");
  refused({"generate", "-m", nowhere, "-f", missing}, 4, "missing");
  refused({"generate", "-m", nowhere, "-p", "x", "--top-p", "7"}, 2, "top-p");
  refused({"generate", "-m", nowhere, "-p", "x", "-q", "q9"}, 2, "q9");
  refused({"logits", "-m", nowhere, "--tokens", "x", "-o", path("o.npy")}, 2, "token ids are written 1,2,3");
  refused({"eval", "perplexity", "-m", nowhere, missing}, 4, "missing");
  refused({"eval", "perplexity", "-m", nowhere, "--data", missing}, 4, "missing");
  refused({"study", "routing", "-m", nowhere, "--data", missing}, 4, "missing");
  refused({"quantize", "-m", nowhere, "--type", "q9", "-o", path("o.gguf")}, 2, "q9");
  refused({"bench", "-m", nowhere, "-p", "many"}, 2, "--n-prompt takes counts");
}

TEST_F(ModelCommands, GenerateGivesIdsWithoutATokenizerAndOneJsonObject) {
  const Outcome ids = run({"generate", "-m", path("bare"), "--tokens", "1,2,3", "-n", "5", "--temp", "0"});
  EXPECT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_EQ(std::count(ids.out.begin(), ids.out.end(), ','), 4) << ids.out;
  const Outcome json = run({"generate", "-m", path("bare"), "--tokens", "1,2,3", "-n", "5", "--temp", "0", "--json"});
  const auto object = base::parse_json(json.out, "output");
  EXPECT_EQ(parse_token_ids(ids.out.substr(0, ids.out.size() - 1)), object["tokens"].get<std::vector<int32_t>>());
  EXPECT_EQ(object["finish_reason"], "length");
  EXPECT_EQ(object["prompt_tokens"], 3);
  const Outcome full = run({"generate", "-m", path("bare"), "--tokens", "1", "-n", "-1", "--ignore-eos", "--json"});
  EXPECT_EQ(base::parse_json(full.out, "output")["finish_reason"], "context");
}

TEST_F(ModelCommands, GenerateRefusesBadInput) {
  const auto refused = [&](std::vector<std::string> arguments, int exit_code, const char* words) {
    arguments.insert(arguments.begin(), "generate");
    const Outcome result = run(arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_THAT(result.err, HasSubstr(words));
    EXPECT_EQ(result.out, "");
  };
  refused({"-m", path("bare"), "-p", "hi"}, 3, "give --tokens instead of a prompt");
  refused({"-m", path("bare"), "--tokens", "1", "--stop", "x"}, 2, "stop strings need a tokenizer");
  refused({"-m", path("model"), "-p", "hi", "--stop", ""}, 2, "--stop must not be empty");
  refused({"-m", path("model"), "-p", "hi", "--temp", "-1"}, 2, "temperature");
  refused({"-m", path("model"), "-p", "hi", "--top-p", "0"}, 2, "top-p");
  refused({"-m", path("model"), "-f", path("missing.txt")}, 4, "missing.txt");
  refused({"-m", path("model"), "-p", std::string(31, 'x')}, 3, "31 more");
  refused({"-m", path("model")}, 2, "");
}

TEST_F(ModelCommands, PerplexityOfAFileAndOfACorpus) {
  folder_.write("text.txt", "once upon a time there was a model");
  const Outcome file = run({"eval", "perplexity", "-m", path("model"), path("text.txt"), "--json"});
  EXPECT_EQ(file.exit_code, 0) << file.err;
  const auto json = base::parse_json(file.out, "output");
  EXPECT_EQ(json["tokens"], 34);
  EXPECT_EQ(json["bytes"], 34);
  EXPECT_NEAR(json["bits_per_byte"].get<double>(), json["nats_per_token"].get<double>() / std::log(2.0), 1e-9);
  EXPECT_THAT(run({"eval", "perplexity", "-m", path("model"), path("text.txt")}).out, HasSubstr("bits/byte"));

  corpus::BuildOptions options;
  options.valid_share = 0;
  corpus::build_test_corpus(folder_, {{"prose", {"some text"}}, {"code", {"x = 1"}}}, corpus::byte_encoder(), options);
  const std::vector<std::string> arguments = {"eval",  "perplexity", "--data", path("out"), "--split",
                                              "train", "--json",     "-m",     path("bare")};
  const Outcome corpus = run(arguments);
  EXPECT_EQ(corpus.exit_code, 0) << corpus.err;
  const auto object = base::parse_json(corpus.out, "output");
  EXPECT_EQ(object["bytes"], 14);
  EXPECT_EQ(object["domains"]["code"]["bytes"], 5);
  EXPECT_TRUE(object.contains("data_hash"));

  auto other = arguments;
  other.back() = path("model");  // its tokenizer is not the corpus' one
  const Outcome refused = run(other);
  EXPECT_EQ(refused.exit_code, 3);
  EXPECT_THAT(refused.err, HasSubstr("another tokenizer"));
  EXPECT_EQ(run({"eval", "perplexity", "-m", path("bare"), path("text.txt")}).exit_code, 3);
  EXPECT_EQ(run({"eval", "perplexity", "-m", path("bare"), "--data", path("nowhere")}).exit_code, 4);
  EXPECT_EQ(run({"eval", "perplexity", "-m", path("bare")}).exit_code, 2);
}

TEST_F(ModelCommands, PerplexityOfSecondHalvesPutsBosInThePlaceOfAWindowsFirstToken) {
  const auto measure = [&](const std::string& text) {
    const std::string file = folder_.write("text.txt", text).string();
    const Outcome outcome =
        run({"eval", "perplexity", "-m", path("model"), file, "--second-half", "--sequence-length", "8", "--json"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
    const auto json = base::parse_json(outcome.out, "output");
    EXPECT_EQ(json["tokens"], 6) << "5, 6 and 7 of two windows of 8";
    return json["nats_per_token"].get<double>();
  };
  EXPECT_NE(measure("abcdefghXjklmnop"), measure("abcdefghYjklmnop")) << "this tokenizer has no bos";
  tokenizer::save_tokenizer(corpus::byte_tokenizer({"<s>", "</s>"}), path("model"));
  EXPECT_EQ(measure("abcdefgXijklmno"), measure("abcdefgYijklmno"));
  EXPECT_NE(measure("abcdefgXijklmno"), measure("abcdefgXZjklmno"));
}

}  // namespace
}  // namespace dsmoe::apps
