// From the arguments of a command to the model it runs.
#pragma once

#include "apps/model_arguments.h"
#include "loading/model.h"

namespace dsmoe::apps {

/// Opens the model that the arguments name; with -q its weights are quantised in memory, under a progress bar.
loading::Model open_model(const ModelArguments& arguments);

}  // namespace dsmoe::apps
