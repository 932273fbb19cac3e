// Grouped products of training against oneDNN's own bf16 product (n = 2048), in turns in one process, two threads:
//   build/bench/panels_dnnl_bench [REPEATS [bf16|f32 [GROUP]]]
//
// The shapes of `mini-deepseekmoe` (64 experts, 448 rows each on average, uneven; 256 wide, experts 192) and of
// `middle-deepseekmoe` (1820 rows; 768 and 512), forward and backward, and some dense ones. Each figure is the best of
// REPEATS (5) turns; the share is of oneDNN's best.
#include <omp.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <dnnl.hpp>
#include <functional>
#include <iomanip>
#include <iostream>
#include <numeric>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/isa.h"
#include "kernels/panels.h"
#include "kernels/product.h"

using namespace dsmoe;
using kernels::Along;
using kernels::Epilogue;
using kernels::Number;
using kernels::PanelProduct;

namespace {

constexpr int kThreads = 2;

size_t at(int64_t i) { return static_cast<size_t>(i); }

/// Memory of either type with small numbers in it.
struct Numbers {
  Numbers(Number type, int64_t count) : bytes(at(count * kernels::number_bytes(type))) {
    base::Rng rng(1);
    const int64_t some = std::min<int64_t>(count, 4093);
    for (int64_t i = 0; i < some; ++i) {
      const auto x = static_cast<float>(0.1 * rng.normal());
      if (type == Number::kF32) {
        reinterpret_cast<float*>(bytes.data())[i] = x;
      } else {
        reinterpret_cast<uint16_t*>(bytes.data())[i] = kernels::to_bf16(x);
      }
    }
    const size_t period = at(some * kernels::number_bytes(type));
    for (size_t i = period; i < bytes.size(); i += period) {
      std::memcpy(bytes.data() + i, bytes.data(), std::min(period, bytes.size() - i));
    }
  }
  char* at_number(Number type, int64_t i) { return bytes.data() + i * kernels::number_bytes(type); }
  std::vector<char> bytes;
};

struct Job {
  std::string name;
  double flops;
  std::function<void()> run;
  double best = 1e9;
};

/// oneDNN's matmul of n x n, the yardstick.
Job yardstick(int64_t n, dnnl::memory::data_type type) {
  using dnnl::memory;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const auto desc = [&](memory::data_type t) { return memory::desc({n, n}, t, memory::format_tag::ab); };
  const memory a(desc(type), engine), b(desc(type), engine), c(desc(type), engine);
  for (const memory& m : {a, b, c}) std::memset(m.get_data_handle(), 0x3c, m.get_desc().get_size());
  const dnnl::matmul::primitive_desc primitive({desc(type), desc(type), desc(type)}, engine);
  const dnnl::matmul matmul(primitive);
  const dnnl::stream stream(engine);
  return {type == memory::data_type::bf16 ? "oneDNN bf16 n=2048" : "oneDNN f32 n=2048", 2.0 * n * n * n, [=] {
            dnnl::stream s = stream;
            matmul.execute(s, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, c}});
            s.wait();
          }};
}

/// Experts with all they read and write.
struct Bank {
  Bank(Number t, std::vector<int64_t> heights, int64_t tokens, int64_t d, int64_t f)
      : type(t),
        rows(std::move(heights)),
        D(d),
        F(f),
        slots(std::accumulate(rows.begin(), rows.end(), int64_t{0})),
        index(at(slots)),
        x(t, tokens * d),
        hidden(t, slots * f),
        gate_up(t, slots * 2 * f),
        grad_gate_up(t, slots * 2 * f),
        out(t, slots * d),
        weights(Number::kF32, slots),
        grad_weights(Number::kF32, slots),
        packed(t, experts() * 2 * per_expert()),
        grads(Number::kF32, experts() * 2 * per_expert()) {
    base::Rng rng(7);
    for (int32_t& row : index) row = static_cast<int32_t>(rng.below(at(tokens)));
  }
  int64_t experts() const { return static_cast<int64_t>(rows.size()); }
  int64_t per_expert() const { return (D + 32) * (F + 32); }

