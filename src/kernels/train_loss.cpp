#include "kernels/train_loss.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "kernels/isa.h"
#include "kernels/product.h"

namespace dsmoe::kernels {
namespace {

// Large enough that adding to the head's gradient once a chunk costs little beside the product.
constexpr int64_t kChunk = 1024;
constexpr int64_t kRowsPerItem = 4;

std::byte* at(void* data, Number type, int64_t element) {
  return static_cast<std::byte*>(data) + element * number_bytes(type);
}

float number_at(Number type, const void* data, int64_t i) {
  return type == Number::kF32 ? static_cast<const float*>(data)[i] : from_bf16(static_cast<const uint16_t*>(data)[i]);
}

/// Losses of some rows of a chunk; with gradients, logits become them.
void finish_rows(const HeadLoss& h, const int32_t* tokens, int64_t begin, int64_t end) {
  const auto type = static_cast<size_t>(h.type);
  const TrainTable& table = kernels().train;
  for (int64_t i = begin; i < end; ++i) {
    void* row = at(h.logits, h.type, i * h.vocabulary);
    const int64_t target = h.targets[tokens[i]];
    float top, total;
    table.exponential_sum[type](row, h.vocabulary, &top, &total);
    const float log_sum = top + std::log(total), logit = number_at(h.type, row, target);
    h.losses[tokens[i]] = log_sum - logit;
    if (!h.grad_x) continue;
    table.softmax_grad_row[type](row, h.vocabulary, log_sum, h.scale);
    const float gradient = (std::exp(logit - log_sum) - 1) * h.scale;
    if (h.type == Number::kF32) {
      static_cast<float*>(row)[target] = gradient;
    } else {
      static_cast<uint16_t*>(row)[target] = to_bf16(gradient);
    }
  }
}

/// Gradients of a chunk from what its logits have become.
void add_gradients(const base::ParallelFor& parallel_for, const HeadLoss& h, const int32_t* tokens, int64_t rows,
                   bool first) {
  h.head_backward([&](const HeadPart& part) {
    PanelProduct to_x;
    to_x.m = rows, to_x.n = part.count, to_x.k = h.vocabulary;
    to_x.left = {h.logits, h.vocabulary, nullptr};
    to_x.right = part.packed;
    to_x.out = at(h.grad_x, h.type, part.first), to_x.out_stride = h.width, to_x.out_index = tokens;
    to_x.out_type = h.type;
    PanelProduct to_head;  // once
    to_head.m = h.vocabulary, to_head.n = h.width, to_head.k = rows;
    to_head.left = {h.logits, h.vocabulary, nullptr}, to_head.left_along = Along::kDepth;
    to_head.right_rows = {h.x, h.width, tokens};
    to_head.epilogue = first ? Epilogue::kStore : Epilogue::kAdd;
    to_head.out = h.grad_head, to_head.out_stride = h.width;
    const PanelProduct both[] = {to_x, to_head};
    panel_products(parallel_for, h.type, {both, h.grad_head && part.first == 0 ? size_t{2} : size_t{1}});
  });
}

}  // namespace

int64_t head_loss_rows(int64_t tokens) { return std::min(tokens, kChunk); }

void head_loss(const base::ParallelFor& parallel_for, const HeadLoss& h) {
  std::vector<int32_t> active;
  for (int64_t t = 0; t < h.tokens; ++t) {
    DSMOE_CHECK(h.targets[t] < h.vocabulary, "targets lie in the vocabulary");
    if (h.targets[t] >= 0) {
      active.push_back(static_cast<int32_t>(t));
      continue;
    }
    h.losses[t] = 0;
    if (h.grad_x)
      std::memset(at(h.grad_x, h.type, t * h.width), 0, static_cast<size_t>(h.width * number_bytes(h.type)));
  }
  const auto count = static_cast<int64_t>(active.size());
  if (count == 0 && h.grad_head) std::fill_n(h.grad_head, h.vocabulary * h.width, 0.0f);
  for (int64_t begin = 0; begin < count; begin += kChunk) {
    const int32_t* tokens = active.data() + begin;
    const int64_t rows = std::min(kChunk, count - begin);
    h.head_forward([&](const HeadPart& part) {
      PanelProduct product;
      product.m = rows, product.n = part.count, product.k = h.width;
      product.left = {h.x, h.width, tokens};
      product.right = part.packed;
      product.out = at(h.logits, h.type, part.first), product.out_stride = h.vocabulary, product.out_type = h.type;
      panel_products(parallel_for, h.type, {&product, 1});
    });
    parallel_for(rows, kRowsPerItem, [&](int64_t first, int64_t last) { finish_rows(h, tokens, first, last); });
    if (h.grad_x) add_gradients(parallel_for, h, tokens, rows, begin == 0);
  }
}

void head_loss_ref(const base::ParallelFor& parallel_for, const HeadLoss& h) {
  const auto number = [&](const void* data, int64_t i) { return double{number_at(h.type, data, i)}; };
  const int64_t D = h.width, V = h.vocabulary, even = (D + 1) / 2 * 2;
  std::vector<std::byte> head_values(static_cast<size_t>(packed_numbers(D, V) * number_bytes(h.type)));
  h.head_forward([&](const HeadPart& part) {
    std::memcpy(at(head_values.data(), h.type, packed_numbers(D, part.first)), part.packed,
                static_cast<size_t>(packed_numbers(D, part.count) * number_bytes(h.type)));
  });
  const void* packed = head_values.data();
  const auto head = [&](int64_t v, int64_t d) {  // the layout of panels.h
    const int64_t panel = v / kPanel * kPanel * even, column = v % kPanel;
    return number(
        packed, h.type == Number::kF32 ? panel + d * kPanel + column : panel + d / 2 * 2 * kPanel + 2 * column + d % 2);
  };
  std::vector<double> grad_head(h.grad_head ? static_cast<size_t>(V * D) : 0), p(static_cast<size_t>(V)),
      grad(static_cast<size_t>(D));
  const auto walk = [&](int64_t t) {
    std::fill(grad.begin(), grad.end(), 0.0);
    h.losses[t] = 0;
    if (h.targets[t] >= 0) {
      double total = 0;
      for (int64_t v = 0; v < V; ++v) {
        double& logit = p[static_cast<size_t>(v)] = 0;
        for (int64_t d = 0; d < D; ++d) logit += number(h.x, t * D + d) * head(v, d);
      }
      const double top = *std::max_element(p.begin(), p.end());
      for (const double logit : p) total += std::exp(logit - top);
      h.losses[t] = static_cast<float>(top + std::log(total) - p[static_cast<size_t>(h.targets[t])]);
      for (int64_t v = 0; v < V; ++v) {
        const double g = (std::exp(p[static_cast<size_t>(v)] - top) / total - (v == h.targets[t])) * h.scale;
        for (int64_t d = 0; d < D; ++d) {
          grad[static_cast<size_t>(d)] += g * head(v, d);
          if (h.grad_head) grad_head[static_cast<size_t>(v * D + d)] += g * number(h.x, t * D + d);
        }
      }
    }
    for (int64_t d = 0; h.grad_x && d < D; ++d) {
      const auto value = static_cast<float>(grad[static_cast<size_t>(d)]);
      if (h.type == Number::kF32) {
        static_cast<float*>(h.grad_x)[t * D + d] = value;
      } else {
        static_cast<uint16_t*>(h.grad_x)[t * D + d] = to_bf16(value);
      }
    }
  };
  parallel_for(h.tokens, std::max<int64_t>(1, h.tokens), [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) walk(t);
  });
  std::transform(grad_head.begin(), grad_head.end(), h.grad_head, [](double x) { return static_cast<float>(x); });
}

}  // namespace dsmoe::kernels
