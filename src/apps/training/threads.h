// The threads of dsmoe-train: LibTorch's pool, one for everything.
#pragma once

namespace dsmoe::apps {

/// Uses `wanted` threads, or with 0 as many as there are cores; returns how many.
int use_threads(int wanted);

}  // namespace dsmoe::apps
