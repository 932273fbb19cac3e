#include "apps/training/threads.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <thread>

namespace dsmoe::apps {

int use_threads(int wanted) {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int threads = wanted > 0 ? wanted : cores;
  at::set_num_threads(threads);
  return threads;
}

}  // namespace dsmoe::apps