  /// One product of each expert; `fill` completes it from its number and first row.
  Job job(const base::ParallelFor& parallel_for, const std::string& name,
          const std::function<void(PanelProduct&, int64_t expert, int64_t row)>& fill) {
    std::vector<PanelProduct> products;
    double flops = 0;
    int64_t row = 0;
    for (int64_t e = 0; e < experts(); ++e) {
      PanelProduct p;
      p.m = rows[at(e)];
      p.right = packed.at_number(type, e * 2 * per_expert());
      fill(p, e, row);
      flops += 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
      products.push_back(p);
      row += rows[at(e)];
    }
    return {name, flops, [=, this] { kernels::panel_products(parallel_for, type, products); }};
  }
  std::vector<Job> jobs(const base::ParallelFor& parallel_for) {
    const auto from = [this](Numbers& numbers, int64_t row, int64_t width) {
      return numbers.at_number(type, row * width);
    };
    const auto grads_of = [this](int64_t e) { return grads.at_number(Number::kF32, e * 2 * per_expert()); };
    std::vector<Job> all;
    all.push_back(job(parallel_for, "gate_up, plain", [=, this](PanelProduct& p, int64_t, int64_t row) {
      p.n = 2 * F, p.k = D, p.left = {x.bytes.data(), D, index.data() + row};
      p.out = from(gate_up, row, 2 * F), p.out_stride = 2 * F, p.out_type = type;
    }));
    all.push_back(job(parallel_for, "gate_up, swiglu", [=, this](PanelProduct& p, int64_t, int64_t row) {
      p.n = 2 * F, p.k = D, p.left = {x.bytes.data(), D, index.data() + row}, p.epilogue = Epilogue::kSwiglu;
      p.swiglu = {from(gate_up, row, 2 * F), from(hidden, row, F)};
    }));
    all.push_back(job(parallel_for, "down", [=, this](PanelProduct& p, int64_t, int64_t row) {
      p.n = D, p.k = F, p.left = {from(hidden, row, F), F, nullptr};
      p.out = from(out, row, D), p.out_stride = D, p.out_type = type;
    }));
    all.push_back(job(parallel_for, "grad hidden, swiglu", [=, this](PanelProduct& p, int64_t, int64_t row) {
      p.n = F, p.k = D, p.left = {x.bytes.data(), D, index.data() + row}, p.epilogue = Epilogue::kSwigluBackward;
      p.swiglu = {from(gate_up, row, 2 * F), from(hidden, row, F), from(grad_gate_up, row, 2 * F),
                  reinterpret_cast<float*>(weights.bytes.data()) + row,
                  reinterpret_cast<float*>(grad_weights.bytes.data()) + row};
    }));
    all.push_back(job(parallel_for, "grad x", [=, this](PanelProduct& p, int64_t, int64_t row) {
      p.n = D, p.k = 2 * F, p.left = {from(grad_gate_up, row, 2 * F), 2 * F, nullptr};
      p.out = from(out, row, D), p.out_stride = D, p.out_type = type;
    }));
    all.push_back(job(parallel_for, "grad W gate_up", [=, this](PanelProduct& p, int64_t e, int64_t row) {
      p.k = p.m, p.m = 2 * F, p.n = D, p.left = {from(grad_gate_up, row, 2 * F), 2 * F, nullptr};
      p.left_along = Along::kDepth, p.right = nullptr, p.right_rows = {x.bytes.data(), D, index.data() + row};
      p.out = grads_of(e), p.out_stride = D, p.epilogue = Epilogue::kAdd;
    }));
    all.push_back(job(parallel_for, "grad W down", [=, this](PanelProduct& p, int64_t e, int64_t row) {
      p.k = p.m, p.m = D, p.n = F, p.left = {x.bytes.data(), D, index.data() + row};
      p.left_along = Along::kDepth, p.right = nullptr, p.right_rows = {from(hidden, row, F), F, nullptr};
      p.out = grads_of(e), p.out_stride = F, p.epilogue = Epilogue::kAdd;
    }));
    return all;
  }

  Number type;
  std::vector<int64_t> rows;
  int64_t D, F, slots;
  std::vector<int32_t> index;
  Numbers x, hidden, gate_up, grad_gate_up, out, weights, grad_weights, packed, grads;
};

/// m rows through weights [n, k] and back.
struct Dense {
  Dense(Number t, int64_t m_, int64_t k_, int64_t n_)
      : type(t),
        m(m_),
        k(k_),
        n(n_),
        x(t, m * k),
        out(t, m * n),
        packed(t, (k + 2) * (n + 32)),
        weights(Number::kF32, k * n),
        grad(Number::kF32, k * n) {}
  std::vector<Job> jobs(const base::ParallelFor& parallel_for) {
    PanelProduct forward;
    forward.m = m, forward.n = n, forward.k = k, forward.left = {x.bytes.data(), k},
    forward.right = packed.bytes.data();
    forward.out = out.bytes.data(), forward.out_stride = n, forward.out_type = type;
    PanelProduct back = forward;
    back.n = k, back.k = n, back.left = {out.bytes.data(), n}, back.out = x.bytes.data(), back.out_stride = k;
    PanelProduct weight;
    weight.m = n, weight.n = k, weight.k = m, weight.left = {out.bytes.data(), n}, weight.left_along = Along::kDepth;
    weight.right_rows = {x.bytes.data(), k}, weight.out = grad.bytes.data(), weight.out_stride = k;
    weight.epilogue = Epilogue::kAdd;
    const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    const auto run = [&](PanelProduct p) {
      return [=, this] { kernels::panel_products(parallel_for, type, {&p, 1}); };
    };
    return {{"forward", flops, run(forward)}, {"grad x", flops, run(back)}, {"grad W", flops, run(weight)}};
  }
  Number type;
  int64_t m, k, n;
  Numbers x, out, packed, weights, grad;
};

