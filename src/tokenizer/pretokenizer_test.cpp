#include "tokenizer/pretokenizer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "tokenizer/pretokenizer_matcher.h"
#include "tokenizer/unicode.h"

namespace dsmoe::tokenizer {
namespace {

using Pieces = std::vector<std::string>;

class Collector final : public PieceSink {
 public:
  void piece(std::string_view bytes) override {
    EXPECT_FALSE(bytes.empty());
    pieces.emplace_back(bytes);
  }
  Pieces pieces;
};

Pieces split(const PreTokenizer& pre_tokenizer, std::string_view text) {
  Collector collector;
  pre_tokenizer.split(text, collector);
  return collector.pieces;
}

Pieces split(const PreTokenizerSteps& steps, std::string_view text) { return split(*make_pretokenizer(steps), text); }

Pieces split(const SplitStep& step, std::string_view text) { return split(PreTokenizerSteps{step}, text); }

std::string joined(const Pieces& pieces) {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

// Characters of every kind that rules tell apart, and borders of ranges. Only those that every version of Unicode since
// 14 agrees on, so that PCRE2's own tables do not matter.
std::string random_text(base::Rng& rng, uint64_t most) {
  static const std::u32string kinds[] = {U" ",
                                         U"\n",
                                         U"\r",
                                         U"\t\u00a0\u3000\u2028\u0085\v\f",
                                         U"abcXYZst",
                                         U"etdmlvr'",
                                         U"''’",
                                         U"0123456789",
                                         U"½²Ⅷ௧٣①",
                                         U"!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~",
                                         U"一龥中文漢字",
                                         U"ぁゟ゠ーヿ・\u3099\u309a゛",
                                         U"龦가힣ࠀ",
                                         U"éßÀǅʰªµ",
                                         U"Привет",
                                         U"\u0301\u0302\u0903\u20dd",
                                         U"€©™°←∑",
                                         U"，。！？‘’“”‟、～",
                                         U"\u200b\u200d\u00ad\u0000\u0001\u007f\ufeff",
                                         U"😀👨👩🏽❤\ufe0f",
                                         U"אבגء",
                                         U"\ue000\U000f0000\uffff\u0378",
                                         U"ſK\u212a"};
  std::string text;
  size_t kind = 0;
  for (uint64_t i = rng.below(most) + 1; i-- > 0;) {
    if (rng.below(2) == 0) kind = rng.below(std::size(kinds));
    base::append_utf8(text, kinds[kind][rng.below(kinds[kind].size())]);
  }
  return text;
}

class KnownSteps : public testing::TestWithParam<const char*> {};

// The oracle: the same expressions, run by PCRE2.
TEST_P(KnownSteps, HandWrittenRulesCutAsPcre2Does) {
  const PreTokenizerSteps steps = *pretokenizer_steps(GetParam());
  const auto by_hand = make_pretokenizer(steps), by_pcre2 = make_pretokenizer(steps, RegexEngine::kPcre2Only);
  base::Rng rng(7);
  for (int round = 0; round < 20000; ++round) {
    const std::string text = random_text(rng, 24);
    const Pieces pieces = split(*by_hand, text);
    ASSERT_EQ(pieces, split(*by_pcre2, text)) << text;
    ASSERT_EQ(joined(pieces), text);
  }
}

TEST_P(KnownSteps, EachExpressionAloneCutsAsPcre2Does) {
  base::Rng rng(8);
  const PreTokenizerSteps steps = *pretokenizer_steps(GetParam());
  for (const PreTokenizerStep& step : steps) {
    const auto* whole = std::get_if<SplitStep>(&step);
    if (whole == nullptr) continue;
    for (const auto behavior : {SplitBehavior::kIsolated, SplitBehavior::kRemoved}) {
      SplitStep alone = *whole;
      alone.behavior = behavior;
      const auto by_hand = make_pretokenizer({alone}), by_pcre2 = make_pretokenizer({alone}, RegexEngine::kPcre2Only);
      for (int round = 0; round < 3000; ++round) {
        const std::string text = random_text(rng, 16);
        ASSERT_EQ(split(*by_hand, text), split(*by_pcre2, text)) << whole->pattern << "\n" << text;
      }
    }
  }
}

TEST_P(KnownSteps, NoByteIsLostWhateverTheBytes) {
  const auto pre_tokenizer = make_pretokenizer(*pretokenizer_steps(GetParam()));
  base::Rng rng(9);
  for (int round = 0; round < 3000; ++round) {
    std::string text = random_text(rng, 12);
    for (char& c : text) {
      if (rng.below(6) == 0) c = static_cast<char>(rng.below(256));
    }
    ASSERT_EQ(joined(split(*pre_tokenizer, text)), text);
  }
}

TEST_P(KnownSteps, InvalidBytesCutAsControlCharactersDo) {
  const PreTokenizerSteps steps = *pretokenizer_steps(GetParam());
  const auto by_hand = make_pretokenizer(steps), by_pcre2 = make_pretokenizer(steps, RegexEngine::kPcre2Only);
  base::Rng rng(10);
  for (int round = 0; round < 3000; ++round) {
    std::string text = random_text(rng, 12);
    text[rng.below(text.size())] = static_cast<char>(0xff);
    ASSERT_EQ(split(*by_hand, text), split(*by_pcre2, text));
  }
}

TEST_P(KnownSteps, HasItsName) {
  EXPECT_EQ(pretokenizer_name(*pretokenizer_steps(GetParam())), GetParam());
  EXPECT_TRUE(split(*pretokenizer_steps(GetParam()), "").empty());
}

// Ends in the blink of an eye if time is linear, and never if it is quadratic.
TEST_P(KnownSteps, MegabytesOfOneThing) {
  const auto pre_tokenizer = make_pretokenizer(*pretokenizer_steps(GetParam()));
  for (const char* unit : {"x", " ", "\n", "_", "0", "中", "😀", "\t ", "\n x", "'", "\xff", "\u0301", "カ・"}) {
    std::string text;
    while (text.size() < (1 << 20)) text += unit;
    ASSERT_EQ(joined(split(*pre_tokenizer, text)), text);
  }
}

INSTANTIATE_TEST_SUITE_P(, KnownSteps, testing::Values("deepseek-v3", "deepseek-llm", "llama-bpe", "qwen2", "gpt-2"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(PreTokenizer, DeepSeekV3InWords) {
  const auto cut = [](std::string_view text) { return split(*pretokenizer_steps("deepseek-v3"), text); };
  EXPECT_EQ(cut("Hello, world! 12345"), (Pieces{"Hello", ",", " world", "!", " ", "123", "45"}));
  EXPECT_EQ(cut("a  b\n\n c"), (Pieces{"a", " ", " b", "\n\n", " c"}));
  EXPECT_EQ(cut("中文abc日本"), (Pieces{"中文", "abc", "日本"}));
  EXPECT_EQ(cut("it's(x)."), (Pieces{"it", "'s", "(x", ")."}));
  EXPECT_EQ(cut("x ;\n\n"), (Pieces{"x", " ;\n\n"}));
  EXPECT_EQ(pretokenizer_name({ByteLevelStep{true, true}}), std::nullopt);
}

// The examples of Hugging Face's own documentation.
TEST(PreTokenizer, Behaviours) {
  const auto cut = [](SplitBehavior behavior, bool invert = false) {
    return split(SplitStep{"-", false, behavior, invert}, "the-final--countdown");
  };
  EXPECT_EQ(cut(SplitBehavior::kRemoved), (Pieces{"the", "final", "countdown"}));
  EXPECT_EQ(cut(SplitBehavior::kIsolated), (Pieces{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(cut(SplitBehavior::kMergedWithPrevious), (Pieces{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(cut(SplitBehavior::kMergedWithNext), (Pieces{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(cut(SplitBehavior::kContiguous), (Pieces{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(cut(SplitBehavior::kRemoved, true), (Pieces{"-", "-", "-"}));
}

TEST(PreTokenizer, DigitsAndByteLevel) {
  EXPECT_EQ(split({DigitsStep{true}, ByteLevelStep{}}, "a12 ½b"), (Pieces{"a", "1", "2", " ", "½", "b"}));
  EXPECT_EQ(split({DigitsStep{false}, ByteLevelStep{}}, "a12 3b"), (Pieces{"a", "12", " ", "3", "b"}));
  EXPECT_EQ(split({ByteLevelStep{true, false}}, "a b"), (Pieces{" a b"}));
  EXPECT_EQ(split({ByteLevelStep{true, false}}, " a b"), (Pieces{" a b"}));
  EXPECT_EQ(split({ByteLevelStep{true, true}}, "a b"), (Pieces{" a", " b"}));
}

TEST(PreTokenizer, UnknownExpressions) {
  const auto cut = [](std::string regex, std::string_view text) { return split(SplitStep{std::move(regex)}, text); };
  EXPECT_EQ(cut("(?=[A-Z])", "aBcD"), (Pieces{"a", "Bc", "D"}));
  EXPECT_EQ(cut("(?i:b)|x*", "aBxxc"), (Pieces{"a", "B", "xx", "c"}));
  EXPECT_EQ(cut(R"(\s)", "a\u180e b"), (Pieces{"a\u180e", " ", "b"}));  // U+180E is no white space
  EXPECT_EQ(cut(R"([^\s]+$)", "ab\ncd"), (Pieces{"ab", "\n", "cd"}));   // $ before a line feed
  EXPECT_EQ(cut(R"(\s+$)", "a \n b  "), (Pieces{"a", " ", "\n b", "  "}));
}

TEST(PreTokenizer, ExpressionsThatMeanSomethingElseAreRefused) {
  for (const char* regex :
       {"(", "", R"(\h+)", R"(a\Kb)", "[a[b]]", "[a&&b]", "[]a]", R"([\S])", R"(\bx)", "(?m)a", "a{,3}"}) {
    try {
      make_pretokenizer({SplitStep{regex}});
      FAIL() << regex;
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid) << regex;
    }
  }
  EXPECT_THROW(make_pretokenizer({SplitStep{"", false}}), base::Error);
}

// An expression with exponential backtracking ends with an error, not never.
TEST(PreTokenizer, BacktrackingIsLimited) {
  const auto pre_tokenizer = make_pretokenizer({SplitStep{"(a|aa)+[bc]"}});
  Collector collector;
  EXPECT_THROW(pre_tokenizer->split(std::string(2000, 'a'), collector), base::Error);
}

TEST(PreTokenizer, ClassesOfASimpleShapeNeedNoPcre2) {
  for (const char* regex : {R"(\p{N}{1,3})", "[a-z]+", R"(\s?[^a-c\]]+)", R"( ?\p{L}+)", R"([\r\n])"}) {
    EXPECT_NE(make_class_matcher(regex), nullptr) << regex;
  }
  for (const char* regex :
       {"a|b", "[a-z]*", "[a-z]+?", R"(\d+)", "[[:alpha:]]", "[z-a]", "(a)", "[a", R"([\w])", "[a-z]{2,3}"}) {
    EXPECT_EQ(make_class_matcher(regex), nullptr) << regex;
  }
}

}  // namespace
}  // namespace dsmoe::tokenizer
