// What the screen shows while a text is typed, by a model of the screen.
#include "terminal/line_display.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "terminal/edited_line.h"
#include "terminal/screen_model.h"

namespace dsmoe::terminal {
namespace {

using ::testing::ElementsAre;

/// A person at a terminal that draws after every key.
class Typist {
 public:
  explicit Typist(size_t columns, size_t rows = 24, bool joins = true)
      : size_{columns, rows}, screen_(columns, rows, joins), line_(history_, words_), display_("> ", ". ") {
    screen_.write("before\r\n");
    draw();
  }
  Typist& type(std::string_view bytes) {
    std::vector<Key> keys;
    reader_.feed(bytes, keys);
    for (const Key& key : keys) {
      line_.press(key);
      draw();
    }
    return *this;
  }
  Typist& resize(size_t columns, size_t rows = 24) {
    size_ = {columns, rows};
    screen_.resize(columns, rows);
    draw();
    return *this;
  }
  Typist& finish() {
    screen_.write(display_.finish(line_.text(), size_));
    return *this;
  }
  void draw() { screen_.write(display_.draw(line_.text(), line_.cursor(), size_)); }
  const ScreenModel& screen() const { return screen_; }
  const std::string& text() const { return line_.text(); }

 private:
  const std::vector<std::string> history_ = {"earlier"}, words_;
  ScreenSize size_;
  ScreenModel screen_;
  EditedLine line_;
  LineDisplay display_;
  KeyReader reader_;
};

constexpr const char* kLeft = "\x1b[D";

TEST(LineDisplay, ALineLongerThanTheTerminalIsOnTheScreenOnce) {
  Typist typist(10);
  typist.type("one two three four five");
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", "> one two", "three four", " five"));
  EXPECT_EQ(typist.screen().before_cursor(), " five");
  typist.type("\x01");
  EXPECT_EQ(typist.screen().cursor_row(), 1u);
  EXPECT_EQ(typist.screen().before_cursor(), "> ");
  typist.type("\x0b");
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", ">")) << "nothing of the longer text stays";
}

TEST(LineDisplay, ARowThatIsJustFullPutsTheCursorIntoTheNext) {
  Typist typist(10);
  typist.type("12345678");
  EXPECT_EQ(typist.screen().cursor_row(), 2u);
  EXPECT_EQ(typist.screen().before_cursor(), "");
  typist.type("9");
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", "> 12345678", "9"));
  typist.type(kLeft).type("\x7f");
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", "> 12345679"));
}

TEST(LineDisplay, WideAndCombiningCharactersLeaveTheCursorWhereItBelongs) {
  Typist typist(20);
  typist.type("a中b").type(kLeft);
  EXPECT_EQ(typist.screen().before_cursor(), "> a中");
  typist.type(kLeft);
  EXPECT_EQ(typist.screen().before_cursor(), "> a");
  typist.type("\x05").type("e\xcc\x81x").type(kLeft);
  EXPECT_EQ(typist.screen().before_cursor(), "> a中be\xcc\x81");
  typist.type("\x7f");
  EXPECT_EQ(typist.text(), "a中bx");
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", "> a中bx"));
}

TEST(LineDisplay, AWideCharacterGoesWholeToTheNextRow) {
  Typist typist(7);
  typist.type("中中中");
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", "> 中中", "中"));
  EXPECT_EQ(typist.screen().before_cursor(), "中");
}

// A family, a thumb with a skin colour and a heart as an emoji, on terminals that show them as one character or as
// several.
TEST(LineDisplay, EmojiAreOneCharacterWhateverTheTerminalMakesOfThem) {
  const std::string family = "👨\u200d👩\u200d👧", thumb = "👍\U0001f3fd", heart = "\u2764\ufe0f";
  for (const bool joins : {true, false}) {
    Typist typist(40, 24, joins);
    typist.type("a" + family + thumb + heart + "b");
    const std::string shown = typist.screen().everything().back();
    EXPECT_EQ(shown, "> a" + family + thumb + heart + "b");
    typist.type(kLeft).type(kLeft).type(kLeft);
    EXPECT_EQ(typist.screen().before_cursor(), "> a" + family);
    typist.type("\x7f");
    EXPECT_EQ(typist.screen().everything().back(), "> a" + thumb + heart + "b");
  }
}

TEST(LineDisplay, ATextOfManyEmojiStaysOnItsRowsOnBothKindsOfTerminal) {
  for (const bool joins : {true, false}) {
    Typist typist(11, 24, joins);
    std::string text;
    for (int i = 0; i < 5; ++i) text += "👨\u200d👩\u200d👧";
    typist.type(text).type("\x01").type("x");
    std::string all;
    for (const std::string& row : typist.screen().everything()) all += row;
    EXPECT_EQ(all, "before> x" + text);
  }
}

TEST(LineDisplay, PastedLinesAreOneTextWithARowEach) {
  Typist typist(20);
  typist.type("say: \x1b[200~one\rtwo\r\n\tthree\n\x1b[201~");
  EXPECT_EQ(typist.text(), "say: one\ntwo\n\tthree");
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", "> say: one", ". two", ".     three"));
  typist.type("\x1b[A");
  EXPECT_EQ(typist.screen().before_cursor(), ". two");
  EXPECT_EQ(typist.screen().cursor_row(), 2u);
  typist.type("!").finish();
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", "> say: one", ". two!", ".     three"));
  EXPECT_EQ(typist.screen().cursor_row(), 4u);
}

TEST(LineDisplay, ATextHigherThanTheScreenShowsTheRowsAroundTheCursor) {
  Typist typist(10, 4);
  typist.type("\x1b[200~1\n2\n3\n4\n5\n6\x1b[201~");
  EXPECT_THAT(typist.screen().shown(), ElementsAre(". 3", ". 4", ". 5", ". 6"));
  for (int i = 0; i < 5; ++i) typist.type("\x1b[A");
  EXPECT_THAT(typist.screen().shown(), ElementsAre("> 1", ". 2", ". 3", ". 4"));
  EXPECT_EQ(typist.screen().cursor_row(), 0u);
  typist.type("x").finish();
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", "> 1x", ". 2", ". 3", ". 4", ". 5", ". 6"));
}

TEST(LineDisplay, AnotherWidthBreaksTheTextAnew) {
  Typist typist(20);
  typist.type("one two three four five");
  typist.resize(10);
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", "> one two", "three four", " five"));
  EXPECT_EQ(typist.screen().before_cursor(), " five");
  typist.type("\x01").resize(30);
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", "> one two three four five"));
  EXPECT_EQ(typist.screen().before_cursor(), "> ");
  typist.type("\x05").resize(7).type("!");
  EXPECT_THAT(typist.screen().everything(), ElementsAre("before", "> one t", "wo thre", "e four", "five!"));
}

TEST(LineDisplay, WhatWasTypedIsLeftAsOneLineToCopy) {
  Typist typist(10);
  typist.type("one two three four five").finish().resize(40);
  EXPECT_EQ(typist.screen().everything()[1], "> one two three four five");
}

}  // namespace
}  // namespace dsmoe::terminal
