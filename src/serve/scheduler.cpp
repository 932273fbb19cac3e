#include "serve/scheduler.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/error.h"

namespace dsmoe::serve {
namespace {

// Logits of a prompt's own tokens are looked at a piece at a time, in at most so many floats.
constexpr int64_t kPromptLogits = int64_t{16} << 20;

enum class State { kWaiting, kReading, kWriting, kDone };

// Tokens of the prompt that have to be read for what is asked.
int64_t to_read(const SequenceWork& work) {
  const int64_t all = std::ssize(work.prompt);
  if (work.generate.max_tokens != 0) return all;
  return work.score_prompt ? all - 1 : 0;  // what would follow the last one is not asked for
}

// What is asked of a prompt's own tokens is not in a cache, and what an intervention made of them is nobody else's.
bool may_share_beginnings(const SequenceWork& work) {
  return !work.score_prompt && !work.record_routing && work.intervention == engine::Intervention{};
}

}  // namespace

struct Scheduler::Request {
  Work work;
  std::vector<std::unique_ptr<Sequence>> sequences;
  bool started = false;
  std::optional<ApiError> failure;
};

struct Scheduler::Sequence {
  Sequence(Request& owner, size_t place, const engine::Engine& engine)
      : request(owner), index(place), cache(engine.config(), engine.cache_type()) {}
  const SequenceWork& work() const { return request.work.sequences[index]; }

  Request& request;
  size_t index;
  State state = State::kWaiting;
  engine::KvCache cache;
  std::optional<engine::Continuation> text;
  std::optional<RoutingRecord> record;
  std::optional<CountedRouting> counted;

  engine::RoutingProbe* probe() {
    if (counted) return &*counted;
    return record ? &*record : nullptr;
  }

