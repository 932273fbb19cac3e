// How a model starts: every tensor's values as a pure function of seed, tensor name and index.
//
// Weights are N(0, initializer_range), norms 1, balance biases 0, hash tables fixed maps. Because no value depends on
// the order in which values are made, any number of threads, `dsmoe init` and a training run start from the same bytes.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "formats/model_folder_writer.h"
#include "spec/model_config.h"
#include "spec/tensors.h"

namespace dsmoe::formats {

/// Elements [first, first + out.size()) of a tensor of floats, in row-major order.
void initial_values(const spec::TensorSpec& tensor, const spec::ModelConfig& config, uint64_t seed, int64_t first,
                    std::span<float> out);

/// A hash router's table, [vocab_size, num_experts_per_tok], the same for every layer (Hash Layers, arXiv 2106.04426):
/// each token's experts drawn at random (router_type hash), or handed out so that all carry equal load (hash_balanced):
/// tokens by falling frequency, ties in a seeded order, each to the experts with the least load so far. Without
/// frequencies (one per token of the vocabulary) all tokens weigh the same.
std::vector<int32_t> initial_hash_table(const spec::ModelConfig& config, uint64_t seed,
                                        std::span<const int64_t> frequencies = {});

/// Makes a whole model in the writer's folder, piece by piece, up to but not including writer.finish(). `progress` is
/// told the bytes of tensors written so far, on any thread's time but one call after another; it may throw to stop.
void write_initial_model(ModelFolderWriter& writer, const spec::ModelConfig& config, uint64_t seed,
                         const base::ParallelFor& parallel, const std::function<void(uint64_t)>& progress = {});

}  // namespace dsmoe::formats
