#include "apps/score_ablation.h"

#include <cmath>

#include "base/error.h"

namespace dsmoe::apps {

void score_ablation(engine::Engine& engine, const corpus::TokenDataset& corpus, eval::PerplexityOptions options,
                    study::Ablation& study, const eval::OnScored& on_scored) {
  int64_t before = 0;
  std::vector<eval::DocumentScore> untouched;  // of the first point, which is the whole model
  const auto points = static_cast<int64_t>(study.points.size());
  study::score_points(study, [&](const engine::Intervention& intervention) {
    options.intervention = intervention;
    int64_t scored = 0;
    const eval::Perplexity result = eval::perplexity(engine, corpus, options, [&](int64_t done, int64_t all) {
      scored = done;
      if (on_scored) on_scored(before + done, points * all);
    });
    before += scored;
    if (!std::isfinite(result.total.nats)) {
      base::fail(base::ErrorKind::kNonFinite, "study", "the model's logits are not finite", {},
                 "its weights are damaged or its training has diverged");
    }
    study::AblationScore score{result.total, {}, {}};
    if (intervention == engine::Intervention{}) {
      untouched = result.documents;
    } else {
      const double error = eval::paired_difference(result.documents, untouched).nats_per_token.standard_error;
      if (std::isfinite(error)) score.rise_error = error;
    }
    for (const auto& domain : result.domains) score.domains.emplace_back(domain.name, domain.score);
    return score;
  });
}

}  // namespace dsmoe::apps