  std::vector<int32_t> next;  // tokens that the model has not been given yet
  size_t taken = 0;           // of them, in the pass that runs
  int64_t cached = 0;
  std::vector<engine::TokenScore> scores;
};

Scheduler::Scheduler(engine::Engine& engine, const tokenizer::Tokenizer* tokenizer, const SchedulerOptions& options)
    : engine_(engine), tokenizer_(tokenizer), options_(options), prefixes_(options.cache_bytes) {
  options_.context = std::min(options_.context, engine.config().max_position_embeddings);
  if (options_.count_experts && engine.config().is_moe()) {
    totals_.expert_tokens.resize(
        static_cast<size_t>(engine.config().num_hidden_layers * engine.config().n_routed_experts));
  }
  options_.pass.rows = std::max(engine.chunk(), options_.slots + 1);
}
Scheduler::~Scheduler() = default;

int64_t Scheduler::bytes_of(const Sequence& sequence) const {
  const SequenceWork& work = sequence.work();
  const int64_t most = work.generate.max_tokens < 0 ? options_.context : work.generate.max_tokens;
  const int64_t positions = std::min(options_.context, std::ssize(work.prompt) + most);
  return engine::KvCache::bytes_for(engine_.config(), engine_.cache_type(), positions);
}

void Scheduler::add(Work work) {
  auto request = std::make_unique<Request>();
  request->work = std::move(work);
  for (size_t i = 0; i < request->work.sequences.size(); ++i) {
    SequenceWork& one = request->work.sequences[i];
    if (one.prompt.empty()) throw bad_request("prompt", "a prompt needs at least one token");
    request->sequences.push_back(std::make_unique<Sequence>(*request, i, engine_));
    Sequence& sequence = *request->sequences.back();
    const engine::BatchItem item{&sequence.cache, one.prompt, {}, &one.intervention};
    engine_.check(item);
    sequence.text.emplace(one.generate, one.prompt, options_.context, tokenizer_);
    if (one.record_routing) sequence.record.emplace(engine_.config(), one.intervention);
    if (!totals_.expert_tokens.empty()) {
      sequence.counted.emplace(&totals_.expert_tokens, sequence.record ? &*sequence.record : nullptr);
    }
    sequence.next.assign(one.prompt.begin(), one.prompt.begin() + to_read(one));
    if (bytes_of(sequence) > options_.cache_bytes) {
      throw bad_request("max_tokens", "the keys and values of " + std::to_string(one.prompt.size()) +
                                          " tokens and an answer do not fit into the server's cache");
    }
  }
  requests_.push_back(std::move(request));
}

void Scheduler::cancel(uint64_t id) {
  const auto found = std::find_if(requests_.begin(), requests_.end(), [&](const auto& r) { return r->work.id == id; });
  if (found == requests_.end()) return;
  std::erase_if(running_, [&](const Sequence* sequence) { return &sequence->request == found->get(); });
  requests_.erase(found);
}

void Scheduler::fail_all(const ApiError& error) {
  for (const auto& request : requests_) request->failure = error;
  settle();
}

void Scheduler::step(Clock::time_point now) {
  expire(now);
  start_waiting();
  if (!running_.empty()) run_pass();
  settle();
}

void Scheduler::expire(Clock::time_point now) {
  for (const auto& request : requests_) {
    if (!request->started && now >= request->work.start_by) {
      request->failure =
          ApiError(503, "the request has waited too long in the queue").code("queue_timeout").retry_after(5);
    } else if (now >= request->work.finish_by) {
      request->failure =
          ApiError(503, "the request has taken longer than the server allows").code("timeout").retry_after(5);
    }
  }
  settle();
}

// The waiting sequence of the request with the fewest that run, of equals the first that came: one request of many
// prompts does not shut out others. A sequence whose prompt another one of its request is about to read waits for that.
Scheduler::Sequence* Scheduler::next_waiting() {
  Sequence* best = nullptr;
  int64_t fewest = INT64_MAX;
  for (const auto& request : requests_) {
    const auto in = [&](State state) {
      return std::count_if(request->sequences.begin(), request->sequences.end(),
                           [&](const auto& sequence) { return sequence->state == state; });
    };
    const int64_t active = in(State::kReading) + in(State::kWriting);
    if (active >= fewest) continue;
    for (const auto& sequence : request->sequences) {
      if (sequence->state != State::kWaiting) continue;
      const bool is_read = std::any_of(request->sequences.begin(), request->sequences.end(), [&](const auto& other) {
        return other->state == State::kReading && other->work().prompt == sequence->work().prompt;
      });
      if (is_read) continue;
      best = sequence.get();
      fewest = active;
      break;
    }
  }
  return best;
}

void Scheduler::start_waiting() {
  while (std::ssize(running_) < options_.slots) {
    Sequence* sequence = next_waiting();
    if (sequence == nullptr || !start(*sequence)) return;
  }
}

// False where its cache does not fit beside those that run. Beginnings that are kept give way.
bool Scheduler::start(Sequence& sequence) {
  int64_t running = bytes_of(sequence);
  for (const Sequence* other : running_) running += bytes_of(*other);
  if (running > options_.cache_bytes) return false;
  prefixes_.shrink(options_.cache_bytes - running);
  if (may_share_beginnings(sequence.work()) && !sequence.next.empty()) {
    sequence.cache = prefixes_.begin(sequence.next, std::move(sequence.cache));
    sequence.cached = sequence.cache.size();
    sequence.next.erase(sequence.next.begin(), sequence.next.begin() + sequence.cached);
  }
  totals_.cached_tokens += sequence.cached;
  sequence.request.started = true;
  sequence.state = State::kReading;
  running_.push_back(&sequence);
  sequence.request.work.listener->on_start(sequence.index);
  if (sequence.next.empty()) finish_reading(sequence);
  return true;
}

void Scheduler::run_pass() {
  const int64_t V = engine_.config().vocab_size;
  std::vector<Sequence*> members;
  std::vector<PassMember> wishes;
  for (Sequence* sequence : running_) {
    if (sequence->state == State::kDone) continue;
    const int64_t most = sequence->work().score_prompt && sequence->state == State::kReading
                             ? std::max<int64_t>(1, kPromptLogits / V)
                             : INT64_MAX;
    members.push_back(sequence);
    wishes.push_back({std::ssize(sequence->next), sequence->state == State::kWriting, most});
  }
  const std::vector<int64_t> rows = plan_pass(wishes, options_.pass);
  std::vector<int64_t> wanted(rows.size(), 0);  // rows of logits
  int64_t all = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    Sequence& sequence = *members[i];
    sequence.taken = static_cast<size_t>(rows[i]);
    const bool reads_on = rows[i] < std::ssize(sequence.next);
    const bool scores = sequence.state == State::kReading && sequence.work().score_prompt;
    wanted[i] = scores ? rows[i] : reads_on || rows[i] == 0 ? 0 : 1;
    all += wanted[i];
  }
  if (std::ssize(logits_) < all * V) logits_.resize(static_cast<size_t>(all * V));
  std::vector<engine::BatchItem> items;
  std::vector<Sequence*> taking;
  std::span<float> left(logits_);
  for (size_t i = 0; i < members.size(); ++i) {
    if (rows[i] == 0) continue;
    const auto floats = static_cast<size_t>(wanted[i] * V);
    Sequence& sequence = *members[i];
    items.push_back({&sequence.cache, std::span(sequence.next).first(sequence.taken), left.first(floats),
                     &sequence.work().intervention, sequence.probe()});
    left = left.subspan(floats);
    taking.push_back(&sequence);
  }
  ++totals_.passes;
  try {
    engine_.pass(items);
  } catch (const std::exception&) {  // of whom? nothing has changed, so each may try by itself
    return run_alone(taking, items);
  }
  for (size_t i = 0; i < taking.size(); ++i) take_logits(*taking[i], items[i].logits);
}

