// Greedy answers: where they end, what counts, and that sharing changes none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/generate.h"
#include "eval/prompt_session.h"
#include "eval/task_score.h"
#include "eval/test_task.h"

namespace dsmoe::eval {
namespace {

using ::testing::HasSubstr;

class Answers : public ::testing::Test {
 protected:
  std::string greedy(const std::string& prompt, int64_t count) {
    engine::Session session(engine_);
    engine::GenerateOptions options;
    options.max_tokens = count;
    options.sampling.temperature = 0;
    const auto ids = tokenizer_.encode(prompt);
    return engine::generate(session, engine_.config(), ids, options, &tokenizer_,
                            [](int32_t, std::string_view) { return true; })
        .text;
  }
  Task task(const std::string& settings, const std::vector<base::Json>& items) {
    return read_task(write_task(folder_, "facts", "kind = \"generate\"\n" + settings, items));
  }
  base::TestFolder folder_;
  tokenizer::Tokenizer tokenizer_{corpus::byte_tokenizer()};
  engine::Engine engine_ = byte_engine();
};

TEST_F(Answers, AreTheGreedyOnesWhateverThePromptsShare) {
  const std::string first = greedy("Q: one", 6), second = greedy("Q: other", 6);
  const Task facts =
      task("max_tokens = 6\nstop = []\nnormalise = \"none\"",
           {open_item("a", "Q: one", {"wrong", first + " "}), open_item("b", "Q: other", {second + "?"})});
  const TaskScore score = score_answers(engine_, tokenizer_, facts, {});
  ASSERT_EQ(score.items.size(), 2u);
  EXPECT_EQ(score.items[0].sample["resps"][0][0], first);
  EXPECT_EQ(score.items[1].sample["resps"][0][0], second);
  EXPECT_EQ(score.items[0].values[0], 1.0);
  EXPECT_EQ(score.items[1].values[0], 0.0);
  EXPECT_EQ(score.summaries[0].chance, 0) << "nothing to guess from";
  EXPECT_FALSE(score.summaries[0].metrics[0].at_chance);
}

TEST_F(Answers, EndAtAStopString) {
  const std::string all = greedy("Q: one", 12);
  ASSERT_GE(all.size(), 4u);
  const std::string stop = all.substr(2, 2);
  ASSERT_GT(all.find(stop), 0u) << "another seed is needed";
  const Task facts =
      task("max_tokens = 12\nstop = [" + base::dump_json(base::Json(stop)) + "]", {open_item("a", "Q: one", {"x"})});
  const TaskScore score = score_answers(engine_, tokenizer_, facts, {});
  EXPECT_EQ(score.items[0].sample["resps"][0][0], all.substr(0, all.find(stop)));
  EXPECT_EQ(score.items[0].sample["finish_reason"], "stop");
}

TEST_F(Answers, NeedRoomBehindTheQuestion) {
  const Task facts = task("", {open_item("a", std::string(200, 'x'), {"y"})});
  EXPECT_THAT(base::message_of([&] { score_answers(engine_, tokenizer_, facts, {}); }),
              HasSubstr("must leave room in the model's context of 200: 200 tokens"));
}

}  // namespace
}  // namespace dsmoe::eval
