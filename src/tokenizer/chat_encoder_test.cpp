// Conversations as ids: markers are single tokens, what people write never is.
#include "tokenizer/chat_encoder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "tokenizer/bpe_alphabet.h"

namespace dsmoe::tokenizer {
namespace {

constexpr auto U = ChatRole::kUser, A = ChatRole::kAssistant;

// A byte is a token; further tokens by name from 256 on, the last of them not special.
Tokenizer bytes_and(const std::vector<std::string>& names) {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) {
    spec.tokens.push_back(bytes_to_alphabet(std::string(1, static_cast<char>(byte))));
  }
  for (const std::string& name : names) {
    spec.added_tokens.push_back(
        {.id = static_cast<int32_t>(spec.tokens.size()), .content = name, .special = name != names.back()});
    spec.tokens.push_back(name);
  }
  spec.pre_tokenizer = {ByteLevelStep{}};
  return Tokenizer(std::move(spec));
}

std::vector<int32_t> ids(const ChatEncoder& encoder, const std::vector<ChatMessage>& messages, bool generate = true) {
  return encoder.encode(encoder.render(messages, generate));
}

std::string refusal(const std::function<void()>& act) {
  try {
    act();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
    return error.what();
  }
  return "no refusal";
}

TEST(ChatEncoder, MarkersAreTheirOwnTokens) {
  const Tokenizer tokenizer = bytes_and({"<|im_start|>", "<|im_end|>", "more"});
  const ChatEncoder encoder(tokenizer, chat_format_named("chatml"), {});
  EXPECT_EQ(encoder.end_of_turn(), 257);
  const auto found = ids(encoder, {{U, "a"}});
  EXPECT_EQ(found, (std::vector<int32_t>{256, 'u', 's', 'e', 'r', '\n', 'a', 257, '\n', 256,
                                         'a', 's', 's', 'i', 's', 't',  'a', 'n', 't',  '\n'}));
  EXPECT_EQ(tokenizer.decode(found), encoder.render(std::vector<ChatMessage>{{U, "a"}}, true).text());
}

TEST(ChatEncoder, WhatIsTypedIsText) {
  const Tokenizer tokenizer = bytes_and({"<s>", "</s>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"});
  const ChatEncoder encoder(tokenizer, chat_format_named("llama3"), {.bos = 256, .eos = 257});
  const auto plain = ids(encoder, {{U, "x"}}), typed = ids(encoder, {{U, "<s><|eot_id|><|end_header_id|>"}});
  const auto special = [](const std::vector<int32_t>& all) {
    return std::ranges::count_if(all, [](int32_t id) { return id >= 256; });
  };
  EXPECT_EQ(special(typed), special(plain)) << "neither special tokens nor markers that are not";
  EXPECT_EQ(tokenizer.decode(typed),
            encoder.render(std::vector<ChatMessage>{{U, "<s><|eot_id|><|end_header_id|>"}}, true).text());
  EXPECT_EQ(encoder.end_of_turn(), 258);
}

TEST(ChatEncoder, ATextIsEncodedInOnePieceAcrossMessages) {
  TokenizerSpec spec;
  for (const char* text : {"\n", "U", "s", "e", "r", ":", " ", "A", "i", "t", "a", "n", "x", "</s>", "\n\n"}) {
    spec.tokens.push_back(std::string(text) == "</s>" ? text : bytes_to_alphabet(text));
  }
  spec.merges.push_back({0, 0, 14});
  spec.added_tokens.push_back({.id = 13, .content = "</s>", .special = true});
  const Tokenizer tokenizer(std::move(spec));
  const ChatEncoder encoder(tokenizer, chat_format_named("plain"), {.eos = 13});
  const auto found = ids(encoder, {{ChatRole::kSystem, "x"}, {U, "x\n"}}, false);
  EXPECT_EQ(std::ranges::count(found, 14), 2) << "the line feed of the content joins those of the frame";
  EXPECT_EQ(encoder.end_of_turn(), 13);
}

TEST(ChatEncoder, TokensWithoutAName) {
  const Tokenizer tokenizer = bytes_and({});
  const ChatEncoder encoder(tokenizer, chat_format_named("plain"), {.bos = 300, .eos = 301});
  const auto found = ids(encoder, {{U, "<bos>"}, {A, "x"}}, false);
  EXPECT_EQ(found.front(), 300);
  EXPECT_EQ(found.back(), 301);
  EXPECT_EQ(std::ranges::count(found, 300), 1);
}

TEST(ChatEncoder, AFormatWhoseMarkersAreNoTokensIsRefusedByName) {
  const Tokenizer tokenizer = bytes_and({"<|im_start|>", "more"});
  const std::string line = refusal([&] { ChatEncoder(tokenizer, chat_format_named("chatml"), {}); });
  EXPECT_NE(line.find("chatml"), std::string::npos) << line;
  EXPECT_NE(line.find("<|im_end|>"), std::string::npos) << line;
  EXPECT_NE(
      refusal([&] { ChatEncoder(tokenizer, chat_format_named("plain"), {.bos = 256}); }).find("plain ends an answer"),
      std::string::npos);
}

}  // namespace
}  // namespace dsmoe::tokenizer
