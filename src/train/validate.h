// Validation: the loss on text the model does not train on, by domain.
#pragma once

#include <functional>
#include <optional>

#include "corpus/validation.h"
#include "model/transformer.h"
#include "train/record.h"

namespace dsmoe::train {

/// Scores every window, `rows` at a time, in evaluation mode (dropless, no balance loss). Nothing when `stop` asks to
/// leave in between.
std::optional<ValidationRecord> validate(const model::Transformer& model, const corpus::TokenDataset& dataset,
                                         const corpus::ValidationWindows& windows, int64_t rows,
                                         const std::function<bool()>& stop);

}  // namespace dsmoe::train
