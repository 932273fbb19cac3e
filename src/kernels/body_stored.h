// Quantised rows into packed panels, over the Ints and Vec of the including unit. Contracts: stored_panels.h.
//
// Sixteen rows lie side by side in the lanes, as in body_blocks.h, and a column of them is a vector. Each value rounds
// as dequantise_ref() says: product by product from the left, then the minimum.
#pragma once

#include "kernels/body_blocks.h"
#include "kernels/stored_rows.h"

namespace dsmoe::kernels {
namespace {

/// Column 4 * four + J of `block`, of all sixteen rows.
template <class Format, int J>
inline DSMOE_INLINE Vec column_of(const Slab& slab, int block, int four) {
  const Ints value = right<8 * J>(Ints::load(slab.values[block][four])) & Ints::all(255);
  const Vec scale = Vec::load(slab.scale[block]);
  if constexpr (Format::kForm == Form::kMinimum) {
    return to_floats(value) * scale + Vec::load(slab.more[0][block]);
  } else if constexpr (Format::kForm == Form::kOffset) {
    return to_floats(value - Ints::all(1 << Format::kOffset)) * scale;
  } else {
    return to_floats(value - Ints::all(1 << Format::kOffset)) * (scale * Vec::load(slab.more[four / 4][block]));
  }
}

/// A column as numbers of the packed type; rows that are missing are zeros.
template <class To>
inline DSMOE_INLINE void store_column(Vec column, int64_t rows, To* out) {
  column.store(out);
  for (int64_t i = rows; i < kLanes; ++i) out[i] = To{0};
}

/// emit(k, two columns) for every even k, in ascending order.
template <class Format, class To, class Emit>
inline DSMOE_INLINE void each_two_columns(const StoredRows& s, const Emit& emit) {
  constexpr int64_t kPart = kSuperValues / block_values(Format::kType);  // stored blocks of a slab
  const int64_t stored = s.cols / block_values(Format::kType);
  Slab slab;
  for (int64_t b = 0; b < stored; b += kPart) {
    const int64_t count = stored - b < kPart ? stored - b : kPart;
    unpack_rows<Format>(s.first + b * block_bytes(Format::kType), s.stride, s.rows, count, slab);
    const int blocks = static_cast<int>(count * block_values(Format::kType) / kBlockValues);
    int64_t k = b * block_values(Format::kType);
    for (int block = 0; block < blocks; ++block) {
      for (int four = 0; four < 8; ++four, k += 4) {
        To columns[4][kLanes];
        counted<4>([&](auto index) DSMOE_INLINE {
          constexpr int j = decltype(index)::value;
          store_column(column_of<Format, j>(slab, block, four), s.rows, columns[j]);
        });
        emit(k, columns[0], columns[1]);
        emit(k + 2, columns[2], columns[3]);
      }
    }
  }
}

template <class Format, class To>
void pack_stored_columns(const StoredRows& s) {
  auto* out = static_cast<To*>(s.out);
  each_two_columns<Format, To>(s, [&](int64_t k, const To* even, const To* odd) DSMOE_INLINE {
    if constexpr (sizeof(To) == 2) {
      interleave(even, odd, out + k * kPanel + 2 * s.at);
    } else {
      __builtin_memcpy(out + k * kPanel + s.at, even, kLanes * sizeof(To));
      __builtin_memcpy(out + (k + 1) * kPanel + s.at, odd, kLanes * sizeof(To));
    }
  });
}

template <class Format, class To>
void pack_stored_depth(const StoredRows& s) {
  const int64_t pairs = (s.rows + 1) / 2;
  const auto put = [&](int64_t n, const To* column) DSMOE_INLINE {
    To* out = static_cast<To*>(s.out) + n / kPanel * s.panel + s.at * kPanel;
    if constexpr (sizeof(To) == 2) {
      out += 2 * (n % kPanel);
      for (int64_t i = 0; i < pairs; ++i) __builtin_memcpy(out + 2 * i * kPanel, column + 2 * i, 2 * sizeof(To));
    } else {
      out += n % kPanel;
      for (int64_t i = 0; i < 2 * pairs; ++i) out[i * kPanel] = column[i];
    }
  };
  each_two_columns<Format, To>(s, [&](int64_t n, const To* even, const To* odd) DSMOE_INLINE {
    put(n, even);
    put(n + 1, odd);
  });
}

/// In the order of BlockType.
constexpr PackStored kPackStoredColumns[kBlockTypes][kNumbers] = {
    {pack_stored_columns<Q8_0, float>, pack_stored_columns<Q8_0, uint16_t>},
    {pack_stored_columns<Q4_0, float>, pack_stored_columns<Q4_0, uint16_t>},
    {pack_stored_columns<Q4_1, float>, pack_stored_columns<Q4_1, uint16_t>},
    {pack_stored_columns<Q5_0, float>, pack_stored_columns<Q5_0, uint16_t>},
    {pack_stored_columns<Q5_1, float>, pack_stored_columns<Q5_1, uint16_t>},
    {pack_stored_columns<Q4K, float>, pack_stored_columns<Q4K, uint16_t>},
    {pack_stored_columns<Q5K, float>, pack_stored_columns<Q5K, uint16_t>},
    {pack_stored_columns<Q6K, float>, pack_stored_columns<Q6K, uint16_t>},
};
constexpr PackStored kPackStoredDepth[kBlockTypes][kNumbers] = {
    {pack_stored_depth<Q8_0, float>, pack_stored_depth<Q8_0, uint16_t>},
    {pack_stored_depth<Q4_0, float>, pack_stored_depth<Q4_0, uint16_t>},
    {pack_stored_depth<Q4_1, float>, pack_stored_depth<Q4_1, uint16_t>},
    {pack_stored_depth<Q5_0, float>, pack_stored_depth<Q5_0, uint16_t>},
    {pack_stored_depth<Q5_1, float>, pack_stored_depth<Q5_1, uint16_t>},
    {pack_stored_depth<Q4K, float>, pack_stored_depth<Q4K, uint16_t>},
    {pack_stored_depth<Q5K, float>, pack_stored_depth<Q5K, uint16_t>},
    {pack_stored_depth<Q6K, float>, pack_stored_depth<Q6K, uint16_t>},
};

}  // namespace
}  // namespace dsmoe::kernels
