// What a model reads: shots before a question, and how text that is scored becomes tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "eval/task.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::eval {

/// Which items are scored, and after what.
struct TaskOptions {
  int64_t shots = -1;              ///< -1: as many as the task says
  int64_t limit = 0;               ///< the first so many items of each pool; 0: all
  uint64_t seed = 1;               ///< decides which shots are drawn
  std::vector<int32_t> ends = {};  ///< tokens that end an answer in words
};

/// The shots that every item of the task gets, drawn by the seed and their ids alone: the order of the file does not
/// matter. Throws Error(kInvalid) where the task has fewer.
std::vector<const Item*> draw_shots(const Task& task, const TaskOptions& options);
/// The items that are scored, in the file's order.
std::vector<const Item*> chosen_items(const Task& task, const TaskOptions& options);
/// Preamble and shots, each with its answer: all that stands before an item's question.
std::string text_before(const Task& task, std::span<const Item* const> shots);

/// A text that is scored behind another, as token ids.
struct ContinuationIds {
  std::vector<int32_t> ids;  ///< of both, one after another
  size_t context = 0;        ///< ids that are read and not scored; at least one
};

/// As lm-evaluation-harness does: white space at the end of the context belongs to the continuation, whose ids are
/// those of both texts together behind as many as the context has alone. The tokenizer's prefix comes first, or the
/// model's bos where nothing else does. Both are text: what spells a special token is written with ordinary ones.
ContinuationIds encode_continuation(const tokenizer::Tokenizer& tokenizer, const spec::ModelConfig& config,
                                    std::string_view context, std::string_view continuation);

/// Ids of a prompt that the model continues, with the same beginning.
std::vector<int32_t> encode_prompt(const tokenizer::Tokenizer& tokenizer, const spec::ModelConfig& config,
                                   std::string_view text);

}  // namespace dsmoe::eval
