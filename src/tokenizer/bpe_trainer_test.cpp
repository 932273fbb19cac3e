#include "tokenizer/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "tokenizer/bpe_alphabet.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::tokenizer {
namespace {

using Words = std::map<std::string, uint64_t>;

WordCounts counts_of(const Words& words) {
  WordCounts counts;
  for (const auto& [word, count] : words) {
    for (uint64_t i = 0; i < count; ++i) counts.add(word);
  }
  return counts;
}

Words words_of(const WordCounts& counts) {
  Words words;
  for (size_t i = 0; i < counts.size(); ++i) words[std::string(counts.word(i))] += counts.count(i);
  return words;
}

// The reference: count all pairs anew for every merge.
std::vector<std::string> train_naively(const Words& words, const BpeTrainOptions& options) {
  std::vector<std::string> tokens = options.special_tokens, merges;
  std::set<std::pair<char32_t, std::string>> letters;
  for (int byte = 0; byte < 256; ++byte) {
    letters.insert(
        {byte_to_letter(static_cast<unsigned char>(byte)), bytes_to_alphabet(std::string(1, static_cast<char>(byte)))});
  }
  for (const auto& letter : letters) tokens.push_back(letter.second);
  const auto id = [&](const std::string& token) {
    return static_cast<int>(std::find(tokens.begin(), tokens.end(), token) - tokens.begin());
  };
  std::vector<std::pair<std::vector<int>, uint64_t>> split;
  for (const auto& [word, count] : words) {
    split.push_back({{}, count});
    for (const char byte : word) split.back().first.push_back(id(bytes_to_alphabet(std::string(1, byte))));
  }
  std::set<std::pair<int, int>> done;
  while (static_cast<int32_t>(tokens.size()) < options.vocab_size) {
    std::map<std::pair<int, int>, uint64_t> pairs;
    for (const auto& [symbols, count] : split) {
      for (size_t i = 0; i + 1 < symbols.size(); ++i) pairs[{symbols[i], symbols[i + 1]}] += count;
    }
    std::pair<int, int> best;
    uint64_t most = 0;
    for (const auto& [pair, count] : pairs) {
      if (count > most) {
        best = pair;
        most = count;
      }
    }
    if (most < options.min_frequency) break;
    const std::string text = tokens[static_cast<size_t>(best.first)] + tokens[static_cast<size_t>(best.second)];
    const int merged = id(text);
    if (merged == static_cast<int>(tokens.size())) tokens.push_back(text);
    if (done.insert(best).second) {
      merges.push_back(tokens[static_cast<size_t>(best.first)] + " " + tokens[static_cast<size_t>(best.second)]);
    }
    for (auto& [symbols, count] : split) {
      for (size_t i = 0; i + 1 < symbols.size(); ++i) {
        if (symbols[i] != best.first || symbols[i + 1] != best.second) continue;
        symbols[i] = merged;
        symbols.erase(symbols.begin() + static_cast<ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

std::vector<std::string> merges_of(const TokenizerSpec& spec) {
  std::vector<std::string> merges;
  for (const BpeMerge& m : spec.merges) {
    merges.push_back(spec.tokens[static_cast<size_t>(m.left)] + " " + spec.tokens[static_cast<size_t>(m.right)]);
  }
  return merges;
}

Words random_words(base::Rng& rng, int letters) {
  Words words;
  for (int i = 0; i < 40; ++i) {
    std::string word(1 + rng.below(12), 'a');
    for (char& c : word) c = static_cast<char>('a' + rng.below(static_cast<uint64_t>(letters)));
    words[word] += 1 + rng.below(5);
  }
  return words;
}

TEST(BpeTrainer, AgreesWithItsDefinition) {
  base::Rng rng(1);
  for (int round = 0; round < 60; ++round) {
    // few letters: long runs of one letter, many ties, tokens that can be made in several ways
    const Words words = random_words(rng, 1 + round % 4);
    BpeTrainOptions options;
    options.vocab_size = 259 + 25;
    try {
      const TokenizerSpec spec = train_bpe(counts_of(words), options);
      ASSERT_EQ(merges_of(spec), train_naively(words, options)) << round;
    } catch (const base::Error& error) {
      // too little text: as much as the reference finds is what the message must offer
      options.vocab_size = 100000;
      BpeTrainOptions reachable = options;
      const std::string text = error.what();
      const size_t at = text.find("at most ");
      ASSERT_NE(at, text.npos) << text;
      reachable.vocab_size = std::stoi(text.substr(at + 8));
      ASSERT_EQ(merges_of(train_bpe(counts_of(words), reachable)), train_naively(words, reachable));
      reachable.vocab_size += 1;
      ASSERT_THROW(train_bpe(counts_of(words), reachable), base::Error);
    }
  }
}

TEST(BpeTrainer, EveryTokenIsReachedAndBytesAreAllThere) {
  base::Rng rng(2);
  BpeTrainOptions options;
  options.vocab_size = 300;
  const TokenizerSpec spec = train_bpe(counts_of(random_words(rng, 6)), options);
  ASSERT_EQ(spec.tokens.size(), 300u);
  EXPECT_EQ(spec.tokens[0], "<｜begin▁of▁sentence｜>");
  EXPECT_EQ(spec.tokens[3], "!");  // DeepSeek-V3's order of bytes
  EXPECT_EQ(spec.bos, 0);
  EXPECT_EQ(spec.eos, 1);
  EXPECT_EQ(spec.pad, 2);
  const Tokenizer tokenizer(spec);
  std::set<std::string> seen;
  for (int32_t id = 3; id < tokenizer.vocab_size(); ++id) {
    const std::string bytes(tokenizer.token_bytes(id));
    EXPECT_TRUE(seen.insert(bytes).second);
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(bytes)), bytes);
  }
  for (int byte = 0; byte < 256; ++byte) EXPECT_TRUE(seen.contains(std::string(1, static_cast<char>(byte))));
}

TEST(BpeTrainer, RefusesWhatCannotBe) {
  const auto message = [](const WordCounts& words, int32_t size) -> std::string {
    BpeTrainOptions options;
    options.vocab_size = size;
    try {
      train_bpe(words, options);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
      return error.what();
    }
    return "";
  };
  const WordCounts words = counts_of({{"abab", 3}});
  EXPECT_NE(message(words, 258).find("at least 259"), std::string::npos);
  EXPECT_NE(message(words, 300).find("at most 261"), std::string::npos) << message(words, 300);  // ab, abab
  EXPECT_NE(message(WordCounts(), 300).find("empty"), std::string::npos);
  EXPECT_EQ(message(words, 261), "");
}

std::string sample_text() {
  base::Rng rng(3);
  std::string text;
  const char* parts[] = {"the ",   "cat", " sat",  "\n",  "\n\n", "  ", "12",
                         "中文字", "é",   "don't", "(x)", ";",    "\t", "カ・"};
  for (int i = 0; i < 20000; ++i) text += parts[rng.below(std::size(parts))];
  return text;
}

TEST(WordCounter, CountsDoNotDependOnThreadsOrParts) {
  const std::string text = sample_text();
  for (const char* name : {"deepseek-v3", "deepseek-llm", "llama-bpe", "qwen2", "gpt-2"}) {
    const PreTokenizerSteps steps = *pretokenizer_steps(name);
    WordCounter whole(steps), parts(steps);
    whole.add(text);
    const auto cut = cut_at_lines(text, 500);
    EXPECT_GT(cut.size(), 20u);
    base::ThreadPool pool(4);
    pool.run(static_cast<int64_t>(cut.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) parts.add(cut[static_cast<size_t>(i)]);
    });
    const WordCounts one = whole.take(), many = parts.take();
    EXPECT_EQ(words_of(one), words_of(many)) << name;
    EXPECT_EQ(one.total_bytes(), text.size());
    EXPECT_EQ(many.total_bytes(), text.size());
    BpeTrainOptions options;
    options.vocab_size = 280;
    EXPECT_EQ(tokenizer_json_text(train_bpe(one, options)), tokenizer_json_text(train_bpe(many, options)));
  }
}

TEST(WordCounter, PartsMakeTheWhole) {
  for (const char* text : {"", "a", "\n", "a\nb", "\n\n\n", "a\n b\n\nc\nd"}) {
    for (const size_t least : {1, 2, 5, 100}) {
      std::string joined;
      for (const std::string_view part : cut_at_lines(text, least)) joined += part;
      EXPECT_EQ(joined, text);
    }
  }
  EXPECT_EQ(cut_at_lines("a\nb\n c\nd", 1), (std::vector<std::string_view>{"a\n", "b\n c\n", "d"}));
}

TEST(WordCounts, LongPiecesAreSeveralWords) {
  WordCounts counts;
  counts.add(std::string(3 * WordCounts::kLongestWord + 5, 'x'));
  EXPECT_EQ(words_of(counts), (Words{{std::string(WordCounts::kLongestWord, 'x'), 3}, {"xxxxx", 1}}));
}

}  // namespace
}  // namespace dsmoe::tokenizer
