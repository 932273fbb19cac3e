// A group of ranks as a value: processes, or threads of one, that compute together.
//
// Every rank calls the same operations in the same order. A group of one is the default and does nothing, so code that
// sums over a group needs no second path for one process. Sums add in the order of ranks, whatever the transport and
// however messages are cut: the same ranks give the same bits every time, and every rank gets the same ones.
//
// A group may be a part of a world: it has ranks of its own, from 0, and errors name them as the world does.
//
// Large vectors travel in rounds of a few megabytes, each rank to each: a rank sends and receives (N-1)/N of a vector
// for reduce_scatter and as much for all_gather, which is the least possible.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "comm/pieces.h"
#include "comm/transport.h"

namespace dsmoe::comm {

/// The kind, and exit code, of an error about another rank: it is gone, or out of step. Starting again may help.
inline constexpr auto kRankLost = static_cast<base::ErrorKind>(7);

class Group {
 public:
  /// Of this rank alone.
  Group() = default;
  /// `check`: before each operation ranks tell one another which it is and how long, so that one out of step is an
  /// error that says so, where a transport may wait, or end the program.
  explicit Group(std::shared_ptr<Transport> transport, bool check = false);
  /// Of those ranks of this one, in ascending order, of which this rank is one. Nothing is sent for it.
  Group part(const std::vector<int>& ranks) const;

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(members_.size()); }
  bool alone() const { return size() == 1; }
  bool first() const { return rank() == 0; }
  /// What this rank has of n elements.
  Stretch share(int64_t n) const { return share_of(n, rank(), size()); }
  /// What each rank has of them.
  std::vector<Stretch> shares(int64_t n) const;

  // All of these throw Error(kRankLost), naming the rank and the operation. T: float or double.

  /// Afterwards share(values.size()) holds the sums over ranks; the rest is as it was.
  template <class T>
  void reduce_scatter(const Pieces<T>& values) const;
  /// Everybody gets every rank's share of the values.
  template <class T>
  void all_gather(const Pieces<T>& values) const;
  /// The first rank gets of each rank r the values at shares[r].
  template <class T>
  void gather(const Pieces<T>& values, const std::vector<Stretch>& shares) const;
  template <class T>
  void all_reduce(const Pieces<T>& values) const {
    reduce_scatter(values);
    all_gather(values);
  }

  /// Whether any rank says yes.
  bool any(bool mine) const;
  /// What the first rank says.
  std::string broadcast(const std::string& text) const;
  /// What each rank says, in the order of ranks.
  std::vector<std::string> all_gather(const std::string& text) const;
  /// to[r] goes to rank r; what each rank has for this one comes back, in the order of ranks. Lengths go first, so they
  /// need not be known.
  std::vector<std::string> all_to_all(const std::vector<std::string>& to) const;
  /// The same where both sides know how long it is: in[r] takes what rank r has for this one.
  void all_to_all(const std::vector<ConstBytes>& out, const std::vector<Bytes>& in) const;
  /// Returns when every rank has called it.
  void barrier() const;

 private:
  template <class T>
  void collect(const char* operation, const Pieces<T>& values, const std::vector<Stretch>& shares,
               bool everybody) const;
  std::vector<std::string> exchange_texts(const char* operation, const std::vector<ConstBytes>& to) const;
  void exchange(const char* operation, const std::vector<ConstBytes>& out, const std::vector<Bytes>& in) const;
  void compare(const char* operation, const std::vector<ConstBytes>& out, const std::vector<Bytes>& in) const;

  std::shared_ptr<Transport> transport_;
  bool check_ = false;
  std::vector<int> members_ = {0};  // ranks of the transport
  int rank_ = 0;                    // of this one among them
};

}  // namespace dsmoe::comm
