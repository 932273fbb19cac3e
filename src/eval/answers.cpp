// Greedy answers, compared with the right ones.
#include "base/error.h"
#include "eval/answer_match.h"
#include "eval/prompt_session.h"
#include "eval/sample.h"
#include "eval/task_score.h"

namespace dsmoe::eval {
namespace {

struct Prompt {
  const Item* item;
  std::string text;
  std::vector<int32_t> ids;
};

std::vector<Prompt> prompts_of(const engine::Engine& engine, const tokenizer::Tokenizer& tokenizer, const Task& task,
                               const TaskOptions& options) {
  const std::string before = text_before(task, draw_shots(task, options));
  const int64_t positions = engine.config().max_position_embeddings;
  std::vector<Prompt> prompts;
  for (const Item* item : chosen_items(task, options)) {
    std::string text = before + item->question;
    auto ids = encode_prompt(tokenizer, engine.config(), text);
    if (std::ssize(ids) >= positions) {
      base::fail_invalid("task",
                         "shots and question must leave room in the model's context of " + std::to_string(positions),
                         std::to_string(ids.size()) + " tokens at " + item->place, "give fewer --shots");
    }
    prompts.push_back({item, std::move(text), std::move(ids)});
  }
  return prompts;
}

}  // namespace

TaskScore score_answers(engine::Engine& engine, const tokenizer::Tokenizer& tokenizer, const Task& task,
                        const TaskOptions& options, const OnItem& on_item) {
  DSMOE_CHECK(task.kind == TaskKind::kGenerate, "a task of answers");
  TaskScore score{&task, options, {{"exact_match"}}, {}, {}};
  if (options.shots < 0) score.options.shots = task.shot_count;
  const std::vector<Prompt> prompts = prompts_of(engine, tokenizer, task, score.options);
  engine::GenerateOptions generate;
  generate.max_tokens = task.max_tokens;
  generate.stop = task.stop;
  generate.ends = options.ends;
  PromptSession session(engine);
  for (const Prompt& prompt : prompts) {
    const engine::Generation written = session.generate(prompt.ids, generate, tokenizer);
    const bool right = matches_any(written.text, prompt.item->answers, task.normalisation);
    score.items.push_back({prompt.item, {right ? 1.0 : 0.0}, answer_sample(task, *prompt.item, prompt.text, written)});
    if (on_item) on_item(std::ssize(score.items), std::ssize(prompts));
  }
  summarise(score);
  return score;
}

}  // namespace dsmoe::eval
