// Which number of a finished run a claim speaks of: its loss, or what a study of ablations found.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "engine/intervention.h"
#include "study/ablation.h"

namespace dsmoe::compare {

/// Nats per token of the run's model under `change` (the default one: its loss on the validation split); with `rise`
/// what it is above the untouched model's on the same text.
struct Figure {
  engine::Intervention change;
  bool rise = false;

  bool is_loss() const { return change == engine::Intervention{} && !rise; }
  bool operator==(const Figure&) const = default;
};

/// From a plan's table { masked_top_fraction, experts_per_tok, drop_shared, rise }. Throws Error(kInvalid) naming
/// `where` for other keys and values.
Figure figure_from_json(const base::Json& json, const std::string& where);
/// "its best 1/16 of experts masked", for sentences; empty for the loss.
std::string words_of(const Figure& figure);
/// The study that measures it; nothing for the loss.
std::optional<study::AblationKind> study_of(const Figure& figure);
}  // namespace dsmoe::compare
