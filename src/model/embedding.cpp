#include "model/embedding.h"

#include <torch/csrc/autograd/custom_function.h>

#include <bit>

#include "base/part_clock.h"
#include "kernels/product.h"
#include "moe/composed.h"
#include "moe/linear.h"
#include "moe/parallel.h"

namespace dsmoe::model {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kTokensPerChunk = 256;
constexpr int64_t kColumnsPerChunk = 64;  // of the table; one chunk walks all tokens, so their order is fixed

float value(const float* row, int64_t i) { return row[i]; }
float value(const c10::BFloat16* row, int64_t i) { return std::bit_cast<float>(uint32_t{row[i].x} << 16); }

template <class Number>
void add_rows(const Tensor& grad_TD, const int64_t* ids, float* sink) {
  const auto* grad = grad_TD.data_ptr<Number>();
  const int64_t tokens = grad_TD.size(0), width = grad_TD.size(1);
  moe::torch_parallel_for()(width, kColumnsPerChunk, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < tokens; ++t) {
      const Number* from = grad + t * width;
      float* to = sink + ids[t] * width;
      for (int64_t i = begin; i < end; ++i) to[i] += value(from, i);
    }
  });
}

struct Embed : torch::autograd::Function<Embed> {
  static Tensor forward(AutogradContext* context, const Tensor& ids_T, const Tensor& table_VD,
                        const c10::intrusive_ptr<moe::KeptWeights>& kept, torch::ScalarType type) {
    const base::Part part("embedding");
    const int64_t tokens = ids_T.size(0), width = table_VD.size(1);
    const Tensor out_TD = torch::empty({tokens, width}, torch::dtype(type));
    const auto* ids = ids_T.data_ptr<int64_t>();
    const auto* table = table_VD.data_ptr<float>();
    moe::torch_parallel_for()(tokens, kTokensPerChunk, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        const float* from = table + ids[t] * width;
        if (type == torch::kFloat) {
          std::copy(from, from + width, out_TD.data_ptr<float>() + t * width);
        } else {
          auto* to = static_cast<uint16_t*>(out_TD.data_ptr()) + t * width;
          for (int64_t i = 0; i < width; ++i) to[i] = kernels::to_bf16(from[i]);
        }
      }
    });
    context->save_for_backward({ids_T});
    context->saved_data["kept"] = c10::IValue::make_capsule(kept);
    return out_TD;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const base::Part part("embedding");
    const Tensor ids_T = context->get_saved_variables()[0], grad_TD = gradients[0].contiguous();
    const auto kept = c10::static_intrusive_pointer_cast<moe::KeptWeights>(context->saved_data["kept"].toCapsule());
    Tensor sink = kept->weights[0]->gradient_sink(), returned;
    if (!sink.defined()) sink = returned = torch::zeros(kept->weights[0]->sizes(), torch::dtype(torch::kFloat));
    const auto* ids = ids_T.data_ptr<int64_t>();
    if (grad_TD.scalar_type() == torch::kFloat) {
      add_rows<float>(grad_TD, ids, sink.data_ptr<float>());
    } else {
      add_rows<c10::BFloat16>(grad_TD, ids, sink.data_ptr<float>());
    }
    return {Tensor(), returned, Tensor(), Tensor()};
  }
};

}  // namespace

Tensor embed(const Tensor& ids_T, const moe::WeightPtr& table_VD, torch::ScalarType type) {
  const Tensor table = table_VD->graph();
  const bool kernels = table.defined() && table.scalar_type() == torch::kFloat && table.is_contiguous() &&
                       !moe::composed(table) && (type == torch::kFloat || type == torch::kBFloat16);
  if (!kernels) return embed_reference(ids_T, table_VD, type);
  return Embed::apply(ids_T.contiguous(), table, c10::make_intrusive<moe::KeptWeights>(std::vector{table_VD}), type);
}

Tensor embed_reference(const Tensor& ids_T, const moe::WeightPtr& table_VD, torch::ScalarType type) {
  return table_VD->rows_at(ids_T, type);
}

}  // namespace dsmoe::model
