// How products are cut among threads: the rows of all their matrices are one list.
#pragma once

#include <algorithm>
#include <vector>

#include "base/shares.h"

namespace dsmoe::kernels {

/// A share of work that pays for waking a thread, in multiply-adds.
inline constexpr int64_t kWorthAThread = int64_t{1} << 16;

/// Rows of one matrix of a list.
struct RowRange {
  int64_t matrix, begin, end;
};

/// Every thread gets a stretch of the list and reads it from beginning to end: a jump costs half a microsecond, as
/// what the machine has asked for beyond it is thrown away (docs/kernels/quantised.md). Kept from call to call, so that
/// nothing is allocated once it has grown.
class RowList {
 public:
  void clear() {
    parts_.assign(1, {});
    work_ = 0;
  }
  /// The next matrix; a row is so many multiply-adds.
  void add(int64_t rows, int64_t row_work) {
    Part& part = parts_.back();
    part.rows = rows;
    part.unit_work = kUnit * row_work;
    const int64_t units = row_work > 0 ? (rows + kUnit - 1) / kUnit : 0;
    work_ += units * part.unit_work;
    parts_.push_back({part.first_unit + units});
  }
  /// body(rows, next) for rows of all matrices, each in one call that begins at a multiple of kUnit. `next` is where
  /// this thread probably goes on, or null.
  template <class Body>
  void run(const base::ParallelFor& parallel_for, const Body& body) const {
    const int64_t units = parts_.back().first_unit;
    if (units == 0) return;
    const int threads = work_ < 2 * kWorthAThread ? 1 : parallel_for.threads();
    const int64_t most = std::max<int64_t>(1, kMostRunWork * units / work_);
    base::for_each_run(
        parallel_for, threads, [&](int64_t s, int64_t shares) { return unit_at(work_ * s / shares); }, most,
        [&](const base::Stretch& run) {
          for (int64_t unit = run.begin; unit < run.end;) {
            const int64_t j = matrix_of(unit), end = std::min(run.end, part(j + 1).first_unit);
            const int64_t after = end < run.end ? end : run.next;
            const RowRange next = after < 0 ? RowRange{} : rows_of(matrix_of(after), after, after + 1);
            body(rows_of(j, unit, end), after < 0 ? nullptr : &next);
            unit = end;
          }
        });
  }

  /// What quantised products take at once, and a block of activations.
  static constexpr int64_t kUnit = 32;

 private:
  /// The most that a thread takes at once: what others may have to wait for.
  static constexpr int64_t kMostRunWork = int64_t{1} << 25;
  struct Part {
    int64_t first_unit = 0, rows = 0, unit_work = 0;
  };
  const Part& part(int64_t j) const { return parts_[static_cast<size_t>(j)]; }
  RowRange rows_of(int64_t j, int64_t unit, int64_t end) const {
    const int64_t first = part(j).first_unit;
    return {j, (unit - first) * kUnit, std::min(part(j).rows, (end - first) * kUnit)};
  }
  /// The last one that begins at or before the unit.
  int64_t matrix_of(int64_t unit) const {
    const auto after = std::upper_bound(parts_.begin(), parts_.end(), unit,
                                        [](int64_t at, const Part& part) { return at < part.first_unit; });
    return after - parts_.begin() - 1;
  }
  /// The unit before which so much work lies.
  int64_t unit_at(int64_t work) const {
    for (size_t j = 0; j + 1 < parts_.size(); ++j) {
      const int64_t units = parts_[j + 1].first_unit - parts_[j].first_unit, here = units * parts_[j].unit_work;
      if (work < here) return parts_[j].first_unit + work / parts_[j].unit_work;
      work -= here;
    }
    return parts_.back().first_unit;
  }

  std::vector<Part> parts_{{}};  ///< and behind the last one where it ends
  int64_t work_ = 0;
};

}  // namespace dsmoe::kernels
