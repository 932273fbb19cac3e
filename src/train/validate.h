// Validation: the loss on text the model does not train on, by domain.
#pragma once

#include <functional>
#include <optional>

#include "comm/group.h"
#include "corpus/batch_source.h"
#include "model/transformer.h"
#include "train/record.h"

namespace dsmoe::train {

/// Scores every text in evaluation mode (dropless, no balance loss), as many at a time as have `most_tokens` ids
/// together, at least one. Nothing when `stop` asks to leave in between. Ranks take turns and all return the same, as
/// `stop` has to.
std::optional<ValidationRecord> validate(const model::Transformer& model, const corpus::ScoredTexts& texts,
                                         int64_t most_tokens, const std::function<bool()>& stop,
                                         const comm::Group& group = {});

}  // namespace dsmoe::train
