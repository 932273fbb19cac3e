#include "model/attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "moe/rows.h"

namespace dsmoe::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Queries of one block. Larger blocks waste more above the diagonal, smaller ones make small products.
constexpr int64_t kBlock = 128;

/// Heads apart: N = B*Hkv independent problems of G query heads that share one key/value head.
struct Heads {
  Tensor q_NGSA, k_NSA, v_NSA;
};

/// Queries come out scaled by 1/sqrt(A): it costs nothing where they are turned anyway.
double query_scale(const AttentionShape& s) { return 1.0 / std::sqrt(static_cast<double>(s.head_size)); }

Heads split(const Tensor& qkv_TW, const RotaryTable& rotary, const AttentionShape& s) {
  const Tensor qkv = qkv_TW.view({s.batch, s.positions, s.heads + 2 * s.kv_heads, s.head_size});
  const int64_t problems = s.batch * s.kv_heads;
  const auto apart = [](const Tensor& x_BSHA) { return x_BSHA.transpose(1, 2); };
  return {apart(rotate(qkv.narrow(2, 0, s.heads), rotary, 1, query_scale(s)))
              .reshape({problems, s.group(), s.positions, s.head_size}),
          apart(rotate(qkv.narrow(2, s.heads, s.kv_heads), rotary, 1)).reshape({problems, s.positions, s.head_size}),
          apart(qkv.narrow(2, s.heads + s.kv_heads, s.kv_heads)).reshape({problems, s.positions, s.head_size})};
}

/// The way back for gradients: [T, W] from q, k (turned back) and v.
Tensor merge(const Heads& grad, const RotaryTable& rotary, const AttentionShape& s, torch::ScalarType type) {
  const auto together = [&](const Tensor& x, int64_t heads) {
    return x.reshape({s.batch, heads, s.positions, s.head_size}).transpose(1, 2);
  };
  Tensor out =
      torch::empty({s.batch, s.positions, s.heads + 2 * s.kv_heads, s.head_size}, grad.q_NGSA.options().dtype(type));
  out.narrow(2, 0, s.heads).copy_(rotate(together(grad.q_NGSA, s.heads), rotary, -1, query_scale(s)));
  out.narrow(2, s.heads, s.kv_heads).copy_(rotate(together(grad.k_NSA, s.kv_heads), rotary, -1));
  out.narrow(2, s.heads + s.kv_heads, s.kv_heads).copy_(together(grad.v_NSA, s.kv_heads));
  return out.view({s.batch * s.positions, s.width()});
}

/// One block of queries against all keys up to its end.
struct Block {
  Block(int64_t begin, const AttentionShape& s) : begin(begin), rows(std::min(kBlock, s.positions - begin)) {}
  int64_t keys() const { return begin + rows; }
  /// [N, G, S, ...] to [N, G*rows, ...] of this block's queries.
  Tensor queries(const Tensor& x_NGSA) const {
    return x_NGSA.narrow(2, begin, rows).reshape({x_NGSA.size(0), -1, x_NGSA.size(3)});
  }
  Tensor upto(const Tensor& x_NSA) const { return x_NSA.narrow(1, 0, keys()); }
  /// A product [N, G*rows, keys] with query heads apart: [B*H, rows, keys].
  Tensor by_head(const Tensor& product, const AttentionShape& s) const {
    return product.view({s.batch * s.heads, rows, keys()});
  }

  int64_t begin, rows;
};

