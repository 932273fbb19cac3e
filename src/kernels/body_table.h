// The row of an instruction set: every body, over the Vec of the including unit.
#pragma once

#include "kernels/body_attention.h"
#include "kernels/body_blocks.h"
#include "kernels/body_elementwise.h"
#include "kernels/body_matmul.h"
#include "kernels/body_panels.h"
#include "kernels/body_slots.h"
#include "kernels/body_stored.h"
#include "kernels/body_train.h"

namespace dsmoe::kernels {
namespace {

constexpr KernelTable kTable = {
    .register_bits = kRegisterBits,
    .dot_products = kDotProducts,
    .matmul = kMatmuls,
    .quantise_activations = quantise_activations,
    .attention = kAttentionKernels,
    .rms_norm = rms_norm,
    .rope = rope,
    .rope_pairs = rope_pairs,
    .softmax = softmax,
    .softmax_top_k = softmax_top_k,
    .silu_mul = silu_mul,
    .add_scaled = add_scaled,
    .exponential = exponential_row,
    .exponential_sum = exponential_sum,
    .panel_block = {panel_block<float>, panel_block<uint16_t>},
    .pack_panel_of_rows = {{pack_panel_of_rows<float, float>, pack_panel_of_rows<float, uint16_t>},
                           {pack_panel_of_rows<uint16_t, float>, pack_panel_of_rows<uint16_t, uint16_t>}},
    .pack_panel_of_columns = {{pack_panel_of_columns<float, float>, pack_panel_of_columns<float, uint16_t>},
                              {pack_panel_of_columns<uint16_t, float>, pack_panel_of_columns<uint16_t, uint16_t>}},
    .pack_stored_columns = kPackStoredColumns,
    .pack_stored_depth = kPackStoredDepth,
    .combine_slots = {{combine_slots<float, float>, combine_slots<float, uint16_t>},
                      {combine_slots<uint16_t, float>, combine_slots<uint16_t, uint16_t>}},
    .train = kTrain,
};

}  // namespace
}  // namespace dsmoe::kernels
