// Many SwiGLU FFNs over rows picked by index: the routed experts, the shared bank and dense FFNs alike.
//
// Tokens find experts in three steps: `rows_by_expert` groups token slots by expert (counting sort), `FfnBank` runs
// every FFN on its rows as one flat list of tiles, so that an uneven load leaves no idle tail, and `combine` adds a
// token's results, weighted, in ascending order of experts. T tokens, K slots a token, E experts, D model, F width.
#pragma once

#include <span>
#include <vector>

#include "base/parallel.h"
#include "kernels/activations.h"
#include "kernels/low_rank.h"
#include "kernels/matrix.h"
#include "kernels/row_list.h"

namespace dsmoe::kernels {

/// down(silu(gate(x)) * up(x)).
struct Ffn {
  Matrix gate, up;  ///< [F, D]
  Matrix down;      ///< [D, F]
  LowRank gate_adapter = {}, up_adapter = {}, down_adapter = {};
  bool hidden_adapted() const { return gate_adapter.adds() || up_adapter.adds(); }
};

/// Token slots grouped by expert. A slot is t * K + k; one with a negative expert id is empty and appears nowhere.
struct ExpertRows {
  std::vector<int32_t> offsets;  ///< [E + 1] group e is offsets[e] .. offsets[e + 1] of `tokens`
  std::vector<int32_t> tokens;   ///< token of each grouped row, ascending inside a group
  std::vector<int32_t> place;    ///< [T * K] where a slot went, or -1
  std::vector<int32_t> next;     ///< working memory
  std::span<const int32_t> group(int64_t expert) const;
};
void rows_by_expert(std::span<const int32_t> ids_TK, int64_t slots, int64_t experts, ExpertRows& rows);
void rows_by_expert_ref(std::span<const int32_t> ids_TK, int64_t slots, int64_t experts, ExpertRows& rows);

/// One FFN and the rows of x that it works on; results go to rows out_row, out_row + 1, ... of the output.
struct FfnJob {
  const Ffn* ffn = nullptr;
  std::span<const int32_t> rows;
  int64_t out_row = 0;
};

/// What FFNs read: x_TD, and for quantised gates and ups its int8 rows.
struct FfnInput {
  const float* x_TD = nullptr;
  Activations activations = {};
};

/// Memory that a bank needs between its loops, kept from call to call.
struct BankScratch {
  std::vector<FfnJob> jobs;
  std::vector<float> gate, up;
  std::vector<int64_t> offsets;
  std::vector<int8_t> hidden;
  std::vector<ActivationBlock> hidden_blocks;  ///< for quantised down
  std::vector<Product> narrow;                 ///< of adapters: gate, up and down of each job
  std::vector<int64_t> narrow_offsets;         ///< of each in narrow_values
  std::vector<float> narrow_values;
  RowList list;
};

/// A product whose rows come first in a loop of gates and ups; and what the thread that finishes the last of them does
/// then, for its tokens 0 .. tokens, while the others go on.
struct ProductBefore {
  const Product* product = nullptr;
  const base::Body* then = nullptr;
};

/// FFNs at work, whose jobs need not be known at the same time: shared experts work while routed ones are chosen.
class FfnBank {
 public:
  /// Both are borrowed; what the scratch held is lost.
  FfnBank(const FfnInput& input, BankScratch& scratch);
  /// silu(gate(x)) * up(x) of these jobs, in one loop. Their rows are borrowed until `down`.
  void hidden(const base::ParallelFor& parallel_for, std::span<const FfnJob> jobs, const ProductBefore& before = {});
  /// What all jobs so far add to the output, in one loop.
  void down(const base::ParallelFor& parallel_for, float* out_RD);

 private:
  void add(std::span<const FfnJob> jobs);
  void narrow_inputs(const base::ParallelFor& parallel_for, int64_t first_job);
  void narrow_hidden(const base::ParallelFor& parallel_for);
  float* narrow_of(int64_t job, int64_t part) {
    return scratch_.narrow_values.data() + scratch_.narrow_offsets[static_cast<size_t>(3 * job + part)];
  }
  const FfnJob& job_of(const RowRange& rows) const { return scratch_.jobs[static_cast<size_t>(rows.matrix)]; }
  void hidden_rows(const RowRange& rows, const void* next);
  void down_rows(const RowRange& rows, const void* next, float* out_RD);

  FfnInput input_;
  BankScratch& scratch_;
};
/// All of it for jobs that are known at once.
void ffn_bank(const base::ParallelFor& parallel_for, std::span<const FfnJob> jobs, const FfnInput& input, float* out_RD,
              BankScratch& scratch);
void ffn_bank_ref(const base::ParallelFor& parallel_for, std::span<const FfnJob> jobs, const FfnInput& input,
                  float* out_RD, BankScratch& scratch);

/// One token's sum over its slots of weight * rows[place], ascending in place and so in expert; zero without slots.
void combine(std::span<const int32_t> place_K, std::span<const float> weights_K, const float* rows_RD,
             std::span<float> out_D);
void combine_ref(std::span<const int32_t> place_K, std::span<const float> weights_K, const float* rows_RD,
                 std::span<float> out_D);

}  // namespace dsmoe::kernels
