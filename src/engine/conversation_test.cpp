// The conversation as tokens: turns coming and going, and what becomes of answers.
#include "engine/conversation.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "corpus/test_corpus.h"

namespace dsmoe::engine {
namespace {

struct Rig {
  explicit Rig(const std::string& format = "plain")
      : encoder(tokenizer, tokenizer::chat_format_named(format), {256, 257}) {}
  tokenizer::Tokenizer tokenizer{
      corpus::byte_tokenizer({"<begin>", "<end>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>",
                              "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"})};
  tokenizer::ChatEncoder encoder;
  Conversation talk{encoder, tokenizer, ""};
  std::string text() const { return tokenizer.decode(talk.tokens()); }
  void answered(std::string_view question, std::string_view answer) {
    talk.ask(question);
    talk.answer(tokenizer.encode(answer));
  }
};

TEST(Conversation, IsWrittenInItsFormat) {
  Rig rig;
  rig.answered("hi", " hello");
  rig.talk.ask("bye");
  EXPECT_EQ(rig.text(), "<begin>User: hi\n\nAssistant: hello<end>User: bye\n\nAssistant:");
  rig.talk.restart("Be kind.");
  rig.talk.ask("<end>");
  EXPECT_EQ(rig.text(), "<begin>Be kind.\n\nUser: <end>\n\nAssistant:");
  const auto ids = rig.talk.tokens();
  EXPECT_EQ(std::ranges::count(ids, 257), 0) << "what is typed is text";
}

TEST(Conversation, TurnsAreTakenBackAndForgotten) {
  Rig rig;
  EXPECT_FALSE(rig.talk.take_back_answer());
  EXPECT_FALSE(rig.talk.take_back_question());
  rig.answered("one", " 1");
  rig.answered("two", " 2");
  rig.talk.take_back_answer();
  EXPECT_EQ(rig.text(), "<begin>User: one\n\nAssistant: 1<end>User: two\n\nAssistant:");
  rig.talk.take_back_question();
  EXPECT_EQ(rig.text(), "<begin>User: one\n\nAssistant: 1<end>");
  rig.answered("two", " 2");
  rig.talk.ask("three");
  const auto all = static_cast<int64_t>(rig.talk.tokens().size());
  EXPECT_EQ(rig.talk.make_room(all), 0u);
  EXPECT_EQ(rig.talk.make_room(all - 1), 1u);
  EXPECT_EQ(rig.text(), "<begin>User: two\n\nAssistant: 2<end>User: three\n\nAssistant:");
  EXPECT_EQ(rig.talk.make_room(1), 1u) << "the last question stays";
  EXPECT_EQ(rig.text(), "<begin>User: three\n\nAssistant:");
}

TEST(Conversation, AnAnswerKeepsItsTokens) {
  for (const char* format : {"plain", "llama3", "deepseek-v3-0324", "deepseek-r1-first"}) {
    Rig rig(format);
    rig.talk.ask("hi");
    const auto before = rig.talk.tokens();
    const std::vector<int32_t> answer = {format == std::string("plain") ? ' ' : 'a', 'a', 256,
                                         'b'};  // a special token inside
    rig.talk.answer(answer);
    rig.talk.ask("bye");
    std::vector<int32_t> so_far = before;
    so_far.insert(so_far.end(), answer.begin(), answer.end());
    const auto after = rig.talk.tokens();
    EXPECT_EQ(Conversation::shared(so_far, after), std::ssize(so_far)) << format;
    EXPECT_EQ(after[so_far.size()], rig.encoder.end_of_turn()) << format;
  }
}

TEST(Conversation, AnAnswerIsWrittenAsTheFormatWritesItInRetrospect) {
  Rig plain;
  plain.answered("hi", "hello");
  EXPECT_EQ(plain.text(), "<begin>User: hi\n\nAssistant: hello<end>") << "the space belongs to the format";
  Rig llama("llama3");
  llama.answered("hi", " hello\n\n");
  EXPECT_NE(llama.text().find("<|end_header_id|>\n\nhello<|eot_id|>"), std::string::npos) << llama.text();
  Rig r1("deepseek-r1");
  r1.answered("hi", "why\n</think>\n\nso");
  r1.talk.ask("bye");
  EXPECT_EQ(r1.text(),
            "<begin><｜User｜>hi<｜Assistant｜>\n\nso<｜end▁of▁sentence｜><｜User｜>bye<｜Assistant｜><think>\n");
}

TEST(Conversation, SharedBeginnings) {
  const std::vector<int32_t> a = {1, 2, 3}, b = {1, 2, 4, 5};
  EXPECT_EQ(Conversation::shared(a, b), 2);
  EXPECT_EQ(Conversation::shared(a, a), 3);
  EXPECT_EQ(Conversation::shared({}, b), 0);
}

}  // namespace
}  // namespace dsmoe::engine
