// Causal self-attention with grouped key/value heads, rotary positions and no biases.
//
// Two expressions of one function. The fast one (kernels/train_attention.h) walks blocks of queries and keys and makes
// probabilities again backward instead of keeping the S x S matrix. The reference is the textbook's, in LibTorch.
#pragma once

#include <utility>

#include "model/rope.h"
#include "moe/sequences.h"
#include "moe/weight.h"
#include "spec/model_config.h"

namespace dsmoe::model {

struct AttentionShape {
  moe::Sequences sequences;
  int64_t heads, kv_heads, head_size;
  int64_t group() const { return heads / kv_heads; }
  int64_t width() const { return (heads + 2 * kv_heads) * head_size; }
};

/// qkv [T, (H + 2 Hkv) A]: queries, keys, values side by side; returns [T, H A]. Softmax in float32, scale 1/sqrt(A).
/// No sequence sees another; each has the bits that it would have alone.
Tensor causal_attention(const Tensor& qkv_TW, const RotaryTable& rotary, const AttentionShape& shape);
Tensor causal_attention_reference(const Tensor& qkv_TW, const RotaryTable& rotary, const AttentionShape& shape);

class Attention {
 public:
  /// qkv [(H + 2 Hkv) A, D] (q_proj, k_proj, v_proj from top to bottom), out [D, H A].
  Attention(const spec::ModelConfig& config, moe::WeightPtr qkv, moe::WeightPtr out)
      : config_(config), qkv_(std::move(qkv)), out_(std::move(out)) {}
  /// x [T, D] to the same, plus the residual.
  Tensor forward(const Tensor& x_TD, const Tensor& residual_TD, const moe::Sequences& sequences,
                 const RotaryTable& rotary) const;

 private:
  spec::ModelConfig config_;
  moe::WeightPtr qkv_, out_;
};

}  // namespace dsmoe::model
