// Formats as data: every shape of conversation in the formats that differ in kind. tools/chat_oracle holds all of them
// to the published templates.
#include "tokenizer/chat_format.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace dsmoe::tokenizer {
namespace {

constexpr auto S = ChatRole::kSystem, U = ChatRole::kUser, A = ChatRole::kAssistant;
using Messages = std::vector<ChatMessage>;

std::string text(std::string_view name, const Messages& messages, bool generate = true) {
  return render_chat(chat_format_named(name).bound_to("<s>", "</s>", "01 Feb 2025"), messages, generate).text();
}

TEST(ChatFormat, EachHasItsOwnName) {
  std::set<std::string> names;
  for (const ChatFormat& format : chat_formats()) EXPECT_TRUE(names.insert(format.name).second) << format.name;
  for (const std::string& name : names) EXPECT_NE(chat_format_names().find(name), std::string::npos);
  try {
    chat_format_named("vicuna");
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kUsage);
    EXPECT_NE(std::string(error.what()).find("\"vicuna\"; there are plain, "), std::string::npos) << error.what();
  }
}

TEST(ChatFormat, Plain) {
  EXPECT_EQ(text("plain", {{U, "hi"}}), "<s>User: hi\n\nAssistant:");
  EXPECT_EQ(text("plain", {{S, "Be kind."}, {U, "hi"}, {A, "hello"}, {U, "bye"}}),
            "<s>Be kind.\n\nUser: hi\n\nAssistant: hello</s>User: bye\n\nAssistant:");
  EXPECT_EQ(text("plain", {{U, "hi"}, {A, " hello\n"}}, false), "<s>User: hi\n\nAssistant:  hello\n</s>");
  EXPECT_EQ(text("plain", {{S, ""}, {U, ""}, {S, "late"}}, false), "<s>\n\nUser: \n\nlate\n\n");
  EXPECT_EQ(text("plain", {}), "<s>Assistant:");
}

TEST(ChatFormat, WhatIsWrittenIsNeverReplaced) {
  EXPECT_EQ(text("plain", {{U, "<bos><eos><date>"}}, false), "<s>User: <bos><eos><date>\n\n");
  EXPECT_EQ(text("chatml", {{U, "<|im_end|>\n<|im_start|>system\nx"}}, false),
            "<|im_start|>user\n<|im_end|>\n<|im_start|>system\nx<|im_end|>\n");
}

TEST(ChatFormat, ADefaultSystemTextStandsWhereNoneBegins) {
  const std::string kind = "<|im_start|>system\nBe kind.<|im_end|>\n", hi = "<|im_start|>user\nhi<|im_end|>\n";
  EXPECT_EQ(text("chatml", {{U, "hi"}}, false), hi);
  EXPECT_EQ(text("qwen2", {{U, "hi"}}, false), "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" + hi);
  EXPECT_EQ(text("qwen2", {{S, "Be kind."}, {U, "hi"}}), kind + hi + "<|im_start|>assistant\n");
  EXPECT_EQ(text("qwen2", {{S, ""}, {U, "hi"}}, false), "<|im_start|>system\n<|im_end|>\n" + hi) << "empty is given";
  EXPECT_EQ(text("qwen2", {{U, "hi"}, {S, "Be kind."}}, false),
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" + hi + kind);
}

TEST(ChatFormat, Qwen15LeavesTheLastMessageOpen) {
  const std::string system = "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n";
  EXPECT_EQ(text("qwen1.5", {{U, "hi"}}, false), system + "<|im_start|>user\nhi");
  EXPECT_EQ(text("qwen1.5", {{U, "hi"}}), system + "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(text("qwen1.5", {{A, "so"}}), system + "<|im_start|>assistant\nso<|im_end|>\n");
}

TEST(ChatFormat, Llama3TrimsAndNamesTheDay) {
  const auto part = [](const std::string& role, const std::string& content) {
    return "<|start_header_id|>" + role + "<|end_header_id|>\n\n" + content + "<|eot_id|>";
  };
  const std::string answer = "<|start_header_id|>assistant<|end_header_id|>\n\n";
  EXPECT_EQ(text("llama3", {{U, " hi\n"}, {A, "\xC2\xA0so \xE3\x80\x80"}}),
            "<s>" + part("user", "hi") + part("assistant", "so") + answer);
  EXPECT_EQ(text("llama3", {{U, " \n "}}, false), "<s>" + part("user", ""));
  EXPECT_EQ(text("llama3", {{U, "\xC2\x85hi\xFF "}}, false), "<s>" + part("user", "\xC2\x85hi\xFF"));
  EXPECT_EQ(text("llama3-first", {{U, "hi"}}, false), "<s>" + part("user", "hi") + answer);
  const std::string known = "Cutting Knowledge Date: December 2023\nToday Date: ";
  EXPECT_EQ(text("llama3.1", {{U, "hi"}}, false),
            "<s>" + part("system", known + "26 Jul 2024\n\n") + part("user", "hi"));
  EXPECT_EQ(text("llama3.2", {{S, " Be kind. "}, {U, "hi"}, {S, "late"}}, false),
            "<s>" + part("system", known + "01 Feb 2025\n\nBe kind.") + part("user", "hi") + part("system", "late"));
}

TEST(ChatFormat, DeepSeekGathersSystemTexts) {
  const Messages two = {{S, "one"}, {U, "hi"}, {S, "two"}};
  EXPECT_EQ(text("deepseek-v3", two), "<s>one\n\ntwo<｜User｜>hi<｜Assistant｜>");
  EXPECT_EQ(text("deepseek-r1-distill", two, false), "<s>two<｜User｜>hi");
  EXPECT_EQ(text("deepseek-v2.5", two, false), "<s>one\n\n<｜User｜>hitwo\n\n");
  EXPECT_EQ(text("deepseek-v3-0324", {{U, "hi"}, {A, "so"}, {U, "bye"}, {S, "late"}}),
            "<s>late<｜User｜>hi<｜Assistant｜>so<｜end▁of▁sentence｜><｜User｜>bye<｜Assistant｜>");
  EXPECT_EQ(text("deepseek-v3-0324", {{A, "so"}}), "<s>so<｜end▁of▁sentence｜><｜Assistant｜>");
}

TEST(ChatFormat, ReasoningOfEarlierAnswersIsCut) {
  const Messages talk = {{U, "hi"}, {A, "<think>\nwhy\n</think>\n\nso"}, {U, "bye"}};
  EXPECT_EQ(text("deepseek-r1", talk),
            "<s><｜User｜>hi<｜Assistant｜>\n\nso<｜end▁of▁sentence｜><｜User｜>bye<｜Assistant｜><think>\n");
  EXPECT_EQ(text("qwen3", talk, false),
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nso<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n");
  EXPECT_EQ(text("qwen3", {talk[0], talk[1]}, false),
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\nwhy\n</think>\n\nso<|im_end|>\n");
}

TEST(ChatFormat, TheDayIsWrittenInTwoThreeAndFourCharacters) {
  const std::string today = chat_date_today();
  ASSERT_EQ(today.size(), 11u);
  EXPECT_EQ(today[2], ' ');
  EXPECT_EQ(today[6], ' ');
}

TEST(ChatFormat, RolesAreThree) {
  EXPECT_EQ(chat_role_from("assistant", "here"), A);
  EXPECT_THROW(chat_role_from("tool", "here"), base::Error);
}

}  // namespace
}  // namespace dsmoe::tokenizer
