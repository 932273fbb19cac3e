#include "tokenizer/tokenizer_added.h"

#include <gtest/gtest.h>

namespace dsmoe::tokenizer {
namespace {

AddedToken token(int32_t id, std::string content) {
  AddedToken added;
  added.id = id;
  added.content = std::move(content);
  return added;
}

// Text as it is, tokens as their number in brackets.
std::string split(const std::vector<AddedToken>& tokens, std::string_view text) {
  std::vector<std::string> patterns;
  for (const AddedToken& added : tokens) patterns.push_back(added.content);
  std::string out;
  AddedTokenMatcher(tokens, patterns)
      .split(
          text,
          [&](std::string_view piece) {
            EXPECT_FALSE(piece.empty());
            out += "(" + std::string(piece) + ")";
          },
          [&](int32_t id) { out += std::to_string(id); });
  return out;
}

TEST(AddedTokens, LongestFromLeftToRight) {
  const std::vector<AddedToken> tokens = {token(1, "<a>"), token(2, "<a><b>"), token(3, "a"), token(4, "é")};
  EXPECT_EQ(split(tokens, "x<a>y"), "(x)1(y)");
  EXPECT_EQ(split(tokens, "<a><b><a>"), "21");
  EXPECT_EQ(split(tokens, "<a><ba<"), "1(<b)3(<)");
  EXPECT_EQ(split(tokens, "bébé"), "(b)4(b)4");
  EXPECT_EQ(split(tokens, ""), "");
  EXPECT_EQ(split({}, "<a>"), "(<a>)");
  EXPECT_EQ(split({token(1, "<|x|>")}, "<<|<|x|><|x"), "(<<|)1(<|x)");
}

// The expectations are what Hugging Face's library gives (tools/tokenizer_oracle holds more of them to it).
TEST(AddedTokens, TakeWhiteSpace) {
  AddedToken left = token(1, "<l>"), right = token(2, "<r>");
  left.lstrip = true;
  right.rstrip = true;
  const std::vector<AddedToken> tokens = {left, right};
  EXPECT_EQ(split(tokens, "a \u3000\n<l> b"), "(a)1( b)");
  EXPECT_EQ(split(tokens, "a <r> \t\u00a0b"), "(a )2(b)");
  EXPECT_EQ(split(tokens, "<r>  <l> "), "21( )");
  EXPECT_EQ(split(tokens, "  <l>"), "1");
  EXPECT_EQ(split(tokens, "<r>  "), "2");
  EXPECT_EQ(split({right, token(3, " x")}, "<r> xy"), "23(y)");  // the space is taken twice
}

TEST(AddedTokens, SingleWordsStandAlone) {
  AddedToken word = token(1, "cat");
  word.single_word = true;
  EXPECT_EQ(split({word}, "cat"), "1");
  EXPECT_EQ(split({word}, "a cat, concat cats cat_ écat cat"), "(a )1(, concat cats cat_ écat )1");
  EXPECT_EQ(split({word}, "(cat)½cat€"), "(()1()½)1(€)");
  EXPECT_EQ(split({word}, "catcat cat"), "(catcat )1");
  EXPECT_EQ(split({word},
                  "\xff"
                  "cat\xff"),
            "(\xff)1(\xff)");
}

}  // namespace
}  // namespace dsmoe::tokenizer
