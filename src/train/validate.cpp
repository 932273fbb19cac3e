#include "train/validate.h"

#include <algorithm>
#include <chrono>

#include "corpus/validation.h"
#include "train/layer_loads.h"
#include "train/model_batch.h"
#include "train/rank_sums.h"

namespace dsmoe::train {
namespace {

DomainScore score_of(const std::string& name, const corpus::TextScore& score) {
  return {name, score.nats_per_token(), score.bits_per_byte(), score.tokens, score.bytes};
}

// The figures of all domains, those with something to score in them.
ValidationRecord summary(const corpus::ScoredTexts& texts, const std::vector<corpus::TextScore>& scores,
                         const std::vector<LayerLoad>& loads) {
  ValidationRecord record;
  corpus::TextScore all;
  for (size_t domain = 0; domain < scores.size(); ++domain) {
    if (scores[domain].tokens == 0) continue;
    record.domains.push_back(score_of(texts.domain_names()[domain], scores[domain]));
    all += scores[domain];
  }
  record.all = score_of("", all);
  StepRecord as_step;
  as_step.layers = loads;
  record.max_vio = as_step.max_vio();
  return record;
}

}  // namespace

std::optional<ValidationRecord> validate(const model::Transformer& model, const corpus::ScoredTexts& texts,
                                         int64_t most_tokens, const std::function<bool()>& stop,
                                         const comm::Group& group) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<corpus::TextScore> scores(texts.domain_names().size());
  std::vector<LayerLoad> loads = empty_loads(model.config());
  corpus::TokenBatch batch;
  int turn = 0;
  for (int64_t begin = 0, end = 0; begin < texts.size(); begin = end, turn = (turn + 1) % group.size()) {
    if (turn == 0 && stop()) return std::nullopt;
    batch.clear();
    do {
      texts.add(end++, batch);
    } while (end < texts.size() && std::ssize(batch.ids) + texts.length(end) <= most_tokens);
    if (turn != group.rank()) continue;
    const model::Evaluation evaluation = model.evaluate(model_batch(batch));
    const torch::Tensor losses = evaluation.losses_BS.reshape(-1).contiguous();
    const float* nats = losses.data_ptr<float>();
    for (size_t at = 0, text = 0; text < batch.lengths.size(); ++text) {
      corpus::TextScore& score = scores[static_cast<size_t>(texts.domain(begin + static_cast<int64_t>(text)))];
      double sum = 0;
      for (const size_t past = at + static_cast<size_t>(batch.lengths[text]); at < past; ++at) {
        sum += nats[at];
        score.tokens += batch.targets[at] != corpus::kNotScored;
      }
      score.nats += sum;
    }
    add_loads(evaluation.routings, loads);
  }
  if (turn > 0 && turn <= group.rank()) model.evaluate(idle_batch());  // the last texts did not come round to it
  RankSums sums;
  for (corpus::TextScore& score : scores) {
    sums.add(score.nats);
    sums.add(score.tokens);
  }
  sums.add(loads);
  sums.over(group);
  for (size_t domain = 0; domain < scores.size(); ++domain) {
    if (scores[domain].tokens > 0) scores[domain].bytes = texts.bytes(static_cast<int>(domain));
  }
  ValidationRecord record = summary(texts, scores, loads);
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return record;
}

}  // namespace dsmoe::train
