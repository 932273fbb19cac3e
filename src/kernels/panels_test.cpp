// Grouped products: every epilogue, operand and instruction set against the reference; bits that do not depend on
// threads or on the other rows.
#include "kernels/panels.h"

#include <numeric>

#include "kernels/panels_testing.h"

namespace dsmoe::kernels {
namespace {

using testing::kept;
using testing::kNumbers;
using testing::kRound;
using testing::normal_values;
using testing::Numbers;

size_t at(int64_t i) { return static_cast<size_t>(i); }

struct Wanted {
  Number type = Number::kF32;
  int64_t m = 1, n = 1, k = 1;  // n is F for the two of SwiGLU
  Epilogue epilogue = Epilogue::kStore;
  Along left_along = Along::kOutput;
  bool left_index = false, right_rows = false, out_index = false, add = false, slot_weight = true;
  Number out_type = Number::kF32;
  bool absolute = false;  // of left and right, to bound sums

  std::string text() const {
    return "m " + std::to_string(m) + " n " + std::to_string(n) + " k " + std::to_string(k) +
           (type == Number::kF32 ? " f32" : " bf16") + " epilogue " + std::to_string(static_cast<int>(epilogue)) +
           (left_along == Along::kDepth ? " left by depth" : "") + (left_index ? " indexed" : "") +
           (right_rows ? " right rows" : "") + (out_index ? " out index" : "") + (add ? " add" : "") +
           (out_type == Number::kF32 ? " to f32" : " to bf16");
  }
};

/// One product with all it reads and writes. The same setup makes the same numbers.
class Trial {
 public:
  explicit Trial(const Wanted& s) : setup(s) {
    base::Rng rng(17);
    const bool swiglu = s.epilogue == Epilogue::kSwiglu, backward = s.epilogue == Epilogue::kSwigluBackward;
    const bool by_depth = s.left_along == Along::kDepth;
    const int64_t source_rows = (by_depth ? s.k : s.m) + 3, width = by_depth ? s.m : s.k;
    left_ = numbers(rng, source_rows * (width + 5));
    left_rows_ = shuffled(rng, source_rows);
    product.m = s.m, product.n = swiglu ? 2 * s.n : s.n, product.k = s.k;
    product.left = {left_.data(), width + 5, s.left_index ? left_rows_.data() : nullptr};
    product.left_along = s.left_along;
    set_right(rng);
    product.epilogue = s.epilogue;
    product.out_type = s.out_type;
    product.out_stride = s.n + 2;
    out_rows_ = shuffled(rng, s.m);
    if (s.out_index) product.out_index = out_rows_.data();
    const std::vector<float> before = normal_values(rng, s.m * (s.n + 2));
    out = Numbers(s.out_type, s.epilogue == Epilogue::kAdd ? before : std::vector<float>(before.size(), -7));
    product.out = out.data();
    add_ = swiglu ? numbers(rng, 2 * s.m * s.n) : Numbers(s.out_type, normal_values(rng, s.m * (s.n + 2)));
    if (s.add) product.add = add_.data();
    slot_weight_ = normal_values(rng, s.m);
    gate_up = backward ? Numbers(s.type, normal_values(rng, 2 * s.m * s.n, 2)) : Numbers(s.type, 2 * s.m * s.n, -7);
    hidden = Numbers(s.type, s.m * s.n, -7);
    grad_gate_up = Numbers(s.type, 2 * s.m * s.n, -7);
    grad_weight = std::vector<float>(at(s.m), -7);
    product.swiglu = {gate_up.data(), hidden.data(), grad_gate_up.data(), s.slot_weight ? slot_weight_.data() : nullptr,
                      grad_weight.data()};
  }

  Trial& run(const base::ParallelFor& parallel_for) {
    panel_products(parallel_for, setup.type, {&product, 1});
    return *this;
  }
  Trial& run_ref() {
    panel_products_ref(base::serial_for, setup.type, {&product, 1});
    return *this;
  }
  /// Rows begin .. end as a product of its own.
  PanelProduct part(int64_t begin, int64_t end) const {
    PanelProduct p = product;
    const int64_t bytes = number_bytes(setup.type);
    const auto shift = [](auto*& pointer, int64_t by) {
      if (pointer) pointer += by;
    };
    const auto shift_bytes = [](void*& pointer, int64_t by) { pointer = static_cast<char*>(pointer) + by; };
    p.m = end - begin;
    shift(p.left.index, begin);
    shift(p.out_index, begin);
    shift_bytes(p.swiglu.gate_up, begin * 2 * setup.n * bytes);
    shift_bytes(p.swiglu.grad_gate_up, begin * 2 * setup.n * bytes);
    shift_bytes(p.swiglu.hidden, begin * setup.n * bytes);
    shift(p.swiglu.weight, begin);
    shift(p.swiglu.grad_weight, begin);
    return p;
  }
  bool same_bits(const Trial& other) const {
    return out == other.out && gate_up == other.gate_up && hidden == other.hidden &&
           grad_gate_up == other.grad_gate_up && grad_weight == other.grad_weight;
  }
  float weight(int64_t m) const { return setup.slot_weight ? slot_weight_[at(m)] : 1; }

