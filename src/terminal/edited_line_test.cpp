// What keys do, as a terminal sends them.
#include "terminal/edited_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dsmoe::terminal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using State = EditedLine::State;

const std::vector<std::string> kCommands = {"/save", "/stats", "/system", "/quit"};

struct Typed {
  std::string text;
  size_t cursor;
  State state;
  std::vector<std::string> choices;
};

/// All the bytes one by one, as a slow line brings them.
Typed type(std::string_view bytes, const std::vector<std::string>& history = {}) {
  EditedLine line(history, kCommands);
  KeyReader reader;
  std::vector<Key> keys;
  for (const char c : bytes) reader.feed(std::string_view(&c, 1), keys);
  State state = State::kTyping;
  for (const Key& key : keys) state = line.press(key);
  return {line.text(), line.cursor(), state, line.take_choices()};
}

TEST(EditedLine, KeysMoveAndDeleteWholeCharacters) {
  EXPECT_EQ(type("abc\x1b[D\x1b[DX").text, "aXbc");
  EXPECT_EQ(type("a中b\x1b[D\x7f").text, "ab") << "a character of three bytes goes at once";
  EXPECT_EQ(type("ae\xcc\x81\x7f").text, "a") << "a letter goes with its accent";
  EXPECT_EQ(type("🇩🇪🇫🇷\x1b[D\x7f").text, "🇫🇷") << "a flag is two letters";
  EXPECT_EQ(type("中\x1b[D").cursor, 0u);
  EXPECT_EQ(type("abc\x01\x1b[3~").text, "bc");
  EXPECT_EQ(type("abc\x01\x04").text, "bc");
  EXPECT_EQ(type("abc\x1b[H!\x1b[F?").text, "!abc?");
  EXPECT_EQ(type("abc\x1bOH!\x1bOF?").text, "!abc?");
  EXPECT_EQ(type("one two\x1b[D\x1b[D\x0b").text, "one t");
  EXPECT_EQ(type("one two\x1b[D\x15").text, "o");
  EXPECT_EQ(type("\x7f\x1b[D\x1b[C\x1b[3~\x17\x0b\x15\x19").text, "") << "nothing to move or delete";
}

TEST(EditedLine, AnAccentJoinsTheLetterBeforeTheCursor) {
  EXPECT_EQ(type("e\xcc\x81").cursor, 3u);
  EXPECT_EQ(type("ex\x1b[D\xcc\x81!").text, "e\xcc\x81!x");
}

TEST(EditedLine, WhatIsNoKeyIsDropped) {
  EXPECT_EQ(type("a\x1b[17~b").text, "ab");
  EXPECT_EQ(type("a\x1b[[Ab").text, "ab") << "F1 of the Linux console";
  EXPECT_EQ(type("a\x1bOPb\x1bqc").text, "abc");
  EXPECT_EQ(type("a\x1b[" + std::string(500, '1') + "~b").text, "ab");
  EXPECT_EQ(type("a\tb\x1c").text, "ab") << "other control characters too";
}

TEST(EditedLine, WhatIsNoUtf8IsReplaced) {
  EXPECT_EQ(type("a\xff\xe9z\x80").text, "a\ufffd\ufffdz\ufffd");
  EXPECT_EQ(type("\xed\xa0\x80!").text, "\ufffd!") << "half a pair of UTF-16";
  EXPECT_EQ(type("\xe4\xb8\x1b[D!").text, "!\ufffd") << "cut by a key";
}

TEST(EditedLine, WordKeys) {
  for (const char* left : {"\x1b"
                           "b",
                           "\x1b[1;5D", "\x1b[1;3D", "\x1b\x1b[D", "\x1bOd", "\x1b[5D"}) {
    EXPECT_EQ(type("one two-three" + std::string(left) + "X").text, "one two-Xthree") << left;
    EXPECT_EQ(type("one  " + std::string(left) + "X").text, "Xone  ") << left;
  }
  for (const char* right : {"\x1b"
                            "f",
                            "\x1b[1;5C", "\x1b[1;3C", "\x1bOc"}) {
    EXPECT_EQ(type("one two\x01" + std::string(right) + "X").text, "oneX two") << right;
    EXPECT_EQ(type("über ça\x01" + std::string(right) + std::string(right) + "X").text, "über çaX") << right;
  }
  EXPECT_EQ(type("one two-three\x17").text, "one ") << "to the white space";
  EXPECT_EQ(type("one two-three\x1b\x7f").text, "one two-");
  EXPECT_EQ(type("one two\x01\x1b"
                 "d")
                .text,
            " two");
  EXPECT_EQ(type("one two\x01\x1b[3;5~").text, " two");
  EXPECT_EQ(type("one two\x17\x01\x19").text, "twoone ") << "what was deleted last comes back";
  EXPECT_EQ(type("one\x1b[1;2D!").text, "on!e") << "with Shift an arrow is an arrow";
}

