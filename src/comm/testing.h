// For this room's tests: every operation of a group once, over sizes that divide by nothing, with what must come out.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "base/rng.h"
#include "comm/mesh.h"

namespace dsmoe::comm::testing {

/// The values that a rank begins with.
template <class T>
std::vector<T> values_of(int rank, int64_t n) {
  std::vector<T> values;
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t bits = base::random_bits(7, static_cast<uint64_t>(rank), static_cast<uint64_t>(i));
    values.push_back(static_cast<T>(static_cast<double>(bits >> 11) * 0x1p-53 - 0.5));
  }
  return values;
}

/// Sums in the order of ranks: the definition.
template <class T>
std::vector<T> sums(int ranks, int64_t n) {
  std::vector<T> sum = values_of<T>(0, n);
  for (int r = 1; r < ranks; ++r) {
    const std::vector<T> values = values_of<T>(r, n);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += values[i];
  }
  return sum;
}

/// `values` as three arrays of uneven lengths.
template <class T>
Pieces<T> cut(std::vector<T>& values) {
  const std::span<T> all(values);
  const size_t a = all.size() / 5, b = all.size() / 2;
  return Pieces<T>({all.first(a), all.subspan(a, b - a), all.subspan(b)});
}

template <class T>
void expect_sums(const Group& group, int64_t n) {
  const std::vector<T> wanted = sums<T>(group.size(), n), mine = values_of<T>(group.rank(), n);
  std::vector<T> values = mine;
  group.reduce_scatter(cut(values));
  const Stretch own = group.share(n);
  for (int64_t i = 0; i < n; ++i) {
    const bool owned = own.begin <= i && i < own.end;
    ASSERT_EQ(values[size_t(i)], owned ? wanted[size_t(i)] : mine[size_t(i)]) << "element " << i << " of " << n;
  }
  std::vector<T> gathered = values;
  group.gather(cut(gathered), group.shares(n));
  EXPECT_EQ(gathered, group.first() ? wanted : values);
  group.all_gather(cut(values));
  EXPECT_EQ(values, wanted) << n;
  values = mine;
  group.all_reduce(Pieces<T>(std::span(values)));
  EXPECT_EQ(values, wanted) << n;
}

inline void expect_texts(const Group& group) {
  const auto name = [](int rank) { return std::string(static_cast<size_t>(rank) * 3, static_cast<char>('a' + rank)); };
  EXPECT_EQ(group.broadcast(group.first() ? "from the first" : "not this"), "from the first");
  std::vector<std::string> all, given, wanted;
  for (int r = 0; r < group.size(); ++r) {
    all.push_back(name(r));
    given.push_back(name(r) + name(group.rank()));
    wanted.push_back(name(group.rank()) + name(r));
  }
  EXPECT_EQ(group.all_gather(name(group.rank())), all);
  EXPECT_EQ(group.all_to_all(given), wanted);
  std::vector<std::string> taken;
  std::vector<ConstBytes> out;
  std::vector<Bytes> in;
  for (const std::string& text : wanted) taken.emplace_back(text.size(), '?');
  for (const std::string& text : given) out.push_back(std::as_bytes(std::span(text)));
  for (std::string& text : taken) in.push_back(std::as_writable_bytes(std::span(text)));
  group.all_to_all(out, in);
  EXPECT_EQ(taken, wanted);
  EXPECT_FALSE(group.any(false));
  EXPECT_TRUE(group.any(group.rank() == group.size() - 1));
  group.barrier();
}

/// `large`: several rounds, and messages of more than one piece of a transport.
inline void expect_all_operations(const Group& group, bool large) {
  for (const int64_t n : {0, 1, 3, 1001}) {
    expect_sums<float>(group, n);
    expect_sums<double>(group, n);
  }
  if (large) expect_sums<float>(group, 300'007 * group.size());
  expect_texts(group);
  if (large) {  // only the last rank has anything, and much
    std::vector<std::string> to(static_cast<size_t>(group.size()));
    if (group.rank() == group.size() - 1) to.front().assign(9'000'001, 'x');
    const std::vector<std::string> came = group.all_to_all(to);
    EXPECT_EQ(came.back().size(), group.first() ? 9'000'001U : 0U);
  }
}

/// The parts of a world, how often each of them does something left to itself.
inline void expect_all_operations_of_parts(const Group& world) {
  const Mesh mesh(world, 2);
  EXPECT_EQ(mesh.neighbours().rank(), world.rank() % 2);
  EXPECT_EQ(mesh.copies().rank(), world.rank() / 2);
  EXPECT_EQ(mesh.copies().all_gather(std::to_string(world.rank())).back(),
            std::to_string(world.size() - 2 + world.rank() % 2));
  for (int i = 0; i <= mesh.copy(world.rank()); ++i) expect_all_operations(mesh.neighbours(), false);
  for (int i = 0; i <= world.rank() % 2; ++i) expect_all_operations(mesh.copies(), false);
  expect_all_operations(world, false);
}

}  // namespace dsmoe::comm::testing
