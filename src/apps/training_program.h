// Where the training half's program is.
#pragma once

#include "base/file.h"

namespace dsmoe::apps {

/// dsmoe-train beside this program. Throws Error(kFailure), saying how to get it, where it was not built.
base::fs::path training_program();

}  // namespace dsmoe::apps