void Scheduler::run_alone(std::span<Sequence* const> members, std::span<const engine::BatchItem> items) {
  for (size_t i = 0; i < members.size(); ++i) {
    try {
      engine_.pass(items.subspan(i, 1));
    } catch (const std::exception& error) {
      members[i]->request.failure = ApiError(500, error.what());
      continue;
    }
    take_logits(*members[i], items[i].logits);
  }
}

// The logits are those that were asked for: after each token read, after the last one, or none.
void Scheduler::take_logits(Sequence& sequence, std::span<const float> logits) {
  const auto V = static_cast<size_t>(engine_.config().vocab_size);
  const auto read = static_cast<size_t>(sequence.cache.size());  // tokens whose logits are there or have been
  const bool reading = sequence.state == State::kReading;
  try {
    if (reading && sequence.work().score_prompt) {
      const std::vector<int32_t>& prompt = sequence.work().prompt;
      for (size_t t = 0; t < sequence.taken; ++t) {
        const size_t target = read - sequence.taken + t + 1;
        if (target >= prompt.size()) break;
        sequence.scores.push_back(
            engine::score_token(logits.subspan(t * V, V), prompt[target], sequence.work().generate.scores));
      }
    }
    if (reading) totals_.prompt_tokens += static_cast<int64_t>(sequence.taken);
    sequence.next.erase(sequence.next.begin(), sequence.next.begin() + static_cast<int64_t>(sequence.taken));
    if (!sequence.next.empty()) return;
    if (reading) {
      finish_reading(sequence);
    } else {
      tell_routing(sequence);
    }
    if (sequence.state != State::kWriting) return;
    const engine::Step step = sequence.text->accept(logits.last(V));
    ++totals_.generated_tokens;
    sequence.request.work.listener->on_step(sequence.index, step);
    sequence.next = {step.token};
    if (sequence.text->finish()) finish(sequence);
  } catch (const std::exception& error) {  // logits that are not finite
    sequence.request.failure = ApiError(500, error.what());
  }
}

void Scheduler::finish_reading(Sequence& sequence) {
  sequence.request.work.listener->on_prompt(sequence.index, sequence.cached, std::move(sequence.scores));
  tell_routing(sequence);
  sequence.state = State::kWriting;
  if (sequence.text->finish()) return finish(sequence);
  if (may_share_beginnings(sequence.work())) prefixes_.put(sequence.cache, sequence.work().prompt);
}

void Scheduler::tell_routing(Sequence& sequence) {
  if (sequence.record) sequence.request.work.listener->on_routing(sequence.index, sequence.record->take());
}

void Scheduler::finish(Sequence& sequence) {
  sequence.state = State::kDone;
  const auto history = sequence.text->history();
  const auto held = static_cast<size_t>(sequence.cache.size());
  if (held > 0 && may_share_beginnings(sequence.work()))
    prefixes_.put(sequence.cache, history.first(std::min(held, history.size())));
  sequence.cache.truncate(0);
  sequence.request.work.listener->on_finish(sequence.index, *sequence.text->finish());
}

// Sequences that are done leave, requests that have failed or finished are told so and go.
void Scheduler::settle() {
  std::erase_if(running_, [](const Sequence* sequence) {
    return sequence->state == State::kDone || sequence->request.failure.has_value();
  });
  for (auto at = requests_.begin(); at != requests_.end();) {
    Request& request = **at;
    const bool done = std::all_of(request.sequences.begin(), request.sequences.end(),
                                  [](const auto& sequence) { return sequence->state == State::kDone; });
    if (!request.failure && !done) {
      ++at;
      continue;
    }
    const auto ended = std::move(*at);
    at = requests_.erase(at);
    if (ended->failure) {
      ended->work.listener->on_failure(*ended->failure);
    } else {
      ended->work.listener->on_end();
    }
  }
}

SchedulerLoad Scheduler::load() const {
  SchedulerLoad load = totals_;
  load.running = std::ssize(running_);
  for (const auto& request : requests_) {
    for (const auto& sequence : request->sequences) load.waiting += sequence->state == State::kWaiting ? 1 : 0;
  }
  load.cache_bytes = prefixes_.bytes();
  for (const Sequence* sequence : running_) load.cache_bytes += bytes_of(*sequence);
  return load;
}

}  // namespace dsmoe::serve
