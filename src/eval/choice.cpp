// Multiple choice by log-likelihood.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "eval/prompt_session.h"
#include "eval/sample.h"
#include "eval/task_score.h"

namespace dsmoe::eval {
namespace {

struct Question {
  const Item* item;
  std::string context;
  std::vector<ContinuationIds> choices;
};

// Whether shots, question and the longest choice fit, by the tokens that are read: the last one never is.
bool fits(const Question& question, int64_t positions) {
  return std::all_of(question.choices.begin(), question.choices.end(),
                     [&](const ContinuationIds& text) { return std::ssize(text.ids) - 1 <= positions; });
}

class Questions {
 public:
  Questions(const engine::Engine& engine, const tokenizer::Tokenizer& tokenizer, const Task& task)
      : config_(engine.config()), tokenizer_(tokenizer), task_(task) {}

  std::vector<Question> encode(const TaskOptions& options) const {
    const std::string before = text_before(task_, draw_shots(task_, options));
    std::vector<Question> questions;
    for (const Item* item : chosen_items(task_, options)) {
      Question question{item, before + item->question, {}};
      for (const std::string& choice : item->choices) {
        question.choices.push_back(encode_continuation(tokenizer_, config_, question.context, choice));
        const ContinuationIds& text = question.choices.back();
        if (text.ids.size() == text.context) {
          base::fail_invalid("task", "a choice must add a token to what stands before it", base::in_quotes(choice),
                             item->place);
        }
      }
      questions.push_back(std::move(question));
    }
    return questions;
  }

  void require_fit(const std::vector<Question>& questions, const TaskOptions& options) const {
    const int64_t positions = config_.max_position_embeddings;
    const auto fitting = [&](const Question& question) { return fits(question, positions); };
    const auto long_one = std::find_if_not(questions.begin(), questions.end(), fitting);
    if (long_one == questions.end()) return;
    size_t longest = 0;
    for (const ContinuationIds& text : long_one->choices) longest = std::max(longest, text.ids.size() - 1);
    TaskOptions fewer = options;
    std::string hint = "a model with a longer context is needed";
    while (fewer.shots-- > 0) {
      const auto shorter = encode(fewer);
      if (!std::all_of(shorter.begin(), shorter.end(), fitting)) continue;
      hint = "--shots " + std::to_string(fewer.shots) + " fits all";
      break;
    }
    base::fail_invalid("task",
                       "shots, question and choice must fit into the model's context of " + std::to_string(positions),
                       std::to_string(longest) + " tokens at " + long_one->item->place, hint);
  }

 private:
  const spec::ModelConfig& config_;
  const tokenizer::Tokenizer& tokenizer_;
  const Task& task_;
};

// A choice without the white space before it: what its length is counted of.
std::string_view measured(std::string_view choice) { return choice.substr(choice.find_first_not_of(" \t\r\n")); }

double characters_in(std::string_view text) {
  return static_cast<double>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// The first of the largest.
size_t best_of(const std::vector<double>& values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

ItemScore score_question(PromptSession& session, const Question& question) {
  const Item& item = *question.item;
  std::vector<ContinuationScore> scores;
  std::vector<double> summed, by_characters, by_bytes;
  for (size_t c = 0; c < question.choices.size(); ++c) {
    scores.push_back(session.score(question.choices[c]));
    const double value = scores.back().log_likelihood;
    if (!std::isfinite(value)) {
      base::fail(base::ErrorKind::kNonFinite, "task", "the model's logits are not finite", item.place,
                 "its weights are damaged or its training has diverged");
    }
    const std::string_view text = measured(item.choices[c]);
    summed.push_back(value);
    by_characters.push_back(value / characters_in(text));
    by_bytes.push_back(value / static_cast<double>(text.size()));
  }
  const auto right = [&](const std::vector<double>& values) { return best_of(values) == item.right ? 1.0 : 0.0; };
  ItemScore result;
  result.item = question.item;
  result.values = {right(summed), right(by_characters), right(by_bytes), -summed[item.right]};
  result.sample = choice_sample(item, question.context, scores);
  return result;
}

}  // namespace

TaskScore score_choices(engine::Engine& engine, const tokenizer::Tokenizer& tokenizer, const Task& task,
                        const TaskOptions& options, const OnItem& on_item) {
  DSMOE_CHECK(task.kind == TaskKind::kChoice, "a task of choices");
  TaskScore score{&task, options, {{"acc"}, {"acc_norm"}, {"acc_bytes"}, {"nats", false, false}}, {}, {}};
  if (options.shots < 0) score.options.shots = task.shot_count;
  const Questions encoder(engine, tokenizer, task);
  const std::vector<Question> questions = encoder.encode(score.options);
  encoder.require_fit(questions, score.options);
  PromptSession session(engine);
  for (const Question& question : questions) {
    score.items.push_back(score_question(session, question));
    if (on_item) on_item(std::ssize(score.items), std::ssize(questions));
  }
  summarise(score);
  return score;
}

}  // namespace dsmoe::eval
