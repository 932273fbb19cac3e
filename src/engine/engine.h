// Run a model: ids in, logits out, and what happened on the way.
//
// `Engine` holds a model and its working memory. `pass` moves any number of sequences forward together, each by any
// number of tokens; a sequence is its KvCache. `Session` is one sequence, kept consistent with its cache. The logits of
// a sequence are the same bits alone, in any batch, with any chunking and on any number of threads.
//
// One engine serves one caller at a time. The pass is dropless and deterministic: capacity and random second experts
// belong to training.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/parallel.h"
#include "engine/intervention.h"
#include "engine/kv_cache.h"
#include "engine/weights.h"

namespace dsmoe::engine {

struct EngineOptions {
  int threads = 0;      ///< 0: as many as this process may use
  int64_t chunk = 512;  ///< tokens of one pass that are computed together; memory grows with it, results do not change
  int64_t memory = 0;   ///< bytes that caches and working memory may still take; 0: what the machine has free
  CacheType cache = CacheType::kF32;  ///< of sessions; f16 halves what a long context reads, q8_0 quarters it
};

/// One sequence's part in a pass.
struct BatchItem {
  KvCache* cache = nullptr;
  std::span<const int32_t> tokens;             ///< appended to the cache; at least one
  std::span<float> logits;                     ///< [n, V] for the last n tokens, n >= 0
  const Intervention* intervention = nullptr;  ///< null: none
  RoutingProbe* probe = nullptr;               ///< null: none
};

class Engine {
 public:
  /// A model folder or a GGUF file. Throws Error when it is no model or cannot be read.
  static Engine load(const base::fs::path& model, const EngineOptions& options = {});
  explicit Engine(Weights weights, const EngineOptions& options = {});
  ~Engine();
  Engine(Engine&&) noexcept;

  const spec::ModelConfig& config() const;
  const Weights& weights() const;
  int threads() const;
  CacheType cache_type() const;
  int64_t chunk() const;
  /// The engine's threads, for work on its results between passes.
  base::ParallelFor parallel_for() const;

  /// Throws Error(kInvalid), before anything has changed, for ids outside the vocabulary, sequences longer than
  /// max_position_embeddings, interventions that the model cannot do, a cache that is there twice, and batches that do
  /// not fit into memory. Where anything else fails on the way (a probe that throws, memory that is not to be had),
  /// every cache has the positions it had before, and the next pass gives what it would have given.
  void pass(std::span<const BatchItem> items);
  /// What pass() would throw for this item.
  void check(const BatchItem& item) const;

 private:
  friend class Session;
  void check_caches(std::span<const BatchItem> items) const;
  void check_memory(std::span<const BatchItem> items) const;
  void run(std::span<const BatchItem> items);
  void require_memory(int64_t bytes, std::string_view what, int64_t tokens, std::string_view hint) const;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// One sequence. The engine must outlive it.
class Session {
 public:
  explicit Session(Engine& engine) : engine_(engine), cache_(engine.config(), engine.cache_type()) {}

  /// What append() would throw for these tokens, without running them.
  void check(std::span<const int32_t> tokens);
  /// Appends tokens; returns the logits [V] after the last one, valid until the next call.
  std::span<const float> append(std::span<const int32_t> tokens);
  /// Appends tokens; returns the logits after the last `rows` of them, [rows, V], valid until the next call.
  std::span<const float> append_last(std::span<const int32_t> tokens, size_t rows) { return run(tokens, rows); }
  /// Appends tokens; returns the logits after each of them, [n, V], valid until the next call.
  std::span<const float> append_all(std::span<const int32_t> tokens);
  /// Tokens so far.
  int64_t size() const { return cache_.size(); }
  /// Goes back to the first `size` tokens.
  void rewind(int64_t size) { cache_.truncate(size); }
  KvCache& cache() { return cache_; }

  Intervention intervention;      ///< holds for every call until changed
  RoutingProbe* probe = nullptr;  ///< likewise

 private:
  std::span<const float> run(std::span<const int32_t> tokens, size_t rows);
  Engine& engine_;
  KvCache cache_;
  std::vector<float> logits_;
};

}  // namespace dsmoe::engine
