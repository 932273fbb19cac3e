#include "corpus/conversations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_files.h"

namespace dsmoe::corpus {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using tokenizer::ChatRole;

std::string text_of(const std::string& line) {
  const Conversation conversation = read_conversation(line, "f:1");
  std::string text;
  for (size_t i = 0; i < conversation.messages.size(); ++i) {
    constexpr const char* kLetters[] = {"S", "U", "A"};
    text += kLetters[static_cast<size_t>(conversation.messages[i].role)];
    text += (conversation.trained[i] ? "*(" : "(") + conversation.messages[i].content + ")";
  }
  return text;
}

TEST(Conversations, ThreeShapesAreRead) {
  EXPECT_EQ(text_of(R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"q"},
                        {"role":"assistant","content":"a"}], "id": 7})"),
            "S(s)U(q)A*(a)");
  EXPECT_EQ(text_of(R"({"instruction":"q","input":"","output":"a"})"), "U(q)A*(a)");
  EXPECT_EQ(text_of(R"({"instruction":"q","input":"i","output":"a","system":"s"})"), "S(s)U(q\n\ni)A*(a)");
  EXPECT_EQ(text_of(R"({"instruction":"q","output":"a","input":null})"), "U(q)A*(a)");
  EXPECT_EQ(text_of(R"({"system":"s","conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]})"),
            "S(s)U(q)A*(a)");
}

TEST(Conversations, AnAnswerMayBeLeftOut) {
  EXPECT_EQ(text_of(R"({"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","train":false},
                        {"role":"user","content":"r"},{"role":"assistant","content":"b","train":true}]})"),
            "U(q)A(a)U(r)A*(b)");
}

TEST(Conversations, WhatIsAgainstTheRulesIsNamedWithItsPlace) {
  const auto fault = [](const std::string& line) {
    return base::message_of([&] { read_conversation(line, "data.jsonl:12"); });
  };
  const auto turns = [](const std::string& list) { return R"({"messages":[)" + list + "]}"; };
  const std::string user = R"({"role":"user","content":"q"})", assistant = R"({"role":"assistant","content":"a"})";
  const std::pair<std::string, std::string> cases[] = {
      {"{", "data.jsonl:12"},
      {"[1]", "jq -c"},
      {"3", "must be a JSON object"},
      {R"({"text":"a"})", "must have messages, instruction and output, or conversations"},
      {turns(""), "it has no turn"},
      {turns(user), "must end with an assistant's turn"},
      {turns(assistant), "turn 1, of assistant, where one of user"},
      {turns(user + "," + user + "," + assistant), "turn 2, of user, where one of assistant"},
      {turns(user + "," + assistant + "," + assistant), "turn 3, of assistant"},
      {turns(user + R"(,{"role":"system","content":"s"},)" + assistant), "turn 2, of system"},
      {turns(user + R"(,{"role":"tool","content":"s"},)" + assistant), "\"tool\""},
      {turns(user + R"(,{"role":"assistant","content":" \n"})"), "an answer must have text"},
      {turns(R"({"role":"user","content":""},)" + assistant), "a question must have text"},
      {turns(user + R"(,{"role":"assistant","content":"a","train":false})"), "to learn from"},
      {turns(user + R"(,{"role":"assistant","content":"a","train":"no"})"), "train"},
      {turns(user + R"(,{"role":"assistant","content":["a"]})"), "content"},
      {turns(user + ",\"a\""), "a turn must be an object"},
      {R"({"messages":"q"})", "messages must be a list"},
      {R"({"instruction":"q"})", "output"},
      {R"({"instruction":"q","output":""})", "an answer must have text"},
      {R"({"conversations":[{"from":"human","value":"q"}]})", "must end with an assistant's turn"},
      {R"({"conversations":[{"role":"human","value":"q"}]})", "from"},
  };
  for (const auto& [line, words] : cases) {
    EXPECT_THAT(fault(line), AllOf(HasSubstr("data.jsonl:12"), HasSubstr(words))) << line;
  }
}

}  // namespace
}  // namespace dsmoe::corpus