  Wanted setup;
  PanelProduct product;
  Numbers out, gate_up, hidden, grad_gate_up;
  std::vector<float> grad_weight;

 private:
  Numbers numbers(base::Rng& rng, int64_t count) const {
    std::vector<float> values = normal_values(rng, count, 0.5);
    if (setup.absolute) {
      for (float& value : values) value = std::abs(value);
    }
    return {setup.type, values};
  }
  static std::vector<int32_t> shuffled(base::Rng& rng, int64_t n) {
    std::vector<int32_t> order(at(n));
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
    return order;
  }
  void set_right(base::Rng& rng) {
    const Wanted& s = setup;
    right_ = numbers(rng, std::max(s.k + 3, 2 * s.n) * (std::max(s.k, s.n) + 5));
    right_order_ = shuffled(rng, s.k + 3);
    const int64_t columns = s.epilogue == Epilogue::kSwiglu ? (s.n + 15) / 16 * 32 : s.n;
    packed_ = Numbers(s.type, packed_numbers(s.k, columns), -7);
    if (s.epilogue == Epilogue::kSwiglu) {
      pack_gate_up_ref(s.type, {right_.data(), s.k + 5, nullptr}, s.k, s.n, s.type, packed_.data());
    } else if (s.right_rows) {
      product.right_rows = {right_.data(), s.n + 5, right_order_.data()};
      return;
    } else {
      pack_right_ref(s.type, {right_.data(), s.k + 5, nullptr}, Along::kOutput, s.k, s.n, s.type, packed_.data());
    }
    product.right = packed_.data();
  }

