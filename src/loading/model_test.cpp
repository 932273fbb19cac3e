#include "loading/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/error.h"
#include "base/test_files.h"
#include "corpus/test_corpus.h"
#include "formats/gguf_model.h"
#include "formats/gguf_tokenizer.h"
#include "formats/manifest.h"
#include "formats/test_models.h"
#include "tokenizer/bpe_alphabet.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::loading {
namespace {

using ::testing::HasSubstr;

/// `count` bytes from 'a' on as tokens.
tokenizer::TokenizerSpec letters(int count) {
  tokenizer::TokenizerSpec spec;
  for (int i = 0; i < count; ++i) {
    spec.tokens.push_back(tokenizer::bytes_to_alphabet(std::string(1, static_cast<char>('a' + i))));
  }
  spec.pre_tokenizer = {tokenizer::ByteLevelStep{}};
  return spec;
}

class OpenModel : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("XDG_CACHE_HOME", (folder_ / "cache").c_str(), 1);
    formats::write_model(model_, formats::small_mixture());
  }

  std::string fault(const std::function<void()>& act, base::ErrorKind kind) {
    try {
      act();
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      return error.what();
    }
    return "no fault";
  }

  base::TestFolder folder_;
  const base::fs::path model_ = folder_ / "model";
};

TEST_F(OpenModel, AFolderRunsWithoutATokenizer) {
  Model model = open_model(model_);
  EXPECT_EQ(model.config(), formats::small_mixture());
  EXPECT_EQ(model.tokenizer(), nullptr);
  engine::Session session(model.engine());
  EXPECT_EQ(session.append(std::vector<int32_t>{1, 2}).size(), 40u);
  EXPECT_THAT(fault([&] { model.require_tokenizer("do without"); }, base::ErrorKind::kInvalid),
              HasSubstr("has no tokenizer: " + model_.string() + "; do without"));
}

TEST_F(OpenModel, TheTokenizerLiesInTheFolder) {
  tokenizer::save_tokenizer(letters(26), model_);
  Model model = open_model(model_);
  ASSERT_NE(model.tokenizer(), nullptr);
  EXPECT_EQ(model.tokenizer()->encode("cab"), (std::vector<int32_t>{2, 0, 1}));
  EXPECT_EQ(model.tokenizer(), model.tokenizer()) << "read once";
}

TEST_F(OpenModel, ATokenizerThatDoesNotFitIsRefusedWhenItIsNeeded) {
  tokenizer::save_tokenizer(letters(41), model_);
  Model model = open_model(model_);
  EXPECT_THAT(fault([&] { model.tokenizer(); }, base::ErrorKind::kInvalid), HasSubstr("41 and 40"));
}

TEST_F(OpenModel, APromptGetsOneBos) {
  tokenizer::TokenizerSpec spec = letters(26);
  spec.added_tokens.push_back({.id = 26, .content = "<s>", .special = true});
  spec.tokens.push_back("<s>");
  spec.bos = 26;
  tokenizer::save_tokenizer(spec, model_);
  {
    Model model = open_model(model_);
    EXPECT_EQ(model.prompt("<s>ab").ids, (std::vector<int32_t>{26, 0, 1})) << "this tokenizer adds none";
    EXPECT_FALSE(model.prompt("<s>ab").left_out_bos);
  }
  spec.prefix = {26};
  tokenizer::save_tokenizer(spec, model_);
  Model model = open_model(model_);
  for (const char* text : {"ab", "<s>ab"}) {
    const Model::Prompt prompt = model.prompt(text);
    EXPECT_EQ(prompt.ids, (std::vector<int32_t>{26, 0, 1})) << text;
    EXPECT_EQ(prompt.left_out_bos, text[0] == '<');
  }
  EXPECT_EQ(model.prompt("").ids, std::vector<int32_t>{26});
  EXPECT_EQ(model.prompt("<s>").ids, std::vector<int32_t>{26});
  EXPECT_EQ(model.prompt("a<s>b").ids, (std::vector<int32_t>{26, 0, 26, 1})) << "inside a text it is the user's";
}

TEST_F(OpenModel, EndsComeFromTheFilesAndTheTokenizer) {
  tokenizer::TokenizerSpec spec = letters(26);
  spec.added_tokens.push_back({.id = 26, .content = "</s>", .special = true});
  spec.tokens.push_back("</s>");
  spec.eos = 26;
  tokenizer::save_tokenizer(spec, model_);
  base::write_file(model_ / "generation_config.json", R"({"eos_token_id": [1, 30]})", base::unsynced_files);
  EXPECT_EQ(open_model(model_).end_tokens(), (std::vector<int32_t>{26, 1, 30}));
}

