#include "train/memory_need.h"

#include <cstdio>
#include <string>

#include "base/error.h"
#include "base/memory.h"
#include "spec/counts.h"

namespace dsmoe::train {
namespace {

std::string gigabytes(uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g GB", static_cast<double>(bytes) / 1e9);
  return text;
}

// What all ranks together take: each has a model, without the experts that its neighbours hold, and its share of one
// set of moments.
int64_t bytes_of_ranks(const spec::RunConfig& config, int ranks, spec::BaseWeights base) {
  const spec::TrainingBytes bytes = spec::training_bytes(config.model, config.train, base);
  const int64_t routed = spec::count_parameters(config.model).routed_experts;
  const int64_t elsewhere = routed - routed / config.parallel.expert;
  const int64_t each = bytes.total() - bytes.moments - elsewhere * (4 + 4 + 2 * spec::bytes_of(config.train.precision));
  return ranks * each + bytes.moments;
}

}  // namespace

void require_memory(const spec::RunConfig& config, uint64_t available, int ranks, const formats::GgufModel* file) {
  const auto in = file != nullptr ? spec::BaseWeights::kInFile : spec::BaseWeights::kInMemory;
  const uint64_t mapped = file != nullptr ? file->file().size() : 0;
  const uint64_t needed = static_cast<uint64_t>(bytes_of_ranks(config, ranks, in)) + mapped;
  if (available == 0) available = base::available_memory();
  if (needed <= available) return;
  base::fail_invalid("train", "a run must fit into memory",
                     "needs " + gigabytes(needed) +
                         (mapped > 0 ? ", " + gigabytes(mapped) + " of it the base's file" : "") + ", available are " +
                         gigabytes(available),
                     "lower train.micro_batch or set train.recompute=true (dsmoe plan says what a run takes); "
                     "--no-memory-check begins anyway");
}

}  // namespace dsmoe::train