/// body(first, count, p) for the query heads of a block: float32 p [count, rows, keys], the softmax of `scores`, zero
/// after the diagonal. Pieces of heads, so that a piece stays in a core's cache.
template <class Body>
void for_heads(const Block& block, const Tensor& scores, const Body& body) {
  const auto type = moe::wide(scores.scalar_type());
  const Tensor future = torch::ones({block.rows, block.rows}, torch::kBool).triu(1).to(scores.device());
  const int64_t per_piece = moe::rows_per_piece(block.rows * block.keys());
  moe::for_row_pieces(scores, scores.size(0), per_piece, [&](int64_t, int64_t begin, int64_t end) {
    Tensor values = scores.narrow(0, begin, end - begin).to(type, /*non_blocking=*/false, /*copy=*/true);
    values.narrow(2, block.begin, block.rows).masked_fill_(future, -std::numeric_limits<double>::infinity());
    body(begin, end - begin, torch::softmax(values, 2));
  });
}

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  static Tensor forward(AutogradContext* context, const Tensor& qkv_TW, const RotaryTable& rotary,
                        const AttentionShape& s) {
    const Heads h = split(qkv_TW, rotary, s);
    const Tensor out_NGSA = torch::empty_like(h.q_NGSA);
    for (int64_t begin = 0; begin < s.positions; begin += kBlock) {
      const Block block(begin, s);
      const Tensor scores = torch::bmm(block.queries(h.q_NGSA), block.upto(h.k_NSA).transpose(1, 2));
      const Tensor p = block.by_head(scores, s);
      for_heads(block, p,
                [&](int64_t first, int64_t count, const Tensor& values) { p.narrow(0, first, count).copy_(values); });
      out_NGSA.narrow(2, begin, block.rows)
          .copy_(torch::bmm(scores, block.upto(h.v_NSA)).view({-1, s.group(), block.rows, s.head_size}));
    }
    context->save_for_backward({qkv_TW, rotary.cos_SA, rotary.sin_SA, out_NGSA});
    context->saved_data["shape"] = std::vector<int64_t>{s.batch, s.positions, s.heads, s.kv_heads, s.head_size};
    return out_NGSA.view({s.batch, s.heads, s.positions, s.head_size})
        .transpose(1, 2)
        .reshape({s.batch * s.positions, s.heads * s.head_size});
  }

  // dV = P' dO; dS = P * (dO V' - delta) with delta = sum(dO * O); dQ = dS K; dK = dS' Q.
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto sizes = context->saved_data["shape"].toIntVector();
    const AttentionShape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]};
    const RotaryTable rotary{saved[1], saved[2]};
    const Tensor &qkv_TW = saved[0], &out_NGSA = saved[3];
    const Heads h = split(qkv_TW, rotary, s);
    const auto type = moe::wide(qkv_TW.scalar_type());
    const Tensor grad_out =
        gradients[0].reshape({s.batch, s.positions, s.heads, s.head_size}).transpose(1, 2).reshape(out_NGSA.sizes());
    const Tensor delta =
        (grad_out.to(type) * out_NGSA.to(type)).sum(3, /*keepdim=*/true).view({s.batch * s.heads, s.positions, 1});
    const auto options = qkv_TW.options().dtype(type);
    Heads grad{torch::empty(h.q_NGSA.sizes(), options), torch::zeros(h.k_NSA.sizes(), options),
               torch::zeros(h.v_NSA.sizes(), options)};
    for (int64_t begin = 0; begin < s.positions; begin += kBlock) {
      const Block block(begin, s);
      const Tensor q = block.queries(h.q_NGSA), k = block.upto(h.k_NSA), go = block.queries(grad_out);
      const Tensor scores = torch::bmm(q, k.transpose(1, 2));
      const Tensor grad_scores = torch::bmm(go, block.upto(h.v_NSA).transpose(1, 2));
      const Tensor p = block.by_head(scores, s), grad_p = block.by_head(grad_scores, s);
      for_heads(block, p, [&](int64_t first, int64_t count, const Tensor& values) {
        const Tensor grad_values = grad_p.narrow(0, first, count);
        const Tensor delta_rows = delta.narrow(0, first, count).narrow(1, begin, block.rows);
        grad_values.copy_((grad_values.to(type) - delta_rows).mul_(values));
        p.narrow(0, first, count).copy_(values);
      });
      grad.q_NGSA.narrow(2, begin, block.rows)
          .copy_(torch::bmm(grad_scores, k).view({-1, s.group(), block.rows, s.head_size}));
      block.upto(grad.k_NSA).add_(torch::bmm(grad_scores.transpose(1, 2), q));
      block.upto(grad.v_NSA).add_(torch::bmm(scores.transpose(1, 2), go));
    }
    return {merge(grad, rotary, s, qkv_TW.scalar_type()), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor causal_attention(const Tensor& qkv_TW, const RotaryTable& rotary, const AttentionShape& shape) {
  return CausalAttention::apply(qkv_TW.contiguous(), rotary, shape);
}

Tensor causal_attention_reference(const Tensor& qkv_TW, const RotaryTable& rotary, const AttentionShape& s) {
  const auto type = qkv_TW.scalar_type();
  const auto parts = qkv_TW.view({s.batch, s.positions, s.heads + 2 * s.kv_heads, s.head_size})
                         .split_with_sizes({s.heads, s.kv_heads, s.kv_heads}, 2);
  const auto heads_first = [&](const Tensor& x) {  // key/value heads are repeated for the queries that share them
    return x.repeat_interleave(s.heads / x.size(2), 2).transpose(1, 2);
  };
  const Tensor q = heads_first(rotate_reference(parts[0], rotary)), k = heads_first(rotate_reference(parts[1], rotary));
  const Tensor future = torch::ones({s.positions, s.positions}, torch::kBool).triu(1);
  const Tensor scores = (q.matmul(k.transpose(2, 3)) / std::sqrt(double(s.head_size)))
                            .masked_fill(future, -std::numeric_limits<double>::infinity());
  const Tensor p = torch::softmax(scores.to(moe::wide(type)), -1).to(type);
  return p.matmul(heads_first(parts[2])).transpose(1, 2).reshape({s.batch * s.positions, s.heads * s.head_size});
}

Tensor Attention::forward(const Tensor& x_TD, int64_t batch, const RotaryTable& rotary) const {
  const AttentionShape shape{batch, x_TD.size(0) / batch, config_.num_attention_heads, config_.num_key_value_heads,
                             config_.head_dim()};
  const Tensor qkv_TW = torch::linear(x_TD, qkv_->get(x_TD.scalar_type()));
  return torch::linear(causal_attention(qkv_TW, rotary, shape), out_->get(x_TD.scalar_type()));
}

}  // namespace dsmoe::model