TEST_F(OpenModel, AFolderIsComparedWithItsManifest) {
  const auto config = model_ / "config.json";
  formats::write_manifest(model_, {}, base::unsynced_files);
  EXPECT_NO_THROW(open_model(model_));
  std::string text = base::read_file(config);
  text.replace(text.find("0.006"), 5, "0.007");  // nothing that the engine would mind
  base::write_file(config, text, base::unsynced_files);
  EXPECT_THAT(fault([&] { open_model(model_); }, base::ErrorKind::kInvalid), HasSubstr("config.json"));
  ModelOptions options;
  options.verify = false;
  EXPECT_NO_THROW(open_model(model_, options));
}

TEST_F(OpenModel, AConversationIsWrittenAsTheModelsTemplateSays) {
  tokenizer::TokenizerSpec spec = letters(26);
  spec.added_tokens.push_back({.id = 26, .content = "</s>", .special = true});
  spec.tokens.push_back("</s>");
  spec.eos = 26;
  tokenizer::save_tokenizer(spec, model_);
  EXPECT_EQ(open_model(model_).chat_template(), "");
  EXPECT_EQ(open_model(model_).chat_encoder().format().name, "plain") << "where there is none";
  EXPECT_EQ(open_model(model_).chat_encoder().end_of_turn(), 26);
  base::write_file(model_ / "chat_template.jinja", tokenizer::kPlainChatTemplate);
  EXPECT_EQ(open_model(model_).chat_encoder().format().name, "plain");
  base::write_file(model_ / "chat_template.jinja", "{{ messages }}");
  EXPECT_THAT(fault([&] { open_model(model_).chat_encoder(); }, base::ErrorKind::kInvalid),
              HasSubstr("{{ messages }}"));
  EXPECT_EQ(open_model(model_).chat_encoder("plain").format().name, "plain");
  EXPECT_THAT(fault([&] { open_model(model_).chat_encoder("chatml"); }, base::ErrorKind::kInvalid),
              HasSubstr("the format chatml needs its markers"));
}

TEST_F(OpenModel, ACorpusOfAnotherTokenizerIsRefused) {
  tokenizer::save_tokenizer(letters(26), model_);
  const base::TestFolder sources("corpora");
  corpus::BuildOptions options;
  options.valid_share = 0;
  const auto built_with = [&](const tokenizer::TokenizerSpec& spec, int64_t vocab_size) {
    const tokenizer::Tokenizer own(spec);
    corpus::CorpusEncoder encoder;
    encoder.encode = [&](std::string_view text) { return own.encode(text); };
    encoder.vocab_size = vocab_size;
    encoder.hash = tokenizer::tokenizer_hash(own);
    base::fs::remove_all(sources / "out");
    corpus::build_test_corpus(sources, {{"text", {"abc", "cab"}}}, encoder, options);
    return corpus::TokenDataset::open(sources / "out", "train");
  };
  Model model = open_model(model_);
  EXPECT_NO_THROW(model.require_same_tokens(built_with(letters(26), 26)));
  EXPECT_THAT(fault([&] { model.require_same_tokens(built_with(letters(25), 25)); }, base::ErrorKind::kInvalid),
              HasSubstr("built with another tokenizer than the model's"));
  EXPECT_THAT(fault([&] { model.require_same_tokens(built_with(letters(26), 41)); }, base::ErrorKind::kInvalid),
              HasSubstr("41"));
  base::fs::remove(model_ / "tokenizer.json");
  Model bare = open_model(model_);
  EXPECT_NO_THROW(bare.require_same_tokens(built_with(letters(25), 25))) << "ids alone are what it knows";
}

TEST_F(OpenModel, WeightsMayBeMadeFromTheFolder) {
  ModelOptions options;
  int calls = 0;
  options.convert = [&](const formats::ModelFolder& folder) {
    ++calls;
    return engine::Weights::from_folder(formats::ModelFolder::open(folder.path()));
  };
  EXPECT_EQ(open_model(model_, options).config(), formats::small_mixture());
  EXPECT_EQ(calls, 1);
  folder_.write("file.gguf", "GGUF");
  EXPECT_THAT(fault([&] { open_model(folder_ / "file.gguf", options); }, base::ErrorKind::kUsage),
              HasSubstr("a GGUF file runs as it is"));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace dsmoe::loading
