// How a mixture starts from a dense model: it computes at first what the dense model computes ("sparse upcycling",
// arXiv 2212.05055; with fine-grained experts arXiv 2410.07524), and training takes it from there.
//
// Every dense FFN of width F is cut into `slices` experts of width F / slices. A gated FFN is the sum of its slices, so
// with `shared` of them visited by every token, the other m = slices - shared must each come with weight 1. They stand
// `copies` times among the routed experts, and the m slices of a copy begin with the same router row: they have equal
// affinities, so the best K, a multiple of m, are whole copies. Gates are divided by their sum (norm_topk_prob): those
// of the chosen copies, m slices each, add up to 1, and down projections that are m times the dense ones make the gates
// of one slice over all copies add up to m times 1 / m. A softmax without the division has no constant that would do
// this, as its gates depend on the token.
#pragma once

#include <functional>

#include "formats/model_folder.h"
#include "formats/model_folder_writer.h"

namespace dsmoe::formats {

struct Upcycling {
  int64_t slices = 8;            ///< that every dense FFN is cut into
  int64_t shared = 1;            ///< of them, those that every token visits
  int64_t copies = 8;            ///< of the other slices, among the routed experts
  int64_t copies_per_token = 1;  ///< of which a token visits; 1: as many multiplications as the dense model
  int64_t first_dense = 0;       ///< leading layers that stay as they are

  int64_t routed_slices() const { return slices - shared; }
};

/// What the mixture will be: the dense model's numbers, and those of its experts. Throws Error(kInvalid), in the words
/// of the options of `dsmoe upcycle`, for a model that is a mixture already or cannot be cut so.
spec::ModelConfig upcycled_config(const spec::ModelConfig& dense, const Upcycling& upcycling);

/// Writes the mixture's tensors, up to but not including writer.finish(). Router rows are N(0, initializer_range), a
/// function of the seed. `config` is upcycled_config's, `writer` one for it. `progress` is told the bytes written so
/// far; it may throw to stop.
void write_upcycled_model(ModelFolderWriter& writer, const ModelFolder& dense, const spec::ModelConfig& config,
                          uint64_t seed, const std::function<void(uint64_t)>& progress = {});

}  // namespace dsmoe::formats
