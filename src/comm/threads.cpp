#include "comm/threads.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace dsmoe::comm {
namespace {

// Where the ranks meet: each shows what it gives, takes what the others show, and waits until all have taken.
class Hall {
 public:
  Hall(int ranks, std::chrono::milliseconds timeout)
      : shown_(static_cast<size_t>(ranks)), arrivals_(shown_.size()), gone_(shown_.size()), timeout_(timeout) {}

  int size() const { return static_cast<int>(shown_.size()); }

  void exchange(int rank, const std::vector<ConstBytes>& out, const std::vector<Bytes>& in) {
    shown_[static_cast<size_t>(rank)] = &out;
    wait_for_all(rank);
    for (size_t r = 0; r < in.size(); ++r) {
      const ConstBytes given = (*shown_[r])[static_cast<size_t>(rank)];
      DSMOE_CHECK(given.size() == in[r].size(), "ranks are in the same operation");
      std::copy(given.begin(), given.end(), in[r].begin());
    }
    wait_for_all(rank);
  }

  void leave(int rank) {
    const std::lock_guard lock(mutex_);
    gone_[static_cast<size_t>(rank)] = true;
    changed_.notify_all();
  }

 private:
  void wait_for_all(int rank) {
    std::unique_lock lock(mutex_);
    const int64_t turn = ++arrivals_[static_cast<size_t>(rank)];
    changed_.notify_all();
    const auto missing = [&](auto&& counts) {  // the lowest such rank that has not come, or the number of ranks
      size_t r = 0;
      while (r < arrivals_.size() && !(arrivals_[r] < turn && counts(r))) ++r;
      return static_cast<int>(r);
    };
    const auto ended = [&] { return missing([&](size_t r) { return gone_[r]; }); };
    const auto any = [&] { return missing([](size_t) { return true; }); };
    const bool known = changed_.wait_for(lock, timeout_, [&] { return any() == size() || ended() < size(); });
    if (ended() < size()) throw LostRank{ended(), "it has ended"};
    if (!known) throw LostRank{any(), "no word of it for " + in_seconds(timeout_)};
  }

  std::vector<const std::vector<ConstBytes>*> shown_;
  std::vector<int64_t> arrivals_;  // how often each rank has come
  std::vector<bool> gone_;
  std::chrono::milliseconds timeout_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

class ThreadTransport final : public Transport {
 public:
  ThreadTransport(Hall& hall, int rank) : hall_(hall), rank_(rank) {}
  ~ThreadTransport() override { hall_.leave(rank_); }
  int rank() const override { return rank_; }
  int size() const override { return hall_.size(); }
  void exchange(const std::vector<ConstBytes>& out, const std::vector<Bytes>& in) override {
    hall_.exchange(rank_, out, in);
  }

 private:
  Hall& hall_;
  int rank_;
};

}  // namespace

void on_threads(int ranks, const std::function<void(const Group&)>& body, bool check,
                std::chrono::milliseconds timeout) {
  Hall hall(ranks, timeout);
  std::vector<std::exception_ptr> faults(static_cast<size_t>(ranks));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(Group(std::make_shared<ThreadTransport>(hall, rank), check));
      } catch (...) {
        faults[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::exception_ptr first;
  for (const std::exception_ptr& fault : faults) {
    if (!fault) continue;
    try {
      std::rethrow_exception(fault);
    } catch (const base::Error& error) {
      if (error.kind() != kRankLost) throw;
      if (!first) first = fault;
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace dsmoe::comm
