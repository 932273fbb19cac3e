#include "comm/threads.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

namespace dsmoe::comm {
namespace {

// Where the ranks meet, at a table for each group: a rank shows what it gives, takes what the others show, and waits
// until all have taken.
class Hall {
 public:
  Hall(int ranks, std::chrono::milliseconds timeout) : gone_(static_cast<size_t>(ranks)), timeout_(timeout) {}

  int size() const { return static_cast<int>(gone_.size()); }

  void exchange(int rank, const std::vector<int>& members, const std::vector<ConstBytes>& out,
                const std::vector<Bytes>& in) {
    Table& table = table_of(members);
    const auto self = static_cast<size_t>(std::find(members.begin(), members.end(), rank) - members.begin());
    table.shown[self] = &out;
    wait_for_all(table, members, self);
    for (size_t i = 0; i < in.size(); ++i) {
      const ConstBytes given = (*table.shown[i])[self];
      DSMOE_CHECK(given.size() == in[i].size(), "ranks are in the same operation");
      std::copy(given.begin(), given.end(), in[i].begin());
    }
    wait_for_all(table, members, self);
  }

  void leave(int rank) {
    const std::lock_guard lock(mutex_);
    gone_[static_cast<size_t>(rank)] = true;
    changed_.notify_all();
  }

 private:
  struct Table {
    std::vector<const std::vector<ConstBytes>*> shown;
    std::vector<int64_t> arrivals;  // how often each member has come
  };

  Table& table_of(const std::vector<int>& members) {
    const std::lock_guard lock(mutex_);
    Table& table = tables_[members];
    table.shown.resize(members.size());
    table.arrivals.resize(members.size());
    return table;
  }

  void wait_for_all(Table& table, const std::vector<int>& members, size_t self) {
    std::unique_lock lock(mutex_);
    const int64_t turn = ++table.arrivals[self];
    changed_.notify_all();
    const auto missing = [&](auto&& counts) {  // the lowest such rank that has not come, or the number of ranks
      for (size_t i = 0; i < members.size(); ++i) {
        if (table.arrivals[i] < turn && counts(members[i])) return members[i];
      }
      return size();
    };
    const auto ended = [&] { return missing([&](int rank) { return gone_[static_cast<size_t>(rank)]; }); };
    const auto any = [&] { return missing([](int) { return true; }); };
    const bool known = changed_.wait_for(lock, timeout_, [&] { return any() == size() || ended() < size(); });
    if (ended() < size()) throw LostRank{ended(), "it has ended"};
    if (!known) throw LostRank{any(), "no word of it for " + in_seconds(timeout_)};
  }

  std::map<std::vector<int>, Table> tables_;  // by members
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
  void exchange(const std::vector<int>& members, const std::vector<ConstBytes>& out,
                const std::vector<Bytes>& in) override {
    hall_.exchange(rank_, members, out, in);
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
