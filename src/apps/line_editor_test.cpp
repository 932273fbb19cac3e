// Editing a line key by key, as a terminal sends them.
#include "apps/line_editor.h"

#include <gtest/gtest.h>

namespace dsmoe::apps {
namespace {

struct Typed {
  std::string text;
  size_t cursor;
  EditedLine::State state;
};

Typed type(std::string_view keys, std::vector<std::string> history = {}) {
  EditedLine line(std::move(history));
  EditedLine::State state = EditedLine::State::kTyping;
  for (const char c : keys) state = line.key(c);
  return {line.text(), line.cursor(), state};
}

TEST(EditedLine, KeysMoveAndDeleteWholeCharacters) {
  EXPECT_EQ(type("abc\x1b[D\x1b[DX").text, "aXbc");
  EXPECT_EQ(type("a\xe4\xb8\xad"
                 "b\x1b[D\x7f")
                .text,
            "ab")
      << "a character of three bytes goes at once";
  EXPECT_EQ(type("\xe4\xb8\xad\x1b[D").cursor, 0u);
  EXPECT_EQ(type("abc\x01\x1b[3~").text, "bc");
  EXPECT_EQ(type("abc\x01\x04").text, "bc");
  EXPECT_EQ(type("abc\x1b[H!\x1b[F?").text, "!abc?");
  EXPECT_EQ(type("one two\x17").text, "one ");
  EXPECT_EQ(type("one two\x1b[D\x1b[D\x0b").text, "one t");
  EXPECT_EQ(type("one two\x1b[D\x15").text, "o");
  EXPECT_EQ(type("\x7f\x1b[D\x1b[C\x1b[3~").text, "") << "nothing to move or delete";
  EXPECT_EQ(type("a\x1b[200~b").text, "ab") << "unknown sequences are swallowed";
  EXPECT_EQ(type("a\tb").text, "ab") << "other control characters too";
}

TEST(EditedLine, ArrowsRecallAndTheLineBeingTypedComesBack) {
  const std::vector<std::string> history = {"first", "second"};
  EXPECT_EQ(type("\x1b[A", history).text, "second");
  EXPECT_EQ(type("\x1b[A\x1b[A\x1b[A", history).text, "first");
  EXPECT_EQ(type("new\x1b[A\x1b[B", history).text, "new");
  EXPECT_EQ(type("\x1b[A!", history).text, "second!");
  EXPECT_EQ(type("\x1b[B", history).text, "");
  EXPECT_EQ(type("\x1b[A").text, "");
}

TEST(EditedLine, HowItEnds) {
  EXPECT_EQ(type("hi\r").state, EditedLine::State::kDone);
  EXPECT_EQ(type("hi\x03").state, EditedLine::State::kInterrupted);
  EXPECT_EQ(type("\x04").state, EditedLine::State::kEnded);
  EXPECT_EQ(type("hi\x04").state, EditedLine::State::kTyping) << "at the end of text Ctrl-D deletes nothing";
}

}  // namespace
}  // namespace dsmoe::apps
