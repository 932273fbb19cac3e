// Who is computed next: requests as sequences on one engine, a pass at a time.
//
// Writers go on by a token in every pass while prompts are read in pieces beside them; sequences join and leave between
// passes. What a sequence says does not depend on any other: the engine gives the same bits in any batch. A sequence
// that fails ends its own request and no other.
//
// It has neither threads nor a clock nor a socket: its caller says what time it is and calls step() as long as it is
// not idle. Everything happens in the caller's thread, listeners included.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/continuation.h"
#include "engine/engine.h"
#include "serve/api_error.h"
#include "serve/expert_load.h"
#include "serve/pass_plan.h"
#include "serve/prefix_store.h"
#include "serve/routing_record.h"

namespace dsmoe::serve {

using Clock = std::chrono::steady_clock;

/// One text to be made.
struct SequenceWork {
  std::vector<int32_t> prompt;  ///< at least one token
  engine::GenerateOptions generate;
  bool score_prompt = false;  ///< log-probabilities of the prompt's own tokens are wanted too
  engine::Intervention intervention = {};
  bool record_routing = false;  ///< which experts read which token is wanted too
};

/// Hears of a request's sequences, counted as they were given. Must not throw.
class Listener {
 public:
  virtual ~Listener() = default;
  /// It has a slot.
  virtual void on_start(size_t sequence) = 0;
  /// A prompt has been read; `cached` tokens of it were known before. `scores` has one for each token but the first,
  /// where they were asked for.
  virtual void on_prompt(size_t sequence, int64_t cached, std::vector<engine::TokenScore> scores) = 0;
  /// Tokens have been read: after on_prompt those of the prompt, then before each step the one that was chosen last.
  /// Only where it was asked for.
  virtual void on_routing(size_t sequence, RoutedTokens routed) = 0;
  virtual void on_step(size_t sequence, const engine::Step& step) = 0;
  virtual void on_finish(size_t sequence, engine::Finish finish) = 0;
  /// All sequences have finished.
  virtual void on_end() = 0;
  /// Nothing more comes, whatever has.
  virtual void on_failure(const ApiError& error) = 0;
};

struct Work {
  uint64_t id = 0;  ///< unique
  std::vector<SequenceWork> sequences;
  std::shared_ptr<Listener> listener;
  Clock::time_point start_by = Clock::time_point::max();   ///< fails with 503 where nothing of it has started
  Clock::time_point finish_by = Clock::time_point::max();  ///< fails with 503 where it has not finished
};

struct SchedulerOptions {
  int64_t slots = 4;                       ///< sequences computed at a time
  int64_t context = 4096;                  ///< positions of a sequence at most
  int64_t cache_bytes = int64_t{1} << 30;  ///< of all caches, those of prefixes too
  PassLimits pass;
  bool count_experts = false;  ///< tells how many tokens each expert has read
};

struct SchedulerLoad {
  int64_t running = 0, waiting = 0;  ///< sequences
  int64_t cache_bytes = 0;           ///< that running sequences may grow to and prefixes take
  int64_t passes = 0, prompt_tokens = 0, cached_tokens = 0, generated_tokens = 0;  ///< since the beginning
  ExpertTokens expert_tokens = {};                                                 ///< likewise, where they are counted
};

class Scheduler {
 public:
  /// Both are kept by reference; `tokenizer` may be null.
  Scheduler(engine::Engine& engine, const tokenizer::Tokenizer* tokenizer, const SchedulerOptions& options);
  ~Scheduler();

  /// Throws ApiError 400 where it can never be done.
  void add(Work work);
  /// Its listener hears no more. Unknown ids are of requests that have ended.
  void cancel(uint64_t id);
  /// Ends all requests with this error.
  void fail_all(const ApiError& error);
  bool idle() const { return requests_.empty(); }
  /// One pass for all that can go on; nothing where idle.
  void step(Clock::time_point now);
  SchedulerLoad load() const;

 private:
  struct Sequence;
  struct Request;
  void expire(Clock::time_point now);
  void start_waiting();
  Sequence* next_waiting();
  bool start(Sequence& sequence);
  void run_pass();
  void run_alone(std::span<Sequence* const> members, std::span<const engine::BatchItem> items);
  void take_logits(Sequence& sequence, std::span<const float> logits);
  void finish_reading(Sequence& sequence);
  void tell_routing(Sequence& sequence);
  void finish(Sequence& sequence);
  void settle();
  int64_t bytes_of(const Sequence& sequence) const;

  engine::Engine& engine_;
  const tokenizer::Tokenizer* tokenizer_;
  SchedulerOptions options_;
  PrefixStore prefixes_;
  std::list<std::unique_ptr<Request>> requests_;  // in order of arrival
  std::vector<Sequence*> running_;
  std::vector<float> logits_;
  SchedulerLoad totals_;
};

}  // namespace dsmoe::serve
