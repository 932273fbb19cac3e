// A study of ablations carried out by the engine on a corpus: what dsmoe study and dsmoe compare share.
#pragma once

#include <functional>

#include "corpus/dataset.h"
#include "engine/engine.h"
#include "eval/perplexity.h"
#include "study/ablation.h"

namespace dsmoe::apps {

/// Scores every point of `study` on `corpus` with `options` (whose intervention is not looked at). `on_scored` is
/// called with tokens scored and tokens of all points; it may throw to stop. Throws Error(kNonFinite) where the
/// untouched model's logits are not finite.
void score_ablation(engine::Engine& engine, const corpus::TokenDataset& corpus, eval::PerplexityOptions options,
                    study::Ablation& study, const eval::OnScored& on_scored = {});

}  // namespace dsmoe::apps
