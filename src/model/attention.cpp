#include "model/attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/part_clock.h"
#include "kernels/train_attention.h"
#include "moe/composed.h"
#include "moe/linear.h"
#include "moe/parallel.h"
#include "moe/rows.h"

namespace dsmoe::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The kernel's view of tensors and of a shape; they outlive it.
kernels::TrainAttention arguments(const AttentionShape& s, const variable_list& tensors) {
  const Tensor &qkv_TW = tensors[0], &cos_SA = tensors[1], &sin_SA = tensors[2];
  kernels::TrainAttention a;
  a.type = moe::number_of(qkv_TW.scalar_type());
  a.begins = s.sequences.begins();
  a.heads = s.heads, a.kv_heads = s.kv_heads, a.head_size = s.head_size;
  a.cosines = cos_SA.data_ptr<float>(), a.sines = sin_SA.data_ptr<float>();
  a.qkv = qkv_TW.data_ptr(), a.out = tensors[3].data_ptr(), a.log_sum = tensors[4].data_ptr<float>();
  return a;
}

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  /// Keeps the input, the output and a number a row and head; probabilities are made again.
  static Tensor forward(AutogradContext* context, const Tensor& qkv_TW, const Tensor& cos_SA, const Tensor& sin_SA,
                        const AttentionShape& s) {
    const base::Part part("attention");
    const Tensor out = torch::empty({s.sequences.tokens(), s.heads * s.head_size}, qkv_TW.options());
    const Tensor log_sum_TH = torch::empty({s.sequences.tokens() * s.heads}, cos_SA.options());
    const variable_list tensors{qkv_TW, cos_SA, sin_SA, out, log_sum_TH};
    kernels::attention_forward(moe::torch_parallel_for(), arguments(s, tensors));
    context->save_for_backward(tensors);
    context->saved_data["lengths"] = s.sequences.lengths();
    context->saved_data["heads"] = std::vector<int64_t>{s.heads, s.kv_heads, s.head_size};
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const base::Part part("attention");
    const auto saved = context->get_saved_variables();
    const auto heads = context->saved_data["heads"].toIntVector();
    const AttentionShape s{moe::Sequences::of_lengths(context->saved_data["lengths"].toIntVector()), heads[0], heads[1],
                           heads[2]};
    const Tensor grad_out = gradients[0].contiguous(), grad_qkv_TW = torch::empty_like(saved[0]);
    kernels::attention_backward(moe::torch_parallel_for(), arguments(s, saved), grad_out.data_ptr(),
                                grad_qkv_TW.data_ptr());
    return {grad_qkv_TW, Tensor(), Tensor(), Tensor()};
  }
};

/// One sequence [S, (H + 2 Hkv) A] to [S, H A].
Tensor attend_reference(const Tensor& qkv_SW, const RotaryTable& rotary, const AttentionShape& s) {
  const auto type = qkv_SW.scalar_type();
  const int64_t positions = qkv_SW.size(0);
  const auto parts = qkv_SW.view({1, positions, s.heads + 2 * s.kv_heads, s.head_size})
                         .split_with_sizes({s.heads, s.kv_heads, s.kv_heads}, 2);
  const auto heads_first = [&](const Tensor& x) {  // key/value heads are repeated for the queries that share them
    return x.repeat_interleave(s.heads / x.size(2), 2).transpose(1, 2);
  };
  const Tensor q = heads_first(rotate(parts[0], rotary)), k = heads_first(rotate(parts[1], rotary));
  const Tensor future = torch::ones({positions, positions}, torch::kBool).triu(1).to(qkv_SW.device());
  const Tensor scores = (q.matmul(k.transpose(2, 3)) / std::sqrt(double(s.head_size)))
                            .masked_fill(future, -std::numeric_limits<double>::infinity());
  const Tensor p = torch::softmax(scores.to(moe::wide(type)), -1).to(type);
  return p.matmul(heads_first(parts[2])).transpose(1, 2).reshape({positions, s.heads * s.head_size});
}

}  // namespace

Tensor causal_attention(const Tensor& qkv_TW, const RotaryTable& rotary, const AttentionShape& shape) {
  DSMOE_CHECK(qkv_TW.size(0) == shape.sequences.tokens(), "every token belongs to a sequence");
  if (moe::composed(qkv_TW)) return causal_attention_reference(qkv_TW, rotary, shape);
  const auto angles = [&](const Tensor& table) {
    return table.narrow(0, 0, shape.sequences.longest()).to(torch::kFloat32).contiguous();
  };
  return CausalAttention::apply(qkv_TW.contiguous(), angles(rotary.cos_SA), angles(rotary.sin_SA), shape);
}

Tensor causal_attention_reference(const Tensor& qkv_TW, const RotaryTable& rotary, const AttentionShape& s) {
  std::vector<Tensor> out;
  for (const Tensor& qkv_SW : qkv_TW.split_with_sizes(s.sequences.lengths())) {
    out.push_back(attend_reference(qkv_SW, rotary, s));
  }
  return torch::cat(out);
}

Tensor Attention::forward(const Tensor& x_TD, const Tensor& residual_TD, const moe::Sequences& sequences,
                          const RotaryTable& rotary) const {
  const AttentionShape shape{sequences, config_.num_attention_heads, config_.num_key_value_heads, config_.head_dim()};
  const Tensor qkv_TW = moe::linear(x_TD, qkv_);
  return moe::linear(causal_attention(qkv_TW, rotary, shape), out_, residual_TD);
}

}  // namespace dsmoe::model
