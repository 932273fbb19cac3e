#include "train/validate.h"

#include <algorithm>
#include <chrono>

#include "train/layer_loads.h"

namespace dsmoe::train {
namespace {

DomainScore score_of(const std::string& name, const corpus::TextScore& score) {
  return {name, score.nats_per_token(), score.bits_per_byte(), score.tokens, score.bytes};
}

// The figures of all domains, those with something to score in them.
ValidationRecord summary(const corpus::TokenDataset& dataset, const std::vector<corpus::TextScore>& scores,
                         const std::vector<LayerLoad>& loads) {
  ValidationRecord record;
  corpus::TextScore all;
  for (size_t domain = 0; domain < scores.size(); ++domain) {
    if (scores[domain].tokens == 0) continue;
    record.domains.push_back(score_of(dataset.domain_names()[domain], scores[domain]));
    all += scores[domain];
  }
  record.all = score_of("", all);
  StepRecord as_step;
  as_step.layers = loads;
  record.max_vio = as_step.max_vio();
  return record;
}

}  // namespace

std::optional<ValidationRecord> validate(const model::Transformer& model, const corpus::TokenDataset& dataset,
                                         const corpus::ValidationWindows& windows, int64_t rows,
                                         const std::function<bool()>& stop) {
  const auto start = std::chrono::steady_clock::now();
  const int64_t S = windows.sequence_length();
  std::vector<corpus::TextScore> scores(dataset.domain_names().size());
  std::vector<LayerLoad> loads = empty_loads(model.config());
  std::vector<int32_t> inputs(static_cast<size_t>(S)), targets(static_cast<size_t>(S));
  for (int64_t begin = 0; begin < windows.size(); begin += rows) {
    if (stop()) return std::nullopt;
    const int64_t B = std::min(rows, windows.size() - begin);
    const torch::Tensor ids_BS = torch::empty({B, S}, torch::kLong), targets_BS = torch::empty({B, S}, torch::kLong);
    for (int64_t b = 0; b < B; ++b) {
      windows.read(begin + b, inputs, targets);
      std::copy(inputs.begin(), inputs.end(), ids_BS.data_ptr<int64_t>() + b * S);
      std::copy(targets.begin(), targets.end(), targets_BS.data_ptr<int64_t>() + b * S);
    }
    const model::Evaluation evaluation = model.evaluate(ids_BS, targets_BS);
    const torch::Tensor nats_B = evaluation.losses_BS.sum(1, /*keepdim=*/false, torch::kDouble).contiguous();
    for (int64_t b = 0; b < B; ++b) {
      scores[static_cast<size_t>(windows.domain(begin + b))] +=
          {nats_B.data_ptr<double>()[b], windows.scored(begin + b), 0};
    }
    add_loads(evaluation.routings, loads);
  }
  for (size_t domain = 0; domain < scores.size(); ++domain) {
    if (scores[domain].tokens > 0) scores[domain].bytes = windows.bytes(static_cast<int>(domain));
  }
  ValidationRecord record = summary(dataset, scores, loads);
  record.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return record;
}

}  // namespace dsmoe::train
