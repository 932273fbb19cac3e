// What one instruction set offers: a row of function pointers. The room's public functions check their arguments and
// call through the active row; nobody else needs this header. It is seen by the units built for an instruction set,
// so it includes no more than they may.
#pragma once

#include <cstdint>

#include "kernels/cache_block.h"
#include "kernels/matrix.h"
#include "kernels/panel_block.h"
#include "kernels/slot_sum.h"
#include "kernels/stored_rows.h"
#include "kernels/train_table.h"

namespace dsmoe::kernels {

/// What attend.h is made of. `wide` has room for a block's keys and values and their scales as
/// floats.
struct AttentionKernels {
  void (*span[kCacheTypes])(const Attention& a, int64_t span, AttentionState* states, float* wide);
  void (*join)(AttentionState* state, float* out, const AttentionState* part_state, const float* part, int64_t n);
  void (*finish)(const AttentionState* state, int64_t n, float* out);
  void (*store[kCacheTypes])(const float* row, int64_t n, void* plane, int64_t position_in_block);
};

using PackStored = void (*)(const StoredRows& rows);
using Matmul = void (*)(const Product& product);

struct KernelTable {
  int register_bits;     ///< as compiled into the unit, so that a test sees which one runs
  bool dot_products;     ///< likewise: of bf16 pairs (AVX-512 BF16) and of int8 fours (VNNI)
  const Matmul* matmul;  ///< [kWeightTypes]
  void (*quantise_activations)(const float* x, int64_t blocks, int8_t* values, ActivationBlock* out);
  AttentionKernels attention;
  void (*rms_norm)(const float* x, const float* weight, int64_t n, double eps, float* out);
  void (*rope)(float* head, const float* cosines, const float* sines, int64_t half);
  void (*rope_pairs)(const float* pairs, const float* cosines, const float* sines, int64_t half, float* head);
  void (*softmax)(const float* x, int64_t n, float* out);
  void (*softmax_top_k)(float* row, int64_t n, int32_t* ids, int64_t k);
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* out);
  void (*add_scaled)(float scale, const float* x, int64_t n, float* y);
  void (*exponential)(const float* x, int64_t n, float* out);
  double (*exponential_sum)(const float* x, int64_t n, float* top);
  // By type of number, or by the types from and to.
  void (*panel_block[kNumbers])(const PanelBlock& block);
  void (*pack_panel_of_rows[kNumbers][kNumbers])(const RowsView& source, int64_t k, int64_t column, int64_t n,
                                                 void* packed);
  void (*pack_panel_of_columns[kNumbers][kNumbers])(const void* const* columns, int64_t k, void* packed);
  const PackStored (*pack_stored_columns)[kNumbers];  ///< [kBlockTypes]
  const PackStored (*pack_stored_depth)[kNumbers];    ///< likewise
  void (*combine_slots[kNumbers][kNumbers])(const SlotSum& sum, int64_t begin, int64_t end);
  TrainTable train;
};

const KernelTable& scalar_table();
const KernelTable& avx2_table();
const KernelTable& avx512_table();
const KernelTable& avx512bf16_table();

}  // namespace dsmoe::kernels
