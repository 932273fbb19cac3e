// The forward pass over one chunk of rows, any mixture of sequences: embed; per layer norm, attention, residual, norm,
// FFN or mixture, residual; norm, head. Inside the room only; the room's interface is engine.h.
//
// All buffers are made once and grow to the largest chunk. T rows, D model, H query heads, A head size, V vocabulary,
// E experts, K slots.
#pragma once

#include <span>
#include <vector>

#include "base/parallel.h"
#include "engine/gate.h"
#include "engine/kv_cache.h"
#include "engine/weights.h"
#include "kernels/attend.h"
#include "kernels/bank.h"
#include "kernels/product.h"
#include "kernels/rows.h"

namespace dsmoe::engine {

/// Consecutive tokens of one sequence, whose cache has room for them; rows of a chunk are those of its slices, one
/// slice after another.
struct SequenceSlice {
  KvCache* cache = nullptr;
  std::span<const int32_t> tokens;
  int64_t first_position = 0;
  const Intervention* intervention = nullptr;  ///< never null here
  RoutingProbe* probe = nullptr;
  std::span<float> logits;  ///< [n, V] for the last n of its tokens
  int64_t first_row = 0;    ///< set by run()
};

class Forward {
 public:
  Forward(const Weights& weights, base::ParallelFor parallel_for);
  void run(std::span<SequenceSlice> slices);
  /// Bytes that a chunk of `rows` rows makes working memory grow by, about: that of attention's parts is left out.
  int64_t growth(int64_t rows) const;

 private:
  struct Row {
    const SequenceSlice* slice;
    int64_t index;  // in the slice
    int32_t token() const { return slice->tokens[static_cast<size_t>(index)]; }
    int64_t position() const { return slice->first_position + index; }
  };
  void list_rows(std::span<SequenceSlice> slices);
  void embed();
  void enter(const std::vector<float>& norm, bool quantised);
  void attention(int64_t layer, std::span<const SequenceSlice> slices);
  void project(const LayerWeights& weights);
  void rotate_and_store(int64_t layer, int64_t t, int64_t kv_head, int64_t kv_end);
  /// Queries begin .. end of a slice against each of the key/value heads kv_head .. kv_end, rows [heads, queries]: all
  /// of their past, or one span of `spans`, whose part for row 0 lies at first_part + span, for the next one `spans`
  /// further.
  struct AttendTask {
    const SequenceSlice* slice;
    int64_t kv_head, kv_end, begin, end, span, spans, first_part;
    int64_t rows() const { return (kv_end - kv_head) * (end - begin); }
  };
  bool list_attend_tasks(std::span<const SequenceSlice> slices);
  void attend(int64_t layer, const AttendTask& task);
  int64_t query_offset(const AttendTask& task, int64_t i) const;
  void join_parts(const AttendTask& task);
  void quantise_attended(const AttendTask& task);
  void dense(const LayerWeights& weights);
  void mixture(int64_t layer, std::span<const SequenceSlice> slices);
  void list_shared_rows(const LayerWeights& weights);
  void route_beside_shared(int64_t layer, int64_t slots, kernels::FfnBank& bank);
  void choose_experts(int64_t layer, int64_t slots, int64_t begin, int64_t end);
  RoutingView routing_view(int64_t layer, int64_t slots, const SequenceSlice& slice) const;
  void probe(int64_t layer, int64_t slots, std::span<const SequenceSlice> slices) const;
  void probe_outputs(int64_t layer, int64_t slots, std::span<const SequenceSlice> slices) const;
  void head(std::span<const SequenceSlice> slices);
  /// body(row) for `rows` rows.
  template <class RowBody>
  void per_row(int64_t rows, int64_t work_per_row, const RowBody& body) const {
    const int64_t grain = kernels::items_per_chunk(rows, rows * work_per_row);
    parallel_for_(rows, grain, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) body(t);
    });
  }

  int64_t tokens() const { return static_cast<int64_t>(rows_.size()); }
  std::span<float> row(std::vector<float>& matrix, int64_t t, int64_t width) const {
    return std::span(matrix).subspan(static_cast<size_t>(t * width), static_cast<size_t>(width));
  }

  const Weights& weights_;
  const spec::ModelConfig& config_;
  base::ParallelFor parallel_for_;
  kernels::RopeTable rope_;

  std::vector<Row> rows_;
  std::vector<float> x_TD_, h_TD_, q_TD_, k_, v_;
  std::vector<float> y_TD_;  // what the half layer before adds to x
  std::vector<float> affinities_TE_, gates_TK_, bank_RD_;
  std::vector<int32_t> ids_TK_, all_rows_, shared_rows_, shared_place_;
  kernels::ActivationRows h_rows_;  // h_TD_ as quantised weights meet it
  kernels::ExpertRows expert_rows_;
  kernels::BankScratch bank_;
  kernels::LowRankScratch adapters_;
  std::vector<kernels::FfnJob> jobs_;
  std::vector<int64_t> head_rows_;  // of x, whose logits are wanted
  std::vector<float*> logits_;      // and where to
  std::vector<AttendTask> attend_tasks_;
  int64_t attend_work_ = 0;  // in multiply-adds
  std::vector<float> attend_parts_;
  std::vector<kernels::AttentionState> attend_states_;
};

}  // namespace dsmoe::engine
