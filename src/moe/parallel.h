// LibTorch's pool of threads as the project's own value: the one place that knows both.
#pragma once

#include "base/parallel.h"

namespace dsmoe::moe {

/// Chunks from one queue, each taken by whichever thread is free: a thread that a foreign process holds up costs its
/// own chunk and no more. As many threads as at::get_num_threads() says at the call; a loop inside a loop is serial.
const base::ParallelFor& torch_parallel_for();

}  // namespace dsmoe::moe
