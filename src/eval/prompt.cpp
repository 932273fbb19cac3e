#include "eval/prompt.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"
#include "tokenizer/unicode.h"

namespace dsmoe::eval {
namespace {

// Bytes of `text` before the white space at its end.
size_t without_white_space(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    const auto [code_point, length] = tokenizer::unicode::step_back(text, end);
    if ((tokenizer::unicode::flags()[code_point] & tokenizer::unicode::kSpace) == 0) break;
    end -= length;
  }
  return end;
}

// The tokenizer's prefix and then `ids`; bos where that is nothing, since a model answers to at least one token.
std::vector<int32_t> behind_beginning(const tokenizer::Tokenizer& tokenizer, const spec::ModelConfig& config,
                                      std::span<const int32_t> ids) {
  std::vector<int32_t> out = tokenizer.spec().prefix;
  out.insert(out.end(), ids.begin(), ids.end());
  if (out.empty()) out.push_back(static_cast<int32_t>(config.bos_token_id));
  return out;
}

}  // namespace

std::vector<const Item*> draw_shots(const Task& task, const TaskOptions& options) {
  const int64_t count = options.shots < 0 ? task.shot_count : options.shots;
  if (count > std::ssize(task.shots)) {
    base::fail_invalid("task", "there are fewer items to draw shots from than are asked for",
                       std::to_string(task.shots.size()) + " for " + std::to_string(count),
                       (task.folder / "task.toml").string() + " names their file or split under [shots]");
  }
  std::vector<std::pair<uint64_t, const Item*>> order;
  for (const Item& shot : task.shots)
    order.emplace_back(base::random_bits(options.seed, 0, base::xxh3_64(shot.id)), &shot);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : a.second->id < b.second->id;
  });
  std::vector<const Item*> shots;
  for (int64_t i = 0; i < count; ++i) shots.push_back(order[static_cast<size_t>(i)].second);
  return shots;
}

std::vector<const Item*> chosen_items(const Task& task, const TaskOptions& options) {
  std::map<std::string_view, int64_t> taken;  // by pool
  std::vector<const Item*> items;
  for (const Item& item : task.items) {
    if (options.limit == 0 || taken[item.pool]++ < options.limit) items.push_back(&item);
  }
  return items;
}

std::string text_before(const Task& task, std::span<const Item* const> shots) {
  std::string text = task.preamble;
  for (const Item* shot : shots) text += shot->question + shot->shown_answer + task.separator;
  return text;
}

std::vector<int32_t> encode_prompt(const tokenizer::Tokenizer& tokenizer, const spec::ModelConfig& config,
                                   std::string_view text) {
  return behind_beginning(tokenizer, config, tokenizer.encode_document(text));
}

ContinuationIds encode_continuation(const tokenizer::Tokenizer& tokenizer, const spec::ModelConfig& config,
                                    std::string_view context, std::string_view continuation) {
  const std::string whole = std::string(context) + std::string(continuation);
  const std::vector<int32_t> alone = tokenizer.encode_document(whole.substr(0, without_white_space(context)));
  const std::vector<int32_t> both = tokenizer.encode_document(whole);
  ContinuationIds result;
  result.ids = behind_beginning(tokenizer, config, alone);
  result.context = result.ids.size();
  if (both.size() > alone.size()) {
    result.ids.insert(result.ids.end(), both.begin() + std::ssize(alone), both.end());
  }
  return result;
}

}  // namespace dsmoe::eval