  Numbers left_, right_, packed_, add_;
  std::vector<int32_t> left_rows_, right_order_, out_rows_;
  std::vector<float> slot_weight_;
};

/// [m, n] sums of |left| |right|, times the relative error of a sum of k terms in order: a product and a sum round
/// once each (products of bf16 are exact), and the reference rounds once.
std::vector<double> sum_errors(Wanted s, std::vector<double>* sums_of_absolutes = nullptr) {
  const bool swiglu = s.epilogue == Epilogue::kSwiglu;
  s.absolute = true;
  if (!swiglu) s.add = false, s.epilogue = Epilogue::kStore, s.out_type = Number::kF32;
  Trial trial(s);
  const std::vector<float> sums = (trial.run_ref(), swiglu ? trial.gate_up : trial.out).values();
  std::vector<double> errors, absolutes;
  for (const float sum : sums) {
    absolutes.push_back(double{sum} * (1 + 0x1p-8));  // kSwiglu keeps them in bf16
    errors.push_back((2.0 * static_cast<double>(s.k) + 2) * kRound * absolutes.back() + 1e-37);
  }
  if (sums_of_absolutes) *sums_of_absolutes = absolutes;
  return errors;
}

/// Of a few float32 operations and an exponential in a row.
constexpr double kFew = 20 * kRound;

void check_plain(const Trial& got, const Trial& want) {
  const std::vector<double> errors = sum_errors(got.setup);
  const std::vector<float> values = want.out.values();
  testing::expect_within(
      got.out.values(), values,
      [&](size_t i) {
        return errors[i] + kept(got.setup.out_type, values[i]) + 4 * kRound * (4 + std::abs(values[i]));
      },
      got.setup.text());
}

void check_swiglu(const Trial& got, const Trial& want) {
  std::vector<double> absolutes;
  const Wanted& s = got.setup;
  const std::vector<double> errors = sum_errors(s, &absolutes);
  const std::vector<float> gate_up = want.gate_up.values(), hidden = want.hidden.values();
  testing::expect_within(
      got.gate_up.values(), gate_up, [&](size_t i) { return errors[i] + kept(s.type, gate_up[i]); },
      s.text() + " gate_up");
  testing::expect_within(
      got.hidden.values(), hidden,
      [&](size_t i) {
        // |silu'| <= 1.1 and |silu(g)| <= |g|
        const size_t gate = i / at(s.n) * at(2 * s.n) + i % at(s.n), up = gate + at(s.n);
        return 1.1 * errors[gate] * absolutes[up] + (absolutes[gate] + errors[gate]) * errors[up] +
               (kFew * std::abs(hidden[i])) + kept(s.type, hidden[i]) + 1e-37;
      },
      s.text() + " hidden");
}

void check_backward(const Trial& got, const Trial& want) {
  std::vector<double> absolutes;
  const Wanted& s = got.setup;
  const std::vector<double> errors = sum_errors(s, &absolutes);
  const std::vector<float> gate_up = want.gate_up.values(), hidden = want.hidden.values();
  const std::vector<float> grad = want.grad_gate_up.values();
  EXPECT_EQ(got.gate_up, want.gate_up);
  testing::expect_within(
      got.hidden.values(), hidden,
      [&](size_t i) { return kFew * std::abs(hidden[i]) + kept(s.type, hidden[i]) + 1e-37; }, s.text() + " hidden");
  std::vector<double> weight_errors(at(s.m), 1e-30);
  const auto error_at = [&](int64_t m, int64_t f, bool up) {
    const size_t i = at(m * (s.n + 2) + f), gate = at(m * 2 * s.n + f);
    const double g = gate_up[gate], u = gate_up[gate + at(s.n)], error = errors[i] + kFew * absolutes[i];
    const double factor = up ? std::abs(g) : std::abs(u) * (1 + std::abs(g));
    weight_errors[at(m)] += (error + 2 * static_cast<double>(s.n) * kRound * absolutes[i]) * std::abs(g * u);
    return error * factor * std::abs(got.weight(m)) + 1e-37;
  };
  std::vector<double> grad_errors(grad.size());
  for (int64_t m = 0; m < s.m; ++m) {
    for (int64_t f = 0; f < 2 * s.n; ++f) grad_errors[at(m * 2 * s.n + f)] = error_at(m, f % s.n, f >= s.n);
  }
  testing::expect_within(
      got.grad_gate_up.values(), grad, [&](size_t i) { return grad_errors[i] + kept(s.type, grad[i]); },
      s.text() + " grad_gate_up");
  testing::expect_within(
      got.grad_weight, want.grad_weight,
      [&](size_t i) { return weight_errors[i] + kept(Number::kF32, want.grad_weight[i]); }, s.text() + " grad_weight");
}

void check(const Wanted& setup) {
  base::ThreadPool pool(2);
  Trial got(setup), want(setup);
  got.run(pool.parallel_for());
  want.run_ref();
  if (setup.epilogue == Epilogue::kSwiglu) return check_swiglu(got, want);
  if (setup.epilogue == Epilogue::kSwigluBackward) return check_backward(got, want);
  check_plain(got, want);
}

constexpr std::array kEpilogues = {Epilogue::kStore, Epilogue::kAdd, Epilogue::kSwiglu, Epilogue::kSwigluBackward};

class Panels : public testing::EveryIsa {};
DSMOE_ON_EVERY_ISA(Panels);

TEST_P(Panels, AreTheirDefinition) {
  for (const Number type : kNumbers) {
    for (const int64_t m : {0, 1, 7, 31, 33}) {
      for (const int64_t n : {0, 1, 31, 33, 70}) {
        for (const int64_t k : {0, 1, 7, 40}) {
          for (const Epilogue epilogue : kEpilogues) {
            Wanted s{.type = type, .m = m, .n = n, .k = k, .epilogue = epilogue};
            s.left_index = m % 2, s.slot_weight = n % 2;
            if (epilogue == Epilogue::kSwiglu) s.add = k % 2;
            if (epilogue == Epilogue::kStore) s.out_index = k % 2, s.add = n % 2, s.out_type = type;
            check(s);
          }
        }
      }
    }
  }
}

TEST_P(Panels, TakeRowsByDepth) {
  for (const Number type : kNumbers) {
    for (const auto& [m, n, k] : {std::array<int64_t, 3>{33, 33, 31}, {1, 64, 7}, {64, 1, 0}, {17, 40, 600}}) {
      for (const bool right_rows : {false, true}) {
        for (const Epilogue epilogue : {Epilogue::kStore, Epilogue::kAdd}) {
          Wanted s{.type = type, .m = m, .n = n, .k = k, .epilogue = epilogue, .left_along = Along::kDepth};
          s.left_index = true, s.right_rows = right_rows, s.out_index = m == 17;
          check(s);
        }
      }
    }
  }
}

TEST_P(Panels, HoldBeyondEveryBlock) {
  for (const Number type : kNumbers) {
    check({.type = type, .m = 255, .n = 129, .k = 255, .left_index = true, .out_index = true, .out_type = type});
    check({.type = type, .m = 41, .n = 65, .k = 1201, .epilogue = Epilogue::kSwiglu, .left_index = true, .add = true});
    check({.type = type, .m = 41, .n = 65, .k = 1201, .epilogue = Epilogue::kSwigluBackward});
    check({.type = type, .m = 9, .n = 1100, .k = 33, .add = true});
  }
}

/// Products of several kinds and heights in one list.
TEST_P(Panels, GiveTheSameBitsOnAnyThreads) {
  for (const Number type : kNumbers) {
    std::vector<Wanted> setups;
    for (const int64_t m : {3, 600, 0, 45}) {
      for (const Epilogue epilogue : kEpilogues)
        setups.push_back({.type = type, .m = m, .n = 50, .k = 70, .epilogue = epilogue});
    }
    for (const int64_t k : {900, 0, 13}) {
      setups.push_back({.type = type,
                        .m = 70,
                        .n = 300,
                        .k = k,
                        .left_along = Along::kDepth,
                        .left_index = true,
                        .right_rows = true});
    }
    std::vector<std::vector<Trial>> runs;
    for (const int threads : {1, 2, 3, 5}) {
      base::ThreadPool pool(threads);
      std::vector<Trial>& trials = runs.emplace_back();
      std::vector<PanelProduct> products;
      trials.reserve(setups.size());
      for (const Wanted& s : setups) products.push_back(trials.emplace_back(s).product);
      panel_products(pool.parallel_for(), type, products);
      for (size_t i = 0; i < setups.size(); ++i) {
        EXPECT_TRUE(trials[i].same_bits(runs[0][i])) << threads << " threads, " << setups[i].text();
      }
    }
  }
}

TEST_P(Panels, RowsDoNotKnowTheirNeighbours) {
  for (const Number type : kNumbers) {
    for (const Epilogue epilogue : kEpilogues) {
      const Wanted s{
          .type = type, .m = 61, .n = 40, .k = 51, .epilogue = epilogue, .left_index = true, .out_index = true};
      Trial whole(s), parts(s);
      whole.run(base::serial_for);
      for (int64_t m = 0; m < s.m;) {
        const int64_t end = std::min(s.m, m + 1 + m / 3);
        panel_product(type, parts.part(m, end));
        m = end;
      }
      EXPECT_TRUE(whole.same_bits(parts)) << s.text();
    }
  }
}

TEST_P(Panels, PackAsTheDefinition) {
  base::Rng rng(3);
  for (const Number from : kNumbers) {
    for (const Number to : kNumbers) {
      for (const auto& [n, k] : {std::pair<int64_t, int64_t>{1, 1}, {33, 7}, {70, 64}, {31, 0}, {0, 3}, {129, 75}}) {
        std::vector<float> values = normal_values(rng, (2 * n + k + 9) * (n + k + 9));
        values[0] = std::nanf(""), values[1] = HUGE_VALF, values[2] = -HUGE_VALF;
        Numbers source(from, values);
        std::vector<int32_t> index(at(2 * n + k + 1));
        std::iota(index.rbegin(), index.rend(), 0);
        for (const int32_t* rows : {static_cast<const int32_t*>(nullptr), static_cast<const int32_t*>(index.data())}) {
          for (const Along along : {Along::kOutput, Along::kDepth}) {
            const RowsView view{source.data(), n + k + 3, rows};
            Numbers got(to, packed_numbers(k, n), -7), want = got;
            pack_right(from, view, along, k, n, to, got.data());
            pack_right_ref(from, view, along, k, n, to, want.data());
            EXPECT_EQ(got, want) << n << " x " << k << " along " << static_cast<int>(along);
          }
          const RowsView view{source.data(), k + 3, rows};
          Numbers got(to, packed_numbers(k, (n + 15) / 16 * 32), -7), want = got;
          pack_gate_up(from, view, k, n, to, got.data());
          pack_gate_up_ref(from, view, k, n, to, want.data());
          EXPECT_EQ(got, want) << "gate_up of width " << n << " and " << k;
        }
      }
    }
  }
}

}  // namespace
}  // namespace dsmoe::kernels
