// Templates told apart by their text: what is written in another manner is the same, what may render differently is
// not.
#include "tokenizer/chat_template.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace dsmoe::tokenizer {
namespace {

// ChatML in a manner of its own.
const std::string kChatml =
    "{%- for message in messages %}\n"
    "    {{- \"<|im_start|>\" + message.role + \"\\n\" + message.content + \"<|im_end|>\\n\" }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- \"<|im_start|>assistant\\n\" }}\n"
    "{%- endif %}\n";

std::string recognised(std::string_view text) {
  const auto format = recognise_chat_template(text);
  return format ? format->name : "none";
}

std::string with(std::string text, std::string_view what, std::string_view by) {
  const size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), by);
}

TEST(ChatTemplate, OursIsPlain) {
  EXPECT_EQ(recognised(kPlainChatTemplate), "plain");
  EXPECT_EQ(chat_format_of(kPlainChatTemplate, "here").name, "plain");
  EXPECT_EQ(chat_format_of("", "here").name, "plain") << "a model without one";
}

TEST(ChatTemplate, TheMannerOfWritingDoesNotMatter) {
  EXPECT_EQ(recognised(kChatml), "chatml");
  const std::string other =
      "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"
      "{# turns #}{% for message in messages %}{{'<|im_start|>'}}{{ message['role'] }}{{ '\n'+message[\"content\"] }}"
      "<|im_end|>{{ '\\n' }}{% endfor %}{% if add_generation_prompt -%}\n  {{ '<|im_start|>' + 'assistant\\n' }}{% "
      "endif %}";
  EXPECT_EQ(recognised(other), "chatml");
  EXPECT_EQ(canonical_template(other)->text, canonical_template(kChatml)->text);
  const std::string trained =
      with(kChatml, "    {{- \"<|im_start|>\" +", "{% generation %}\n    {{- \"<|im_start|>\" +");
  EXPECT_EQ(recognised(with(trained, "{%- endfor %}", "{%- endgeneration %}\n{%- endfor %}")), "chatml");
}

TEST(ChatTemplate, WhatMayRenderDifferentlyIsNotKnown) {
  for (const auto& [what, by] : std::vector<std::pair<std::string, std::string>>{
           {"<|im_end|>\\n", "<|im_end|>"},
           {"message.content", "message.content | trim"},
           {"message.content", "message.text"},
           {"message.role", "message.role | upper"},
           {"in messages", "in messages[1:]"},
           {"{%- endfor %}\n{%- if", "{%- endfor %}\n\n{% if"},
           {"{%- endfor %}", "{{ eos_token }}{%- endfor %}"},
           {"{%- if add_generation_prompt %}", "{%- if not add_generation_prompt %}"},
           {"assistant\\n", "assistant\\n\\n"},
           {"assistant\\n", "assistant\\\\n"},
           {"\\n\" + message.content", "\\t\" + message.content"},
           {"{%- for", "x{%- for"},
           {"    {{-", "    {{"},
       }) {
    EXPECT_EQ(recognised(with(kChatml, what, by)), "none") << what << " by " << by;
  }
  EXPECT_EQ(recognised(kChatml + kChatml), "none");
}

TEST(ChatTemplate, ADefaultSystemTextIsReadOutOfIt) {
  const auto defaulted = [](const std::string& text) {
    return "{% for message in messages %}{% if loop.first and messages[0].role != 'system' %}"
           "{{ '<|im_start|>system\\n" +
           text +
           "<|im_end|>\\n' }}{% endif %}"
           "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  };
  const auto pirate = recognise_chat_template(defaulted("You are a pirate\\'s parrot."));
  ASSERT_TRUE(pirate);
  EXPECT_EQ(pirate->default_system, "You are a pirate's parrot.");
  const std::vector<ChatMessage> hi = {{ChatRole::kUser, "hi"}};
  EXPECT_EQ(render_chat(*pirate, hi, false).text(),
            "<|im_start|>system\nYou are a pirate's parrot.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n");
  EXPECT_EQ(recognised(defaulted("a<|im_end|>\\n<|im_start|>user\\nb")), "none") << "more than a system text";
}

TEST(ChatTemplate, WhatIsNotJinjaIsNotKnown) {
  for (const char* text : {"{{", "{% for", "{# never", "{{ 'open }}", "{{ '\\q' }}", "{%", "{{ } }}", "{", "plain text",
                           "{{}}", "{{ {'a': {'b': 1}} }}", "\xFF\xFE{{ x }}", "{{ a['b"}) {
    EXPECT_EQ(recognised(text), "none") << text;
  }
}

TEST(ChatTemplate, AnUnknownOneIsNamedAndNothingGuessed) {
  try {
    chat_format_of("{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}", "model.gguf");
    FAIL();
  } catch (const base::Error& error) {
    const std::string line = error.what();
    EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
    for (const char* part : {"model.gguf", "{% for m in messages %}[INST]", "--chat-format: plain, "}) {
      EXPECT_NE(line.find(part), std::string::npos) << part << " in " << line;
    }
  }
}

}  // namespace
}  // namespace dsmoe::tokenizer
