// Texts as the model takes them.
#pragma once

#include "corpus/batch_source.h"
#include "model/transformer.h"

namespace dsmoe::train {

/// All of them in one row, told apart by Batch::sequences.
model::Batch model_batch(const corpus::TokenBatch& batch);

/// One token that counts for nothing: what a rank without texts goes through the model with, where others need its
/// experts.
model::Batch idle_batch();

}  // namespace dsmoe::train
