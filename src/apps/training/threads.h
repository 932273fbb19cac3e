// The threads of dsmoe-train: LibTorch's pool, one for everything.
#pragma once

namespace dsmoe::apps {

/// Uses `wanted` threads, or with 0 as many as this process may use; returns how many. Throws Error(kFailure) where the
/// system does not give them.
int use_threads(int wanted);

}  // namespace dsmoe::apps
