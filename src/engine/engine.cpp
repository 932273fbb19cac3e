#include "engine/engine.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "engine/forward.h"
#include "kernels/isa.h"

namespace dsmoe::engine {

struct Engine::Impl {
  Impl(Weights w, const EngineOptions& o)
      : weights(std::move(w)), options(o), pool(o.threads), forward(weights, pool.parallel_for()) {}

  Weights weights;
  EngineOptions options;
  base::ThreadPool pool;
  Forward forward;
  std::vector<SequenceSlice> slices;
  std::vector<const KvCache*> caches;  // of a pass, sorted
};

namespace {

const Intervention kNone;

}  // namespace

void Engine::check(const BatchItem& item) const {
  const spec::ModelConfig& config = this->config();
  DSMOE_CHECK(item.cache != nullptr, "an item has a cache");
  const auto count = static_cast<int64_t>(item.tokens.size());
  if (count == 0) base::fail_invalid("engine", "a sequence needs at least one token to go on");
  const auto rows = static_cast<int64_t>(item.logits.size()) / config.vocab_size;
  DSMOE_CHECK(rows * config.vocab_size == static_cast<int64_t>(item.logits.size()) && rows <= count,
              "logits are [n, V] for at most all tokens");
  for (const int32_t id : item.tokens) {
    if (id < 0 || id >= config.vocab_size) {
      base::fail_invalid("engine", "token ids must be from 0 to " + std::to_string(config.vocab_size - 1),
                         std::to_string(id), "is this the model's own tokenizer?");
    }
  }
  if (item.cache->size() + count > config.max_position_embeddings) {
    base::fail_invalid("engine",
                       "a sequence may have at most max_position_embeddings = " +
                           std::to_string(config.max_position_embeddings) + " tokens",
                       std::to_string(item.cache->size()) + " so far and " + std::to_string(count) + " more",
                       "shorten the prompt or generate fewer tokens");
  }
  if (item.intervention) item.intervention->validate(config);
}

namespace {

std::string bytes_text(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f GB", static_cast<double>(bytes) / 1e9);
  return bytes < 10000000 ? std::to_string(bytes) + " bytes" : text;
}

}  // namespace

// Where `bytes` more are not to be had, says so with both figures.
void Engine::require_memory(int64_t bytes, std::string_view what, int64_t tokens, std::string_view hint) const {
  constexpr int64_t kAlwaysThere = int64_t{64} << 20;  // so that no step asks the system
  if (impl_->options.memory == 0 && bytes <= kAlwaysThere) return;
  const int64_t free =
      impl_->options.memory > 0 ? impl_->options.memory : static_cast<int64_t>(base::available_memory());
  if (bytes <= free) return;
  base::fail_invalid("memory", std::string(what) + " of " + std::to_string(tokens) + " tokens must fit into memory",
                     "needs " + bytes_text(bytes) + ", free are " + bytes_text(free), hint);
}

void Engine::check_memory(std::span<const BatchItem> items) const {
  int64_t cache = 0, rows = 0, positions = 0;
  for (const BatchItem& item : items) {
    cache += item.cache->growth(std::ssize(item.tokens));
    rows += static_cast<int64_t>(item.tokens.size());
    positions += item.cache->size() + static_cast<int64_t>(item.tokens.size());
  }
  require_memory(cache, "the keys and values", positions,
                 "a shorter context, fewer sequences, or a cache of f16 or q8_0");
  rows = std::min(rows, impl_->options.chunk);
  require_memory(impl_->forward.growth(rows), "a batch", rows, "compute fewer of them together: --ubatch-size");
}

// Two items that append to one cache would store to the same positions.
void Engine::check_caches(std::span<const BatchItem> items) const {
  std::vector<const KvCache*>& caches = impl_->caches;
  caches.clear();
  for (const BatchItem& item : items) caches.push_back(item.cache);
  std::sort(caches.begin(), caches.end(), std::less<>());
  if (std::adjacent_find(caches.begin(), caches.end()) != caches.end()) {
    base::fail_invalid("engine", "a cache may be in a pass once",
                       "the same one in two of " + std::to_string(items.size()),
                       "give a sequence's tokens in one item");
  }
}

Engine Engine::load(const base::fs::path& model, const EngineOptions& options) {
  return Engine(Weights::load(model), options);
}

Engine::Engine(Weights weights, const EngineOptions& options) {
  DSMOE_CHECK(options.chunk > 0, "a chunk has tokens");
  kernels::active_isa();  // an impossible DSMOE_ISA is said here, not in the middle of a pass
  impl_ = std::make_unique<Impl>(std::move(weights), options);
}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;

const spec::ModelConfig& Engine::config() const { return impl_->weights.config(); }
const Weights& Engine::weights() const { return impl_->weights; }
int Engine::threads() const { return impl_->pool.size(); }
CacheType Engine::cache_type() const { return impl_->options.cache; }
int64_t Engine::chunk() const { return impl_->options.chunk; }
base::ParallelFor Engine::parallel_for() const { return impl_->pool.parallel_for(); }

// Positions count when all of the pass has been computed, so until then a cache is what it was: what has been stored
// beyond its end is nothing that anybody reads.
void Engine::pass(std::span<const BatchItem> items) {
  for (const BatchItem& item : items) check(item);
  check_caches(items);
  check_memory(items);
  try {
    for (const BatchItem& item : items) item.cache->reserve(std::ssize(item.tokens));
    run(items);
  } catch (...) {
    for (const BatchItem& item : items) item.cache->truncate(item.cache->size());  // gives memory back
    throw;
  }
  for (const BatchItem& item : items) item.cache->extend(std::ssize(item.tokens));
}

// Items are cut into slices and chunks filled with slices, in order; a long prompt takes several chunks.
void Engine::run(std::span<const BatchItem> items) {
  std::vector<SequenceSlice>& slices = impl_->slices;
  slices.clear();
  int64_t rows = 0;
  const auto flush = [&] {
    if (!slices.empty()) impl_->forward.run(slices);
    slices.clear();
    rows = 0;
  };
  const auto V = static_cast<size_t>(config().vocab_size);
  for (const BatchItem& item : items) {
    for (size_t done = 0; done < item.tokens.size();) {
      const size_t count = std::min(static_cast<size_t>(impl_->options.chunk - rows), item.tokens.size() - done);
      SequenceSlice slice;
      slice.cache = item.cache;
      slice.tokens = item.tokens.subspan(done, count);
      slice.first_position = item.cache->size() + static_cast<int64_t>(done);
      slice.intervention = item.intervention ? item.intervention : &kNone;
      slice.probe = item.probe;
      // Logits are wanted of tokens from first_wanted on; this slice has those of [done, done + count).
      const size_t first_wanted = item.tokens.size() - item.logits.size() / V;
      const size_t begin = std::max(done, first_wanted), end = done + count;
      if (begin < end) slice.logits = item.logits.subspan((begin - first_wanted) * V, (end - begin) * V);
      slices.push_back(slice);
      done += count;
      rows += static_cast<int64_t>(count);
      if (rows == impl_->options.chunk) flush();
    }
  }
  flush();
}

void Session::check(std::span<const int32_t> tokens) {
  const BatchItem item{&cache_, tokens, {}, &intervention, probe};
  engine_.check(item);
  engine_.check_memory({&item, 1});
}

std::span<const float> Session::run(std::span<const int32_t> tokens, size_t rows) {
  const auto more = static_cast<int64_t>(rows) * engine_.config().vocab_size - std::ssize(logits_);
  engine_.require_memory(more * static_cast<int64_t>(sizeof(float)), "the logits", static_cast<int64_t>(rows),
                         "ask for those of fewer at a time");
  const size_t wanted = rows * static_cast<size_t>(engine_.config().vocab_size);
  if (logits_.size() < wanted) logits_.resize(wanted);
  const std::span<float> logits = std::span(logits_).first(wanted);
  const BatchItem item{&cache_, tokens, logits, &intervention, probe};
  engine_.pass({&item, 1});
  return logits;
}
std::span<const float> Session::append(std::span<const int32_t> tokens) { return run(tokens, tokens.empty() ? 0 : 1); }
std::span<const float> Session::append_all(std::span<const int32_t> tokens) { return run(tokens, tokens.size()); }

}  // namespace dsmoe::engine
