// Several arrays seen as one, end to end: the gradients of all tensors of a model are one vector to a group.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace dsmoe::comm {

/// Elements begin .. end of a whole.
struct Stretch {
  int64_t begin = 0, end = 0;
  int64_t size() const { return end - begin; }
};

/// What rank `rank` of `size` has of `n` elements: neighbours, in the order of ranks, as evenly as they divide.
inline Stretch share_of(int64_t n, int rank, int size) { return {n * rank / size, n * (rank + 1) / size}; }

/// What both have in common; empty where that is nothing.
inline Stretch common(const Stretch& a, const Stretch& b) {
  const int64_t begin = std::max(a.begin, b.begin);
  return {begin, std::max(begin, std::min(a.end, b.end))};
}

template <class T>
class Pieces {
 public:
  Pieces(std::span<T> one) { add(one); }
  explicit Pieces(const std::vector<std::span<T>>& arrays) {
    for (const std::span<T> array : arrays) add(array);
  }

  int64_t size() const { return size_; }
  /// body(part) for the parts of the arrays that make up `range`, in order.
  template <class Body>
  void for_each_part(const Stretch& range, const Body& body) const {
    for (const auto& [begin, array] : arrays_) {
      const Stretch part = common(range, {begin, begin + std::ssize(array)});
      if (part.size() > 0) {
        body(array.subspan(static_cast<size_t>(part.begin - begin), static_cast<size_t>(part.size())));
      }
    }
  }
  void read(const Stretch& range, T* to) const {
    for_each_part(range, [&](std::span<T> part) { to = std::copy(part.begin(), part.end(), to); });
  }
  void write(const Stretch& range, const T* from) const {
    for_each_part(range, [&](std::span<T> part) {
      std::copy(from, from + part.size(), part.begin());
      from += part.size();
    });
  }

 private:
  void add(std::span<T> array) {
    arrays_.emplace_back(size_, array);
    size_ += std::ssize(array);
  }
  std::vector<std::pair<int64_t, std::span<T>>> arrays_;  // each with where it begins in the whole
  int64_t size_ = 0;
};

}  // namespace dsmoe::comm
