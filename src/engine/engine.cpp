#include "engine/engine.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"
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

// Items are cut into pieces and chunks filled with pieces, in order; a long prompt takes several chunks.
void Engine::pass(std::span<const BatchItem> items) {
  for (const BatchItem& item : items) check(item);
  std::vector<Piece> pieces;
  int64_t rows = 0;
  const auto flush = [&] {
    if (!pieces.empty()) impl_->forward.run(pieces);
    pieces.clear();
    rows = 0;
  };
  const auto V = static_cast<size_t>(config().vocab_size);
  for (const BatchItem& item : items) {
    for (size_t done = 0; done < item.tokens.size();) {
      const size_t count = std::min(static_cast<size_t>(impl_->options.chunk - rows), item.tokens.size() - done);
      Piece piece;
      piece.cache = item.cache;
      piece.tokens = item.tokens.subspan(done, count);
      piece.first_position = item.cache->size();
      piece.intervention = item.intervention ? item.intervention : &kNone;
      piece.probe = item.probe;
      // Logits are wanted of tokens from first_wanted on; this piece has those of [done, done + count).
      const size_t first_wanted = item.tokens.size() - item.logits.size() / V;
      const size_t begin = std::max(done, first_wanted), end = done + count;
      if (begin < end) piece.logits = item.logits.subspan((begin - first_wanted) * V, (end - begin) * V);
      item.cache->extend(static_cast<int64_t>(count));
      pieces.push_back(piece);
      done += count;
      rows += static_cast<int64_t>(count);
      if (rows == impl_->options.chunk) flush();
    }
  }
  flush();
}

void Session::check(std::span<const int32_t> tokens) { engine_.check({&cache_, tokens, {}, &intervention, probe}); }

std::span<const float> Session::run(std::span<const int32_t> tokens, size_t rows) {
  logits_.resize(rows * static_cast<size_t>(engine_.config().vocab_size));
  const BatchItem item{&cache_, tokens, logits_, &intervention, probe};
  engine_.pass({&item, 1});
  return logits_;
}
std::span<const float> Session::append(std::span<const int32_t> tokens) { return run(tokens, tokens.empty() ? 0 : 1); }
std::span<const float> Session::append_all(std::span<const int32_t> tokens) { return run(tokens, tokens.size()); }

}  // namespace dsmoe::engine
