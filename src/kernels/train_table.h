// The nouns of the training step's kernels along rows and tiles, and their row of functions. Contracts of what callers
// see: train_attention.h, train_norm.h. Seen by the units built for an instruction set: no more than they may include.
#pragma once

#include <cstdint>

namespace dsmoe::kernels {

/// out[row][column] (+)= sum over cells of left * right, a cell being a float or a pair of bf16 neighbours along the
/// sum.
struct TileProduct {
  const void* left = nullptr;  ///< cell c of row r at left + r * row_step + c * cell_step numbers
  int64_t row_step = 0, cell_step = 0;
  int64_t rows = 0, cells = 0;  ///< rows up to a multiple of kTileRowsStep are read and written, whatever they hold
  const void* right = nullptr;  ///< panels as in panel_product.h
  int64_t panels = 0, panel_stride = 0;
  float* out = nullptr;  ///< panels of 32 columns side by side, all of them written
  int64_t out_stride = 0;
  bool add = false;
};
inline constexpr int64_t kTileRowsStep = 8;

/// Rows of one SoftmaxTile.
inline constexpr int64_t kMostTileRows = 64;

/// Scores of some queries against one block of keys become probabilities, under a running maximum (online softmax).
struct SoftmaxTile {
  const float* scores = nullptr;           ///< [rows, stride]
  int64_t rows = 0, keys = 0, stride = 0;  ///< at most kMostTileRows rows
  int64_t lead = 0;                        ///< row i sees keys 0 .. lead + i; lead >= 0
  float* top = nullptr;                    ///< [rows] running maxima
  float* total = nullptr;                  ///< [rows] running sums of e^(score - top)
  float* out = nullptr;                    ///< [rows, width] running outputs, scaled down where a maximum grows
  int64_t width = 0;
  void* p = nullptr;  ///< [rows, stride] e^(score - top), 0 where unseen and up to an even number of keys
};

/// The way back, keys by queries: scores and their gradients from products, in a pass over both.
struct SoftmaxGradTile {
  const float* scores = nullptr;  ///< [keys, stride]
  const float* grad_p = nullptr;  ///< [keys, stride]
  int64_t keys = 0, queries = 0, stride = 0;
  int64_t lead = 0;                ///< query i sees keys 0 .. lead + i
  const float* log_sum = nullptr;  ///< [queries]
  const float* delta = nullptr;    ///< [queries] sum over keys of p * grad_p
  // Both [keys, stride], 0 where unseen and up to an even number of queries.
  void* p = nullptr;            ///< e^(score - log_sum)
  void* grad_scores = nullptr;  ///< p * (grad_p - delta)
  void* grad_pairs = nullptr;   ///< bf16: grad_scores again, rows 2i and 2i + 1 interleaved, [keys / 2, 2 stride]
};

/// Rows of one head turned by their positions' angles: out = scale * (x cos + direction * rotate_half(x) sin).
struct Rotation {
  const float* cosines = nullptr;  ///< [rows, half]
  const float* sines = nullptr;
  int64_t half = 0, rows = 0;
  float scale = 1, direction = 1;
  const void* x = nullptr;
  int64_t x_stride = 0;
  void* out = nullptr;
  int64_t out_stride = 0;
};

/// Rows of sums rounded: out = factor * x.
struct ScaledRows {
  const float* x = nullptr;
  int64_t x_stride = 0;
  const float* factors = nullptr;  ///< [rows]; null: ones
  int64_t rows = 0, n = 0;
  void* out = nullptr;
  int64_t out_stride = 0;
};

/// out[row] = a[row] . b[row]
struct RowDots {
  const void* a = nullptr;
  const void* b = nullptr;
  int64_t stride = 0, rows = 0, n = 0;
  float* out = nullptr;
};

/// One row of an RMSNorm's way back (train_norm.h).
struct NormGradRow {
  const void* x = nullptr;
  const void* grad_y = nullptr;
  const void* weight = nullptr;
  const void* add = nullptr;  ///< null: none
  int64_t n = 0;
  float inverse = 0;
  void* grad_x = nullptr;
  float* grad_weight = nullptr;  ///< added to
};

/// Functions by the type of activations: index is a Number, 0 float32 and 1 bf16.
struct TrainTable {
  void (*tile_product[2])(const TileProduct& product);
  void (*softmax_tile[2])(const SoftmaxTile& tile);
  void (*softmax_grad_tile[2])(const SoftmaxGradTile& tile);
  void (*rotate[2])(const Rotation& rotation);
  void (*rotate_sums[2])(const Rotation& rotation);  ///< x is float32
  void (*scaled_rows[2])(const ScaledRows& rows);
  void (*row_dots[2])(const RowDots& dots);
  /// The largest of n >= 1 numbers, and the sum of e^(x - top).
  void (*exponential_sum[2])(const void* x, int64_t n, float* top, float* total);
  /// x = e^(x - log_sum) * scale, in place.
  void (*softmax_grad_row[2])(void* x, int64_t n, float log_sum, float scale);
  /// y = round(x r) * weight; returns r = (mean of x^2 + eps)^-1/2.
  float (*norm_row[2])(const void* x, const void* weight, int64_t n, double eps, void* y);
  void (*norm_grad_row[2])(const NormGradRow& row);
  /// grad = scores * (grad - sum of grad * scores), in place.
  void (*softmax_grad)(const float* scores, float* grad, int64_t n);
};

}  // namespace dsmoe::kernels
