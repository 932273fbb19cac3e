#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "tokenizer/bpe_alphabet.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::tokenizer {
namespace {

// A vocabulary of three special tokens, all bytes, and a few merges.
TokenizerSpec small_spec() {
  TokenizerSpec spec;
  spec.tokens = {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"};
  for (int32_t id = 0; id < 3; ++id) {
    AddedToken token;
    token.id = id;
    token.content = spec.tokens[static_cast<size_t>(id)];
    token.special = token.in_model = true;
    spec.added_tokens.push_back(token);
  }
  for (int byte = 0; byte < 256; ++byte)
    spec.tokens.push_back(bytes_to_alphabet(std::string(1, static_cast<char>(byte))));
  const auto id_of = [&](const std::string& text) {
    return static_cast<int32_t>(std::find(spec.tokens.begin(), spec.tokens.end(), text) - spec.tokens.begin());
  };
  for (const auto& [left, right] : {std::pair{"t", "h"}, {"th", "e"}, {"Ġ", "the"}, {"x", "x"}, {"xx", "xx"}}) {
    spec.tokens.push_back(std::string(left) + right);
    spec.merges.push_back({id_of(left), id_of(right), static_cast<int32_t>(spec.tokens.size()) - 1});
  }
  spec.pre_tokenizer = *pretokenizer_steps("deepseek-v3");
  spec.bos = 0;
  spec.eos = 1;
  spec.prefix = {0};
  return spec;
}

TEST(Tokenizer, EncodesAndAddsSpecialTokens) {
  const Tokenizer tokenizer(small_spec());
  const auto id = [&](const char* text) { return *tokenizer.token_id(text); };
  EXPECT_EQ(tokenizer.encode("the the", true), (std::vector<int32_t>{0, id("the"), id(" the")}));
  EXPECT_EQ(tokenizer.encode("a<｜end▁of▁sentence｜>b"), (std::vector<int32_t>{id("a"), 1, id("b")}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("the<｜end▁of▁sentence｜>", true), true), "the");
  EXPECT_EQ(tokenizer.token_id("Ġthe"), tokenizer.token_id(" the"));
  EXPECT_EQ(tokenizer.token_bytes(100000), "");
}

TEST(Tokenizer, ADocumentIsTextWhateverItSpells) {
  TokenizerSpec spec = small_spec();
  spec.tokens.push_back("<name>");
  spec.added_tokens.push_back({.id = static_cast<int32_t>(spec.tokens.size()) - 1, .content = "<name>"});
  const Tokenizer tokenizer(spec);
  const auto id = [&](const char* text) { return *tokenizer.token_id(text); };
  EXPECT_EQ(tokenizer.encode_document("the<name> the"), (std::vector<int32_t>{id("the"), id("<name>"), id(" the")}));
  const std::string text = "a<｜end▁of▁sentence｜><｜▁pad▁｜>the";
  const std::vector<int32_t> ids = tokenizer.encode_document(text);
  for (const int32_t i : ids) EXPECT_FALSE(tokenizer.is_special(i)) << i;
  EXPECT_EQ(ids.back(), id("the"));
  EXPECT_EQ(tokenizer.decode(ids, /*skip_special=*/true), text);
}

TEST(Tokenizer, DecodeUndoesEncodeForAnyBytes) {
  const Tokenizer tokenizer(small_spec());
  base::Rng rng(1);
  for (int round = 0; round < 300; ++round) {
    std::string text(rng.below(200), 0);
    for (char& c : text) c = static_cast<char>(rng.below(2) ? rng.below(256) : "the x\n<｜"[rng.below(10)]);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(Tokenizer, FileHoldsAllOfIt) {
  const TokenizerSpec spec = small_spec();
  const TokenizerSpec read = parse_tokenizer_json(tokenizer_json_text(spec), tokenizer_config_text(spec), "test");
  EXPECT_EQ(read.tokens, spec.tokens);
  EXPECT_EQ(read.merges, spec.merges);
  EXPECT_EQ(read.added_tokens, spec.added_tokens);
  EXPECT_EQ(read.pre_tokenizer, spec.pre_tokenizer);
  EXPECT_EQ(read.prefix, spec.prefix);
  EXPECT_EQ(read.eos, spec.eos);
  EXPECT_EQ(tokenizer_hash(Tokenizer(read)), tokenizer_hash(Tokenizer(spec)));
}

}  // namespace
}  // namespace dsmoe::tokenizer
