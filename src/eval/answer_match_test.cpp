// The rules by which a written answer is a right one.
#include "eval/answer_match.h"

#include <gtest/gtest.h>

namespace dsmoe::eval {
namespace {

TEST(NormalisedAnswer, NaturalQuestionsTakesPunctuationAndArticlesOut) {
  const auto normal = [](std::string_view text) { return normalised_answer(text, Normalisation::kNaturalQuestions); };
  EXPECT_EQ(normal("  The U.S.A. \n"), "usa");
  EXPECT_EQ(normal("an apple, a pear\tand the nut"), "apple pear and nut");
  EXPECT_EQ(normal("Theatre another ant"), "theatre another ant") << "only whole words are articles";
  EXPECT_EQ(normal("Port-au-Prince"), "portauprince");
  EXPECT_EQ(normal("\xc3\x89"
                   "cole \xe2\x80\x9cx\xe2\x80\x9d"),
            "\xc3\xa9"
            "cole \xe2\x80\x9cx\xe2\x80\x9d")
      << "Unicode's lower case";
  EXPECT_EQ(normal("one\xc2\xa0two\xe3\x80\x80three"), "one two three") << "any white space";
  EXPECT_EQ(normal("the"), "");
  EXPECT_EQ(normal(""), "");
  EXPECT_EQ(normal("bad \xff byte"), "bad \xef\xbf\xbd byte");
}

TEST(NormalisedAnswer, TriviaQaPutsASpaceForPunctuation) {
  const auto normal = [](std::string_view text) { return normalised_answer(text, Normalisation::kTriviaQa); };
  EXPECT_EQ(normal("Port-au_Prince"), "port au prince");
  EXPECT_EQ(normal("The U.S.A."), "u s") << "its a is an article then";
  EXPECT_EQ(normal("rock \xe2\x80\x98n\xe2\x80\x99 roll"), "rock n roll");
}

TEST(NormalisedAnswer, NoneTakesOuterWhiteSpaceAlone) {
  EXPECT_EQ(normalised_answer(" The  U.S. \n", Normalisation::kNone), "The  U.S.");
}

TEST(MatchesAny, OfSeveralRightAnswers) {
  const std::vector<std::string> answers = {"New York City", "The Big Apple"};
  EXPECT_TRUE(matches_any("big apple!", answers, Normalisation::kNaturalQuestions));
  EXPECT_TRUE(matches_any(" new york  city", answers, Normalisation::kTriviaQa));
  EXPECT_FALSE(matches_any("New York", answers, Normalisation::kNaturalQuestions));
  EXPECT_FALSE(matches_any("big apple", answers, Normalisation::kNone));
}

}  // namespace
}  // namespace dsmoe::eval
