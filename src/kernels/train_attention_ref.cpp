// The reference of train_attention.h: loops to read, sums in double.
#include <cmath>
#include <vector>

#include "kernels/product.h"
#include "kernels/train_attention.h"

namespace dsmoe::kernels {
namespace {

using Head = std::vector<double>;  // [S, A]

double number_at(Number type, const void* data, int64_t i) {
  return type == Number::kF32 ? static_cast<const float*>(data)[i] : from_bf16(static_cast<const uint16_t*>(data)[i]);
}
void put_number(Number type, void* data, int64_t i, double value) {
  const auto narrow = static_cast<float>(value);
  if (type == Number::kF32) {
    static_cast<float*>(data)[i] = narrow;
  } else {
    static_cast<uint16_t*>(data)[i] = to_bf16(narrow);
  }
}

/// Where a head lies in rows of `width` elements.
struct Place {
  int64_t first_row, column, width;
};

Head read(const AttentionSequence& a, const void* data, const Place& place) {
  Head head(static_cast<size_t>(a.positions * a.head_size));
  for (int64_t s = 0; s < a.positions; ++s) {
    for (int64_t i = 0; i < a.head_size; ++i) {
      head[static_cast<size_t>(s * a.head_size + i)] =
          number_at(a.type, data, (place.first_row + s) * place.width + place.column + i);
    }
  }
  return head;
}
void write(const AttentionSequence& a, const Head& head, const Place& place, void* data) {
  for (int64_t s = 0; s < a.positions; ++s) {
    for (int64_t i = 0; i < a.head_size; ++i) {
      put_number(a.type, data, (place.first_row + s) * place.width + place.column + i,
                 head[static_cast<size_t>(s * a.head_size + i)]);
    }
  }
}

void turn(const AttentionSequence& a, double scale, double direction, Head& head) {
  const int64_t half = a.head_size / 2;
  for (int64_t s = 0; s < a.positions; ++s) {
    for (int64_t i = 0; i < half; ++i) {
      double &low = head[static_cast<size_t>(s * a.head_size + i)],
             &high = head[static_cast<size_t>(s * a.head_size + i + half)];
      const double c = a.cosines[s * half + i], sine = direction * a.sines[s * half + i];
      const double turned_low = scale * (low * c - high * sine);
      high = scale * (high * c + low * sine);
      low = turned_low;
    }
  }
}

/// One query head with the key/value head it uses.
struct Parts {
  Place q_at, k_at, v_at, out_at;
  Head q, k, v;
};
double scale_of(const AttentionSequence& a) { return 1 / std::sqrt(static_cast<double>(a.head_size)); }

Parts parts_of(const AttentionSequence& a, int64_t head) {
  const int64_t row = a.first_row, kv = head / a.group(), size = a.head_size;
  Parts parts{{row, head * size, a.width()},
              {row, (a.heads + kv) * size, a.width()},
              {row, (a.heads + a.kv_heads + kv) * size, a.width()},
              {row, head * size, a.heads * size},
              {},
              {},
              {}};
  parts.q = read(a, a.qkv, parts.q_at), parts.k = read(a, a.qkv, parts.k_at), parts.v = read(a, a.qkv, parts.v_at);
  turn(a, scale_of(a), 1, parts.q);
  turn(a, 1, 1, parts.k);
  return parts;
}

double dot(const AttentionSequence& a, const Head& x, int64_t i, const Head& y, int64_t j) {
  double sum = 0;
  for (int64_t d = 0; d < a.head_size; ++d) {
    sum += x[static_cast<size_t>(i * a.head_size + d)] * y[static_cast<size_t>(j * a.head_size + d)];
  }
  return sum;
}
void add(const AttentionSequence& a, double factor, const Head& x, int64_t i, Head& y, int64_t j) {
  for (int64_t d = 0; d < a.head_size; ++d) {
    y[static_cast<size_t>(j * a.head_size + d)] += factor * x[static_cast<size_t>(i * a.head_size + d)];
  }
}

/// Probabilities of row i over keys 0 .. i, and the logarithm of the sum that made them.
std::vector<double> probabilities(const AttentionSequence& a, const Parts& parts, int64_t i, double& log_sum) {
  std::vector<double> p(static_cast<size_t>(i + 1));
  double top = -INFINITY, total = 0;
  for (int64_t j = 0; j <= i; ++j) top = std::max(top, p[static_cast<size_t>(j)] = dot(a, parts.q, i, parts.k, j));
  for (double& value : p) total += value = std::exp(value - top);
  for (double& value : p) value /= total;
  log_sum = top + std::log(total);
  return p;
}

}  // namespace

void attention_forward_ref(const base::ParallelFor& parallel_for, const TrainAttention& call) {
  parallel_for(call.sequences() * call.heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const AttentionSequence a(call, item / call.heads);
      const int64_t head = item % call.heads;
      const Parts parts = parts_of(a, head);
      Head out(parts.q.size(), 0.0);
      for (int64_t i = 0; i < a.positions; ++i) {
        double log_sum;
        const auto p = probabilities(a, parts, i, log_sum);
        for (int64_t j = 0; j <= i; ++j) add(a, p[static_cast<size_t>(j)], parts.v, j, out, i);
        a.log_sums(head)[i] = static_cast<float>(log_sum);
      }
      write(a, out, parts.out_at, a.out);
    }
  });
}

void attention_backward_ref(const base::ParallelFor& parallel_for, const TrainAttention& call, const void* grad_out,
                            void* grad_qkv) {
  parallel_for(call.sequences() * call.kv_heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const AttentionSequence a(call, item / call.kv_heads);
      const int64_t first = item % call.kv_heads * call.group();
      Head grad_k(static_cast<size_t>(a.positions * a.head_size), 0.0), grad_v = grad_k;
      for (int64_t head = first; head < first + a.group(); ++head) {
        const Parts parts = parts_of(a, head);
        const Head grad = read(a, grad_out, parts.out_at);
        Head grad_q(grad_k.size(), 0.0);
        for (int64_t i = 0; i < a.positions; ++i) {
          double log_sum, delta = 0;
          const auto p = probabilities(a, parts, i, log_sum);
          for (int64_t j = 0; j <= i; ++j) delta += p[static_cast<size_t>(j)] * dot(a, grad, i, parts.v, j);
          for (int64_t j = 0; j <= i; ++j) {
            const double pj = p[static_cast<size_t>(j)], grad_score = pj * (dot(a, grad, i, parts.v, j) - delta);
            add(a, pj, grad, i, grad_v, j);
            add(a, grad_score, parts.k, j, grad_q, i);
            add(a, grad_score, parts.q, i, grad_k, j);
          }
        }
        turn(a, scale_of(a), -1, grad_q);
        write(a, grad_q, parts.q_at, grad_qkv);
      }
      const Parts parts = parts_of(a, first);
      turn(a, 1, -1, grad_k);
      write(a, grad_k, parts.k_at, grad_qkv);
      write(a, grad_v, parts.v_at, grad_qkv);
    }
  });
}

}  // namespace dsmoe::kernels
