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

Heads split(const Tensor& qkv_TW, const RotaryTable& rotary, const AttentionShape& s) {
  const int64_t turned = (s.heads + s.kv_heads) * s.head_size;
  const auto heads_of = [&](const Tensor& x, int64_t first, int64_t heads) {
    return x.narrow(2, first, heads).permute({0, 2, 1, 3});
  };
  const Tensor qkv = qkv_TW.view({s.batch, s.positions, s.heads + 2 * s.kv_heads, s.head_size});
  const Tensor qk =
      rotate(qkv_TW.narrow(1, 0, turned).view({s.batch, s.positions, s.heads + s.kv_heads, s.head_size}), rotary, 1);
  const int64_t problems = s.batch * s.kv_heads;
  return {heads_of(qk, 0, s.heads).reshape({problems, s.group(), s.positions, s.head_size}),
          heads_of(qk, s.heads, s.kv_heads).reshape({problems, s.positions, s.head_size}),
          heads_of(qkv, s.heads + s.kv_heads, s.kv_heads).reshape({problems, s.positions, s.head_size})};
}

/// The way back for gradients: [T, W] from q, k (turned back) and v.
Tensor merge(const Heads& grad, const RotaryTable& rotary, const AttentionShape& s, torch::ScalarType type) {
  const auto rows_of = [&](const Tensor& x, int64_t heads) {
    return x.reshape({s.batch, heads, s.positions, s.head_size}).permute({0, 2, 1, 3});
  };
  Tensor out =
      torch::empty({s.batch, s.positions, s.heads + 2 * s.kv_heads, s.head_size}, grad.q_NGSA.options().dtype(type));
  out.narrow(2, 0, s.heads).copy_(rotate(rows_of(grad.q_NGSA, s.heads), rotary, -1));
  out.narrow(2, s.heads, s.kv_heads).copy_(rotate(rows_of(grad.k_NSA, s.kv_heads), rotary, -1));
  out.narrow(2, s.heads + s.kv_heads, s.kv_heads).copy_(rows_of(grad.v_NSA, s.kv_heads));
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

  int64_t begin, rows;
};

