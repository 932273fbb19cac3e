// Tokenizers through GGUF keys and back, the keys themselves, and broken ones.
#include "formats/gguf_tokenizer.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/rng.h"
#include "base/test_files.h"
#include "formats/test_gguf.h"
#include "tokenizer/bpe_trainer.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::formats {
namespace {

using std::string;

tokenizer::TokenizerSpec trained() {
  tokenizer::WordCounts words;
  for (const char* word : {"the", " then", " other", " another", " theme", "the", " thesis", " other"}) words.add(word);
  tokenizer::BpeTrainOptions options;
  options.vocab_size = 264;
  return train_bpe(words, options);
}

GgufFile written(const base::fs::path& path, const std::function<void(GgufMetadata&)>& keys) {
  GgufMetadata metadata;
  keys(metadata);
  GgufWriter writer(path, metadata, {}, base::unsynced_files);
  writer.finish();
  return GgufFile(path);
}

void expect_same_ids(const tokenizer::TokenizerSpec& a, const tokenizer::TokenizerSpec& b) {
  const tokenizer::Tokenizer x(a), y(b);
  base::Rng rng(1);
  for (int round = 0; round < 200; ++round) {
    string text;
    for (uint64_t i = rng.below(60); i > 0; --i) {
      static const std::vector<string> kPieces = {
          "the", " ", "then", "\n", "7", "é", "好", "\xff", "<｜end▁of▁sentence｜>", "other", "<tool>", "  "};
      text += kPieces[rng.below(kPieces.size())];
    }
    EXPECT_EQ(x.encode(text, true), y.encode(text, true)) << text;
    EXPECT_EQ(x.decode(x.encode(text), true), y.decode(y.encode(text), true)) << text;
  }
  EXPECT_EQ(a.bos, b.bos);
  EXPECT_EQ(a.eos, b.eos);
  EXPECT_EQ(a.pad, b.pad);
}

TEST(GgufTokenizer, OurOwnComesBack) {
  const base::TestFolder folder("gguf_tokenizer");
  const tokenizer::TokenizerSpec spec = trained();
  const GgufFile file =
      written(folder / "f", [&](GgufMetadata& m) { add_tokenizer_keys(m, spec, 280, "{{ messages }}"); });
  EXPECT_EQ(file.text("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(file.text("tokenizer.ggml.pre"), "deepseek-v3");
  EXPECT_EQ(file.integer("tokenizer.ggml.bos_token_id"), 0);
  EXPECT_EQ(file.integer("tokenizer.ggml.eos_token_id"), 1);
  EXPECT_EQ(file.boolean("tokenizer.ggml.add_bos_token"), true);
  EXPECT_EQ(file.boolean("tokenizer.ggml.add_eos_token"), false);
  EXPECT_EQ(file.text("tokenizer.chat_template"), "{{ messages }}");
  EXPECT_EQ(file.find("tokenizer.huggingface.json"), nullptr) << "the keys say all of it";
  const auto tokens = *file.texts("tokenizer.ggml.tokens");
  const auto types = *file.integers("tokenizer.ggml.token_type");
  ASSERT_EQ(tokens.size(), 280u);
  EXPECT_EQ(tokens[0], "<｜begin▁of▁sentence｜>");
  EXPECT_EQ(types[0], 3);
  EXPECT_EQ(types[100], 1);
  EXPECT_EQ(tokens[279], "[PAD279]");
  EXPECT_EQ(types[279], 5);
  const auto back = tokenizer_from_gguf(file);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->tokens, spec.tokens);
  EXPECT_EQ(back->merges, spec.merges);
  EXPECT_EQ(tokenizer::tokenizer_hash(tokenizer::Tokenizer(*back)),
            tokenizer::tokenizer_hash(tokenizer::Tokenizer(spec)))
      << "a corpus made with the one fits the other";
  expect_same_ids(spec, *back);
}

// What the keys have no words for goes along as tokenizer.json.
TEST(GgufTokenizer, WhatTheKeysCannotSayGoesAlong) {
  const base::TestFolder folder("gguf_tokenizer_odd");
  const auto goes_along = [&](const std::function<void(tokenizer::TokenizerSpec&)>& change) {
    tokenizer::TokenizerSpec spec = trained();
    change(spec);
    const GgufFile file = written(folder / "f", [&](GgufMetadata& m) { add_tokenizer_keys(m, spec, 300); });
    const auto back = tokenizer_from_gguf(file);
    expect_same_ids(spec, *back);
    return file.find("tokenizer.huggingface.json") != nullptr;
  };
  const auto add = [](tokenizer::TokenizerSpec& spec, bool strips, bool special, bool normalized) {
    tokenizer::AddedToken token;
    token.id = static_cast<int32_t>(spec.tokens.size());
    token.content = "<tool>";
    token.lstrip = token.rstrip = strips;
    token.special = special;
    token.normalized = normalized;
    spec.tokens.push_back(token.content);
    spec.added_tokens.push_back(token);
  };
  EXPECT_FALSE(goes_along([](tokenizer::TokenizerSpec&) {}));
  EXPECT_FALSE(goes_along([&](tokenizer::TokenizerSpec& spec) { add(spec, false, true, false); }));
  EXPECT_FALSE(goes_along([&](tokenizer::TokenizerSpec& spec) { add(spec, false, false, true); }));
  EXPECT_FALSE(goes_along([](tokenizer::TokenizerSpec& spec) { spec.suffix = {1}; }));
  EXPECT_TRUE(goes_along([&](tokenizer::TokenizerSpec& spec) { add(spec, true, true, false); }));
  EXPECT_TRUE(goes_along([](tokenizer::TokenizerSpec& spec) { spec.nfc = true; }));
  EXPECT_TRUE(goes_along([](tokenizer::TokenizerSpec& spec) { spec.prefix = {2}; }));
}

TEST(GgufTokenizer, TokensAndPreTokenizersThatDoNotFitAreRefused) {
  GgufMetadata metadata;
  tokenizer::TokenizerSpec spec = trained();
  EXPECT_NE(base::message_of([&] { add_tokenizer_keys(metadata, spec, 100); }).find("vocab_size of tokens"),
            string::npos);
  spec.pre_tokenizer = {tokenizer::SplitStep{"x"}, tokenizer::ByteLevelStep{}};
  EXPECT_NE(base::message_of([&] { add_tokenizer_keys(metadata, spec, 300); }).find("the pre-tokenizer must be"),
            string::npos);
}

TEST(GgufTokenizer, NoneAndOtherKinds) {
  const base::TestFolder folder("gguf_tokenizer_none");
  EXPECT_FALSE(tokenizer_from_gguf(written(folder / "a", [](GgufMetadata&) {})));
  EXPECT_FALSE(tokenizer_from_gguf(written(folder / "b", [](GgufMetadata& m) { add_no_tokenizer_keys(m, 0, 1); })));
  const GgufFile other = written(folder / "c", [](GgufMetadata& m) { m.add_text("tokenizer.ggml.model", "llama"); });
  EXPECT_NE(base::message_of([&] { tokenizer_from_gguf(other); }).find("must be gpt2"), string::npos);
}

TEST(GgufTokenizer, BrokenKeysAreRefusedByName) {
  const base::TestFolder folder("gguf_tokenizer_broken");
  using Strings = std::vector<string>;
  struct Keys {
    Strings tokens = {"a", "b", "ab"}, merges = {"a b"};
    std::vector<int32_t> types = {1, 1, 1};
    string pre = "deepseek-v3";
    int64_t bos = 0;
  };
  const auto message = [&](const std::function<void(Keys&)>& change) {
    Keys keys;
    change(keys);
    const GgufFile file = written(folder / "f", [&](GgufMetadata& m) {
      m.add_text("tokenizer.ggml.model", "gpt2");
      if (!keys.pre.empty()) m.add_text("tokenizer.ggml.pre", keys.pre);
      m.add_texts("tokenizer.ggml.tokens", keys.tokens);
      m.add_texts("tokenizer.ggml.merges", keys.merges);
      m.add_i32s("tokenizer.ggml.token_type", keys.types);
      m.add_u32("tokenizer.ggml.bos_token_id", keys.bos);
    });
    return base::message_of([&] { tokenizer::Tokenizer tokenizer(*tokenizer_from_gguf(file)); });
  };
  const auto refuses = [&](const string& rule, const std::function<void(Keys&)>& change) {
    EXPECT_NE(message(change).find(rule), string::npos) << message(change);
  };
  EXPECT_EQ(message([](Keys&) {}), "(no error)");
  refuses("tokenizer.ggml.pre must be", [](Keys& k) { k.pre = "falcon"; });
  refuses("tokenizer.ggml.pre; without it", [](Keys& k) { k.pre = ""; });
  refuses("as many token types as tokens", [](Keys& k) { k.types.pop_back(); });
  refuses("tokens are normal, control", [](Keys& k) { k.types[1] = 6; });
  refuses("tokens are normal, control", [](Keys& k) { k.types[1] = -7; });
  refuses("two tokens are the same", [](Keys& k) { k.tokens[1] = "a"; });
  refuses("a merge is two tokens", [](Keys& k) { k.merges = {"ab"}; });
  refuses("a merge is two tokens", [](Keys& k) { k.merges = {"a b ab"}; });
  refuses("a merge names a token that is not", [](Keys& k) { k.merges = {"b a"}; });
  refuses("a merge names a token that is not", [](Keys& k) { k.types[0] = 3; });
  refuses("bos_token_id must be the id of a token", [](Keys& k) { k.bos = 3; });
}

TEST(GgufTokenizer, WhereAFileDoesNotSayBosGoesBeforeTextsOfLlama3Only) {
  const base::TestFolder folder("gguf_tokenizer_bos");
  const auto prefix = [&](const string& pre, std::optional<bool> says) {
    const GgufFile file = written(folder / "f", [&](GgufMetadata& m) {
      m.add_text("tokenizer.ggml.model", "gpt2");
      m.add_text("tokenizer.ggml.pre", pre);
      m.add_texts("tokenizer.ggml.tokens", std::vector<string>{"<s>", "a"});
      m.add_i32s("tokenizer.ggml.token_type", std::vector<int32_t>{3, 1});
      m.add_texts("tokenizer.ggml.merges", {});
      m.add_u32("tokenizer.ggml.bos_token_id", 0);
      if (says) m.add_bool("tokenizer.ggml.add_bos_token", *says);
    });
    return tokenizer_from_gguf(file)->prefix;
  };
  for (const char* pre : {"llama-bpe", "llama3", "llama-v3"}) {
    EXPECT_EQ(prefix(pre, std::nullopt), std::vector<int32_t>{0}) << pre;
    EXPECT_TRUE(prefix(pre, false).empty()) << pre;
  }
  EXPECT_TRUE(prefix("qwen2", std::nullopt).empty());
  EXPECT_EQ(prefix("deepseek-llm", true), std::vector<int32_t>{0});
}

TEST(GgufTokenizer, APaddingTokenThatIsNotThereIsNone) {
  const base::TestFolder folder("gguf_tokenizer_padding");
  tokenizer::TokenizerSpec spec = trained();
  spec.pad = std::nullopt;
  for (const int64_t pad : {int64_t{UINT32_MAX}, int64_t{280}, int64_t{100000}}) {
    const GgufFile file = written(folder / "f", [&](GgufMetadata& m) {
      add_tokenizer_keys(m, spec, 280);
      m.add_u32("tokenizer.ggml.padding_token_id", pad);
    });
    EXPECT_EQ(tokenizer_from_gguf(file)->pad, std::nullopt) << pad;
  }
  spec.bos = spec.eos = std::nullopt;
  spec.prefix.clear();
  const GgufFile file = written(folder / "f", [&](GgufMetadata& m) {
    add_tokenizer_keys(m, spec, 280);
    m.add_u32("tokenizer.ggml.bos_token_id", UINT32_MAX);
    m.add_u32("tokenizer.ggml.eos_token_id", UINT32_MAX);
  });
  EXPECT_EQ(tokenizer_from_gguf(file)->bos, std::nullopt);
  EXPECT_EQ(tokenizer_from_gguf(file)->eos, std::nullopt);
}

// DeepSeek-LLM's vocabulary from llama.cpp's own file, with the vectors that llama.cpp tests it with.
TEST(GgufTokenizer, ReadsLlamaCppsVocabularyFile) {
  const char* shared = std::getenv("DSMOE_SHARED");
  const base::fs::path data = base::fs::path(shared != nullptr ? shared : DSMOE_SOURCE_DIR "/../shared") / "data";
  if (!base::fs::exists(data / "deepseek-llm-vocab.gguf")) {
    GTEST_SKIP() << "no data/deepseek-llm-vocab.gguf in DSMOE_SHARED or beside the project";
  }
  const tokenizer::Tokenizer tokenizer(*tokenizer_from_gguf(GgufFile(data / "deepseek-llm-vocab.gguf")));
  EXPECT_EQ(tokenizer.encode("Hello world", true), (std::vector<int32_t>{100000, 17464, 1843}));
  EXPECT_EQ(tokenizer.encode("Führer"), (std::vector<int32_t>{37, 100014, 71, 6245}));
  const base::TestFolder folder("gguf_deepseek_llm");
  const GgufFile again =
      written(folder / "f", [&](GgufMetadata& m) { add_tokenizer_keys(m, tokenizer.spec(), 102400); });
  EXPECT_EQ(again.text("tokenizer.ggml.pre"), "deepseek-llm");
  EXPECT_EQ(again.texts("tokenizer.ggml.merges"),
            GgufFile(data / "deepseek-llm-vocab.gguf").texts("tokenizer.ggml.merges"));
  EXPECT_EQ(tokenizer_from_gguf(again)->tokens, tokenizer.spec().tokens);
}

}  // namespace
}  // namespace dsmoe::formats
