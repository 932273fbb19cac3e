#include "apps/training/threads.h"

#include <ATen/Parallel.h>

#include "base/limits.h"
#include "base/parallel.h"

namespace dsmoe::apps {

int use_threads(int wanted) {
  const int threads = wanted > 0 ? wanted : base::usable_processors();
  // OpenMP ends the program where it does not get its threads, so they are tried here first.
  const base::ThreadPool tried(threads);
  at::set_num_threads(threads);
  return threads;
}

}  // namespace dsmoe::apps
