// Which of a model's templates its conversations are written by, wherever its files keep them.
#include "formats/chat_templates.h"

#include <gtest/gtest.h>

#include "base/test_files.h"
#include "formats/gguf_writer.h"

namespace dsmoe::formats {
namespace {

using Names = std::vector<std::string>;

class ChatTemplatesTest : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    base::fs::create_directories((folder_ / name).parent_path());
    base::write_file(folder_ / name, text, base::unsynced_files);
  }
  // Of a folder whose tokenizer_config.json has this chat_template.
  ChatTemplates in_config(const std::string& value) {
    write("tokenizer_config.json", R"({"chat_template": )" + value + "}");
    return chat_templates_of(folder_.path());
  }
  std::string refusal() {
    return base::message_of([&] { chat_template_of(folder_.path()); });
  }

  base::TestFolder folder_{"chat_templates"};
};

TEST_F(ChatTemplatesTest, OneTextOrSeveralByName) {
  EXPECT_EQ(chat_template_of(folder_.path()), "");
  EXPECT_EQ(in_config("null").conversation, "");
  EXPECT_EQ(in_config("[]").conversation, "");
  EXPECT_EQ(in_config(R"("one")").conversation, "one");
  const ChatTemplates list = in_config(R"([{"name": "rag", "template": "a"}, {"name": "default", "template": "b"}])");
  EXPECT_EQ(list.conversation, "b");
  EXPECT_EQ(list.other_uses, Names{"rag"});
  EXPECT_EQ(in_config(R"({"default": "c", "tool_use": "d"})").conversation, "c");
}

TEST_F(ChatTemplatesTest, AnotherUsesTemplateIsNoGuess) {
  EXPECT_EQ(in_config(R"([{"name": "rag", "template": "a"}])").conversation, "");
  EXPECT_NE(refusal().find("must be called default"), std::string::npos) << refusal();
  EXPECT_NE(refusal().find("rag"), std::string::npos) << refusal();
  in_config("null");
  write("additional_chat_templates/tool_use.jinja", "t");
  EXPECT_NE(refusal().find("\"tool_use\"; choose a format with --chat-format"), std::string::npos) << refusal();
  write("chat_template.jinja", "own");
  EXPECT_EQ(chat_template_of(folder_.path()), "own");
}

TEST_F(ChatTemplatesTest, WhatIsNoTemplateIsRefused) {
  for (const char* value : {"5", "true", R"({"default": 1})"}) {
    in_config("null");
    write("tokenizer_config.json", std::string(R"({"chat_template": )") + value + "}");
    EXPECT_NE(refusal().find("chat_template must be text, several by name, or null"), std::string::npos) << refusal();
  }
  write("tokenizer_config.json", R"({"chat_template": [{"name": "default"}]})");
  EXPECT_NE(refusal().find("template"), std::string::npos) << refusal();
}

TEST_F(ChatTemplatesTest, TheFirstFileThatHasOneCounts) {
  write("chat_template.json", R"({"chat_template": "of a processor"})");
  EXPECT_EQ(chat_template_of(folder_.path()), "of a processor");
  EXPECT_EQ(in_config("null").conversation, "of a processor");
  EXPECT_EQ(in_config(R"("of the tokenizer")").conversation, "of the tokenizer");
  write("chat_template.jinja", "newest");
  EXPECT_EQ(chat_template_of(folder_.path()), "newest");
}

TEST_F(ChatTemplatesTest, OfAGgufFile) {
  const auto with = [&](const Names& keys) {
    GgufMetadata metadata;
    metadata.add_text("general.architecture", "llama");
    for (const std::string& key : keys) metadata.add_text(key, "text of " + key);
    GgufWriter(folder_ / "f", metadata, {}, base::unsynced_files).finish();
    return chat_templates_of(folder_ / "f");
  };
  EXPECT_EQ(with({}).conversation, "");
  EXPECT_EQ(with({"tokenizer.chat_template", "tokenizer.chat_template.rag"}).conversation,
            "text of tokenizer.chat_template");
  EXPECT_EQ(with({"tokenizer.chat_template.rag"}).other_uses, Names{"rag"});
  EXPECT_NE(base::message_of([&] { chat_template_of(folder_ / "f"); }).find("rag"), std::string::npos);
}

}  // namespace
}  // namespace dsmoe::formats