double seconds_of(const std::function<void()>& run) {
  const auto start = std::chrono::steady_clock::now();
  run();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Turns of all jobs, the yardstick first; every job's best of them.
void measure(const std::string& title, std::vector<Job> jobs, int repeats) {
  for (int turn = 0; turn <= repeats; ++turn) {  // the first is for warming up
    for (Job& job : jobs) {
      const double seconds = seconds_of(job.run);
      if (turn) job.best = std::min(job.best, seconds);
    }
  }
  std::cout << title << "\n";
  const double yard = jobs[0].flops / jobs[0].best;
  for (const Job& job : jobs) {
    std::cout << "  " << std::left << std::setw(24) << job.name << std::right << std::fixed << std::setprecision(0)
              << std::setw(7) << job.flops / job.best / 1e9 << " GFLOP/s" << std::setprecision(1) << std::setw(8)
              << 100 * job.flops / job.best / yard << " %" << std::setprecision(2) << std::setw(9) << job.best * 1e3
              << " ms\n";
  }
}

/// Heights around `mean` as a router leaves them.
std::vector<int64_t> uneven(int64_t experts, int64_t mean) {
  base::Rng rng(3);
  std::vector<double> shares(at(experts));
  for (double& share : shares) share = std::exp(0.5 * rng.normal());
  const double all = std::accumulate(shares.begin(), shares.end(), 0.0);
  std::vector<int64_t> rows;
  for (const double share : shares)
    rows.push_back(static_cast<int64_t>(share / all * static_cast<double>(experts * mean)));
  return rows;
}

void measure_type(Number type, const std::string& only, base::ThreadPool& pool, int repeats) {
  const std::string name = type == Number::kF32 ? ", f32" : ", bf16";
  const Job yard = yardstick(2048, type == Number::kF32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16);
  const auto with_yard = [&](std::vector<Job> jobs) {
    jobs.insert(jobs.begin(), yard);
    return jobs;
  };
  const auto wanted = [&](const std::string& group) { return only.empty() || group.starts_with(only); };
  const auto bank = [&](const std::string& title, const std::vector<int64_t>& rows, int64_t tokens, int64_t d,
                        int64_t f) {
    if (!wanted(title)) return;
    Bank experts(type, rows, tokens, d, f);
    measure(title + name, with_yard(experts.jobs(pool.parallel_for())), repeats);
  };
  bank("mini: 64 experts", uneven(64, 448), 4096, 256, 192);
  std::vector<int64_t> heavy(64, 0);
  std::fill_n(heavy.begin(), 7, 4096);
  bank("skewed mini: all tokens on 7 experts", heavy, 4096, 256, 192);
  bank("middle: 16 of its experts", uneven(16, 1820), 16384, 768, 512);
  const auto dense = [&](const std::string& title, int64_t m, int64_t k, int64_t n) {
    if (!wanted(title)) return;
    Dense layer(type, m, k, n);
    measure(title + name, with_yard(layer.jobs(pool.parallel_for())), repeats);
  };
  dense("projection: 4096 x 256 x 768", 4096, 256, 768);
  dense("head: 4096 x 256 x 8192", 4096, 256, 8192);
}

/// A step's new weights from float32 into both layouts.
void measure_packing(base::ThreadPool& pool, int repeats) {
  constexpr int64_t kMatrices = 512, kN = 384, kK = 256;
  Numbers weights(Number::kF32, kMatrices * kN * kK), packed(Number::kBf16, kMatrices * kN * kK);
  const auto pack = [&](Along along) {
    return [&, along] {
      pool.run(kMatrices, 4, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const kernels::RowsView source = {weights.at_number(Number::kF32, i * kN * kK), kK};
          const int64_t k = along == Along::kOutput ? kK : kN;
          kernels::pack_right(Number::kF32, source, along, k, kN + kK - k, Number::kBf16,
                              packed.at_number(Number::kBf16, i * kN * kK));
        }
      });
    };
  };
  for (const auto& [name, along] :
       {std::pair{"weights of y = x W^T", Along::kOutput}, {"weights of dx = dy W", Along::kDepth}}) {
    double best = 1e9;
    for (int turn = 0; turn <= repeats; ++turn) best = std::min(best, seconds_of(pack(along)));
    const double numbers = static_cast<double>(kMatrices * kN * kK);
    std::cout << "  " << std::left << std::setw(24) << name << std::right << std::setprecision(2) << std::setw(9)
              << numbers / best / 1e9 << " G numbers/s" << std::setw(9) << numbers * 6 / best / 1e9 << " GB/s\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int repeats = argc > 1 ? std::atoi(argv[1]) : 5;
  const std::string type = argc > 2 ? argv[2] : "", only = argc > 3 ? argv[3] : "";
  omp_set_num_threads(kThreads);
  base::ThreadPool pool(kThreads);
  std::cout << "instruction set " << kernels::isa_name(kernels::active_isa()) << ", " << kThreads << " threads\n";
  if (type != "f32") measure_type(Number::kBf16, only, pool, repeats);
  if (type != "bf16") measure_type(Number::kF32, only, pool, repeats);
  if (!only.empty()) return 0;
  std::cout << "packing float32 to bf16\n";
  measure_packing(pool, repeats);
}
