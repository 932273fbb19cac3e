// Multiple choice: what is scored, and that sharing, threads and pieces change no bit of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "engine/reference.h"
#include "eval/perplexity.h"
#include "eval/prompt_session.h"
#include "eval/task_score.h"
#include "eval/test_task.h"

namespace dsmoe::eval {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

tokenizer::Tokenizer byte_tokenizer(const std::vector<std::string>& bos_and_eos = {}) {
  return tokenizer::Tokenizer(corpus::byte_tokenizer(bos_and_eos));
}

std::vector<int32_t> bytes_of(const std::string& text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

TEST(EncodeContinuation, WhiteSpaceAtTheContextsEndBelongsToTheContinuation) {
  spec::ModelConfig config;
  config.bos_token_id = 256;
  const ContinuationIds moved = encode_continuation(byte_tokenizer(), config, "ab \n", "cd");
  EXPECT_EQ(moved.ids, bytes_of("ab \ncd"));
  EXPECT_EQ(moved.context, 2u);
  const ContinuationIds wide = encode_continuation(byte_tokenizer(), config, "ab\xc2\xa0", "c");
  EXPECT_EQ(wide.context, 2u) << "a space beyond ASCII too";
}

TEST(EncodeContinuation, BeginsWithThePrefixOrElseWithBosWhereThereIsNoContext) {
  spec::ModelConfig config;
  config.bos_token_id = 256;
  const ContinuationIds prefix = encode_continuation(byte_tokenizer({"<s>", "</s>"}), config, "a", "<s>");
  EXPECT_THAT(prefix.ids, ElementsAre(256, 'a', '<', 's', '>')) << "a task's text is text";
  EXPECT_EQ(prefix.context, 2u);
  for (const std::vector<std::string>& names : {std::vector<std::string>{}, {"<s>", "</s>"}}) {
    const ContinuationIds nothing = encode_continuation(byte_tokenizer(names), config, "", " b");
    EXPECT_THAT(nothing.ids, ElementsAre(256, ' ', 'b'));
    EXPECT_EQ(nothing.context, 1u);
  }
}

// "a" and "bc" together are "ab" and "c": the continuation's ids are what follows as many as "a" has alone.
TEST(EncodeContinuation, TakesTheIdsOfBothTextsTogether) {
  tokenizer::TokenizerSpec spec = corpus::byte_tokenizer();
  spec.tokens.push_back("ab");
  spec.merges.push_back({'a', 'b', 256});
  const tokenizer::Tokenizer tokenizer(std::move(spec));
  const ContinuationIds pair = encode_continuation(tokenizer, {}, "xa", "bc");
  EXPECT_THAT(pair.ids, ElementsAre('x', 'a', 'c')) << "x a, then what stands behind two ids of x ab c";
  EXPECT_EQ(pair.context, 2u);
  EXPECT_EQ(encode_continuation(tokenizer, {}, "xa", "b").ids.size(), 2u) << "nothing of its own";
}

class Choices : public ::testing::Test {
 protected:
  Task task(const std::string& settings = "kind = \"choice\"") {
    return read_task(write_task(folder_, "exam", settings, items_));
  }
  base::TestFolder folder_;
  std::vector<base::Json> items_ = {
      choice_item("a", "Which way is up", {"this way", "that", "the other way, I think"}, 0, "P"),
      choice_item("b", "Which way is down", {"yes", "no"}, 1, "Q"),
      choice_item("c", "What is blue", {"the sky", "grass", "caf\xc3\xa9", "milk"}, 2, "P"),
      choice_item("d", "What is green", {"the sky", "grass", "soot", "milk"}, 1, "Q")};
};

TEST_F(Choices, SumLogLikelihoodsAsTheDefinitionGivesThem) {
  engine::Engine engine = byte_engine();
  const Task exam = task();
  const TaskScore score = score_choices(engine, byte_tokenizer(), exam, {});
  ASSERT_EQ(score.items.size(), 4u);
  for (const ItemScore& scored : score.items) {
    const Item& item = *scored.item;
    std::vector<double> summed, by_character, by_byte;
    for (const std::string& choice : item.choices) {
      const std::vector<int32_t> ids = bytes_of(item.question + choice);
      const auto defined = engine::reference_forward(engine.weights(), std::span(ids).first(ids.size() - 1));
      double value = 0;
      for (size_t t = item.question.size() - 1; t + 1 < ids.size(); ++t) {
        double total = 0;
        for (size_t v = 0; v < 258; ++v) total += std::exp(defined.logits_TV[t * 258 + v]);
        value += defined.logits_TV[t * 258 + static_cast<size_t>(ids[t + 1])] - std::log(total);
      }
      summed.push_back(value);
      by_byte.push_back(value / static_cast<double>(choice.size() - 1));
      by_character.push_back(value / static_cast<double>(choice.size() - (choice == " caf\xc3\xa9" ? 2 : 1)));
    }
    const auto right = [&](const std::vector<double>& values) {
      return std::max_element(values.begin(), values.end()) - values.begin() == static_cast<ptrdiff_t>(item.right);
    };
    EXPECT_NEAR(scored.values[3], -summed[item.right], 1e-4) << item.id;
    EXPECT_EQ(scored.values[0], right(summed)) << item.id;
    EXPECT_EQ(scored.values[1], right(by_character)) << item.id;
    EXPECT_EQ(scored.values[2], right(by_byte)) << item.id;
  }
}

TEST_F(Choices, BitsAreThoseOfEachTextAloneWhateverIsSharedAndHoweverItIsComputed) {
  const Task exam = task("kind = \"choice\"\npreamble = \"An exam.\\n\"\n[shots]\nsplit = \"none\"");
  std::vector<double> alone;
  engine::Engine whole = byte_engine();
  for (const Item& item : exam.items) {
    const size_t context = 9 + item.question.size();
    for (const std::string& choice : item.choices) {
      const std::vector<int32_t> ids = bytes_of("An exam.\n" + item.question + choice);
      engine::Session session(whole);
      const auto logits = session.append_all(std::span(ids).first(ids.size() - 1));
      double value = 0;
      for (size_t t = context - 1; t + 1 < ids.size(); ++t)
        value -= token_nats(logits.subspan(t * 258, 258), ids[t + 1]);
      alone.push_back(value);
    }
  }
  for (const auto& [threads, chunk] : {std::pair{1, 512}, {2, 512}, {3, 5}, {1, 1}}) {
    engine::Engine engine = byte_engine(200, threads, chunk);
    const TaskScore score = score_choices(engine, byte_tokenizer(), exam, {});
    size_t at = 0;
    for (const ItemScore& item : score.items) {
      EXPECT_EQ(item.values[3], -alone[at + item.item->right]) << threads << " threads, pieces of " << chunk;
      for (const auto& response : item.sample["filtered_resps"]) {
        EXPECT_EQ(std::stod(response[0].get<std::string>()), alone[at++]);
      }
    }
  }
}

TEST_F(Choices, WhatIsSharedIsComputedOnce) {
  engine::Engine engine = byte_engine();
  PromptSession session(engine);
  spec::ModelConfig config;
  const auto read = [&](const std::string& context, const std::string& choice) {
    const int64_t before = session.computed();
    session.score(encode_continuation(byte_tokenizer(), config, context, choice));
    return session.computed() - before;
  };
  EXPECT_EQ(read("some shots; one question", " yes"), 27);
  EXPECT_EQ(read("some shots; one question", " no"), 3) << "the context's last token, a space and n";
  EXPECT_EQ(read("some shots; two questions", " no"), 15) << "all from the t of two";
}

TEST_F(Choices, PoolsAreReportedApart) {
  engine::Engine engine = byte_engine();
  const Task exam = task();
  const TaskScore score = score_choices(engine, byte_tokenizer(), exam, {});
  ASSERT_EQ(score.summaries.size(), 3u);
  EXPECT_EQ(score.summaries[1].pool, "P");
  EXPECT_EQ(score.summaries[1].items, 2);
  EXPECT_DOUBLE_EQ(score.summaries[0].chance, (1.0 / 3 + 1.0 / 2 + 1.0 / 4 + 1.0 / 4) / 4);
  const auto& [all, p, q] = std::tie(score.summaries[0], score.summaries[1], score.summaries[2]);
  EXPECT_DOUBLE_EQ(all.metrics[3].estimate.mean, (p.metrics[3].estimate.mean + q.metrics[3].estimate.mean) / 2);
  EXPECT_TRUE(all.metrics[0].at_chance) << "of four items nothing can be told";
  EXPECT_FALSE(all.metrics[3].at_chance) << "nats know no chance";
  const TaskScore limited = score_choices(engine, byte_tokenizer(), exam, {.limit = 1});
  ASSERT_EQ(limited.items.size(), 2u) << "of each pool";
  EXPECT_EQ(limited.items[1].item->id, "b");
}

TEST_F(Choices, ShotsAreDrawnByTheSeedAndStandBeforeEveryQuestion) {
  const std::string settings = "kind = \"choice\"\nseparator = \"|\"\n[shots]\nsplit = \"train\"\ncount = 2";
  for (size_t i = 0; i < 3; ++i) items_[i]["split"] = "train";
  const Task exam = task(settings);
  std::set<std::string> orders;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const auto shots = draw_shots(exam, {.seed = seed});
    ASSERT_EQ(shots.size(), 2u);
    orders.insert(shots[0]->id + shots[1]->id);
  }
  EXPECT_EQ(orders.size(), 6u) << "every ordered pair of three";
  std::swap(items_[0], items_[2]);
  const Task turned = task(settings);
  EXPECT_EQ(draw_shots(exam, {})[0]->id, draw_shots(turned, {})[0]->id);
  const Item *a = &exam.shots[0], *b = &exam.shots[1];
  EXPECT_EQ(text_before(exam, std::vector{a, b}), "Which way is up this way|Which way is down no|");
  EXPECT_THAT(base::message_of([&] { draw_shots(exam, {.shots = 4}); }), HasSubstr("3 for 4"));
}

TEST_F(Choices, WhatDoesNotFitIsRefusedBeforeAnythingIsComputed) {
  items_[3]["split"] = "train";
  const Task exam = task("kind = \"choice\"\n[shots]\nsplit = \"train\"\ncount = 1");
  engine::Engine engine = byte_engine(40);
  int64_t called = 0;
  const auto message = [&](engine::Engine& model) {
    return base::message_of(
        [&] { score_choices(model, byte_tokenizer(), exam, {}, [&](int64_t, int64_t) { ++called; }); });
  };
  // The first item: 21 bytes of shot and separator, 15 of question, 23 of its longest choice, the last of them not
  // read.
  EXPECT_THAT(message(engine), AllOf(HasSubstr("context of 40: 58 tokens"), HasSubstr("items.jsonl:1"),
                                     HasSubstr("--shots 0 fits all")));
  engine::Engine tiny = byte_engine(20);
  EXPECT_THAT(message(tiny), HasSubstr("a longer context is needed"));
  EXPECT_EQ(called, 0);
}

TEST_F(Choices, AModelWhoseLogitsAreNotFiniteIsNamed) {
  auto config = engine::testing::small_config();
  config.vocab_size = 258;
  auto tensors = engine::testing::random_tensors(config, 3);
  tensors["lm_head.weight"].values[0] = NAN;
  engine::Engine engine(engine::Weights::from_tensors(config, std::move(tensors)), {.threads = 1});
  const Task exam = task();
  try {
    score_choices(engine, byte_tokenizer(), exam, {});
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kNonFinite);
  }
}

}  // namespace
}  // namespace dsmoe::eval
