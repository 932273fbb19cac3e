// What the studies of missing experts are called on pages, and what they mean.
#pragma once

#include <span>

#include "study/ablation.h"

namespace dsmoe::study {

struct AblationWords {
  AblationKind kind;
  const char *heading, *meaning, *x_label;
};

/// One for each kind, in the order of pages.
std::span<const AblationWords> ablation_words();

}  // namespace dsmoe::study
