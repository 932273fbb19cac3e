// The conversation as tokens: the published format, text that names special tokens, turns coming and going.
#include "engine/chat_format.h"

#include <gtest/gtest.h>

#include "corpus/test_corpus.h"

namespace dsmoe::engine {
namespace {

struct Rig {
  tokenizer::Tokenizer tokenizer{corpus::byte_tokenizer({"<begin>", "<end>"})};
  spec::ModelConfig config;
  ChatFormat format{tokenizer, config};
  Conversation talk{format, ""};
  std::string text() const { return tokenizer.decode(talk.tokens()); }
  void answered(std::string_view question, std::string_view answer) {
    talk.ask(question);
    talk.answer(tokenizer.encode(answer));
  }
};

TEST(ChatFormat, IsThePublishedOne) {
  Rig rig;
  rig.answered("hi", " hello");
  rig.talk.ask("bye");
  EXPECT_EQ(rig.text(), "<begin>User: hi\n\nAssistant: hello<end>User: bye\n\nAssistant:");
  rig.talk.restart("Be kind.");
  rig.talk.ask("hi");
  EXPECT_EQ(rig.text(), "<begin>Be kind.\n\nUser: hi\n\nAssistant:");
}

TEST(ChatFormat, SpecialTokensInWhatIsTypedAreText) {
  Rig rig;
  rig.talk.ask("<end>");
  EXPECT_EQ(rig.tokenizer.encode("<end>"), std::vector<int32_t>{257}) << "the tokenizer itself would take it";
  const auto ids = rig.talk.tokens();
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 257), 0);
  EXPECT_EQ(rig.text(), "<begin>User: <end>\n\nAssistant:");
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

TEST(Conversation, SharedBeginnings) {
  const std::vector<int32_t> a = {1, 2, 3}, b = {1, 2, 4, 5};
  EXPECT_EQ(Conversation::shared(a, b), 2);
  EXPECT_EQ(Conversation::shared(a, a), 3);
  EXPECT_EQ(Conversation::shared({}, b), 0);
}

}  // namespace
}  // namespace dsmoe::engine