/// body(head, scores) for every query head of a block: float32 scores [heads, rows, keys], scaled, -inf after the
/// diagonal. Pieces of heads, so that a piece stays in a core's cache.
template <class Body>
void for_heads(const Block& block, const Tensor& product, const AttentionShape& s, const Body& body) {
  const int64_t heads = s.batch * s.heads;
  const Tensor scores = product.view({heads, block.rows, block.keys()});
  const auto type = moe::wide(product.scalar_type());
  const Tensor future = torch::ones({block.rows, block.rows}, torch::kBool).triu(1).to(product.device());
  const int64_t per_piece = moe::rows_per_piece(block.rows * block.keys());
  moe::for_row_pieces(product, heads, per_piece, [&](int64_t, int64_t begin, int64_t end) {
    Tensor wide_scores = scores.narrow(0, begin, end - begin).to(type) * (1.0 / std::sqrt(double(s.head_size)));
    wide_scores.narrow(2, block.begin, block.rows).masked_fill_(future, -std::numeric_limits<double>::infinity());
    body(begin, end - begin, wide_scores);
  });
}

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  static Tensor forward(AutogradContext* context, const Tensor& qkv_TW, const RotaryTable& rotary,
                        const AttentionShape& s) {
    const Heads h = split(qkv_TW, rotary, s);
    const auto type = moe::wide(qkv_TW.scalar_type());
    // lse: the logarithm of each query's softmax denominator.
    const Tensor lse = torch::empty({s.batch * s.heads, s.positions, 1}, qkv_TW.options().dtype(type));
    const Tensor out_NGSA = torch::empty_like(h.q_NGSA);
    for (int64_t begin = 0; begin < s.positions; begin += kBlock) {
      const Block block(begin, s);
      const Tensor scores = torch::bmm(block.queries(h.q_NGSA), block.upto(h.k_NSA).transpose(1, 2));
      const Tensor heads = scores.view({s.batch * s.heads, block.rows, block.keys()});
      for_heads(block, scores, s, [&](int64_t first, int64_t count, Tensor& wide_scores) {
        const Tensor sum = wide_scores.logsumexp(2, /*keepdim=*/true);
        lse.narrow(0, first, count).narrow(1, begin, block.rows).copy_(sum);
        heads.narrow(0, first, count).copy_(wide_scores.sub_(sum).exp_());
      });
      out_NGSA.narrow(2, begin, block.rows)
          .copy_(torch::bmm(scores, block.upto(h.v_NSA)).view({-1, s.group(), block.rows, s.head_size}));
    }
    context->save_for_backward({qkv_TW, rotary.cos_SA, rotary.sin_SA, lse, out_NGSA});
    context->saved_data["shape"] = std::vector<int64_t>{s.batch, s.positions, s.heads, s.kv_heads, s.head_size};
    return out_NGSA.view({s.batch, s.heads, s.positions, s.head_size})
        .permute({0, 2, 1, 3})
        .reshape({s.batch * s.positions, s.heads * s.head_size});
  }

  // dV = P' dO; dS = P * (dO V' - delta) * scale with delta = sum(dO * O); dQ = dS K; dK = dS' Q.
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto sizes = context->saved_data["shape"].toIntVector();
    const AttentionShape s{sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]};
    const RotaryTable rotary{saved[1], saved[2]};
    const Tensor &qkv_TW = saved[0], &lse = saved[3], &out_NGSA = saved[4];
    const Heads h = split(qkv_TW, rotary, s);
    const auto type = moe::wide(qkv_TW.scalar_type());
    const Tensor grad_out = gradients[0]
                                .reshape({s.batch, s.positions, s.heads, s.head_size})
                                .permute({0, 2, 1, 3})
                                .reshape(out_NGSA.sizes());
    const Tensor delta =
        (grad_out.to(type) * out_NGSA.to(type)).sum(3, /*keepdim=*/true).view({s.batch * s.heads, s.positions, 1});
    const auto options = qkv_TW.options().dtype(type);
    Heads grad{torch::empty(h.q_NGSA.sizes(), options), torch::zeros(h.k_NSA.sizes(), options),
               torch::zeros(h.v_NSA.sizes(), options)};
    for (int64_t begin = 0; begin < s.positions; begin += kBlock) {
      const Block block(begin, s);
      const Tensor q = block.queries(h.q_NGSA), k = block.upto(h.k_NSA), go = block.queries(grad_out);
      const Tensor scores = torch::bmm(q, k.transpose(1, 2));
      const Tensor grad_p = torch::bmm(go, block.upto(h.v_NSA).transpose(1, 2));
      const Tensor p_heads = scores.view({s.batch * s.heads, block.rows, block.keys()});
      const Tensor grad_heads = grad_p.view(p_heads.sizes());
      const auto of_block = [&](const Tensor& x, int64_t first, int64_t count) {
        return x.narrow(0, first, count).narrow(1, begin, block.rows);
      };
      for_heads(block, scores, s, [&](int64_t first, int64_t count, Tensor& p) {
        p.sub_(of_block(lse, first, count)).exp_();
        Tensor grad_s = grad_heads.narrow(0, first, count).to(type) - of_block(delta, first, count);
        grad_heads.narrow(0, first, count).copy_(grad_s.mul_(p).mul_(1.0 / std::sqrt(double(s.head_size))));
        p_heads.narrow(0, first, count).copy_(p);
      });
      grad.q_NGSA.narrow(2, begin, block.rows)
          .copy_(torch::bmm(grad_p, k).view({-1, s.group(), block.rows, s.head_size}));
      block.upto(grad.k_NSA).add_(torch::bmm(grad_p.transpose(1, 2), q));
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