TEST(EditedLine, ArrowsRecallAndTheLineBeingTypedComesBack) {
  const std::vector<std::string> history = {"first", "second"};
  EXPECT_EQ(type("\x1b[A", history).text, "second");
  EXPECT_EQ(type("\x1b[A\x1b[A\x1b[A", history).text, "first");
  EXPECT_EQ(type("new\x1b[A\x1b[B", history).text, "new");
  EXPECT_EQ(type("\x10!", history).text, "second!");
  EXPECT_EQ(type("\x1b[B", history).text, "");
  EXPECT_EQ(type("\x1b[A").text, "");
}

TEST(EditedLine, AnEarlierTextOfSeveralLinesIsWalkedThroughBeforeTheOneBefore) {
  const std::vector<std::string> history = {"first", "long line\nab"};
  EXPECT_EQ(type("\x1b[A\x1b[AX", history).text, "loXng line\nab");
  EXPECT_EQ(type("\x1b[A\x1b[A\x1b[A", history).text, "first");
  EXPECT_EQ(type("\x1b[A\x1b[A\x1b[F\x1b[BX", history).text, "long line\nabX");
}

TEST(EditedLine, SeveralLines) {
  EXPECT_EQ(type("one\\\rtwo").text, "one\ntwo");
  EXPECT_EQ(type("one\x1b\rtwo\x01X").text, "one\nXtwo");
  EXPECT_EQ(type("one\x1b\rtwo\x15\x7f!").text, "one!");
  EXPECT_EQ(type("\x1b[200~one\r\rtwo\r\x1b[201~").text, "one\n\ntwo");
  EXPECT_EQ(type("\x1b[200~one\rtwo\x1b[201~").state, State::kTyping) << "a paste asks nothing";
  EXPECT_EQ(type("\x1b[200~a\x1b[31mb\x07\x7f\x03\x1b[201~").text, "a[31mb") << "it presses no keys either";
  EXPECT_EQ(type("\x1b[200~\xff\x1b[201~").text, "\ufffd");
}

TEST(EditedLine, TabCompletesACommand) {
  EXPECT_EQ(type("/q\t").text, "/quit ");
  EXPECT_EQ(type("/sy\tBe kind.").text, "/system Be kind.");
  EXPECT_EQ(type("/s\t").text, "/s");
  EXPECT_THAT(type("/s\t").choices, ElementsAre("/save", "/stats", "/system"));
  EXPECT_THAT(type("/x\t").choices, IsEmpty());
  EXPECT_EQ(type("/save f\t").text, "/save f");
  EXPECT_EQ(type("q\t").text, "q");
  EXPECT_EQ(type("/q x\x01\x1b[C\x1b[C\t").text, "/quit x");
}

TEST(EditedLine, HowItEnds) {
  EXPECT_EQ(type("hi\r").state, State::kDone);
  EXPECT_EQ(type("hi\x03").state, State::kInterrupted);
  EXPECT_EQ(type("\x04").state, State::kEnded);
  EXPECT_EQ(type("hi\x04").state, State::kTyping) << "at the end of text Ctrl-D deletes nothing";
  EXPECT_EQ(type("hi\x1a").state, State::kSuspended);
  EXPECT_EQ(type("hi\x0c").state, State::kCleared);
}

TEST(EditedLine, TextIsBounded) {
  const std::string paste = "\x1b[200~" + std::string((size_t{1} << 20) - 1, 'x') + "\x1b[201~";
  EXPECT_EQ(type(paste).text.size(), (size_t{1} << 20) - 1);
  EXPECT_EQ(type("ab" + paste).text, "ab");
}

}  // namespace
}  // namespace dsmoe::terminal
