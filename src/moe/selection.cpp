#include "moe/selection.h"

#include <torch/csrc/autograd/custom_function.h>

#include "base/error.h"
#include "base/part_clock.h"
#include "kernels/topk.h"
#include "kernels/train_gate.h"
#include "moe/composed.h"
#include "moe/linear.h"
#include "moe/parallel.h"

namespace dsmoe::moe {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The kernels here know float32 alone.
bool on_kernels(const Tensor& x) { return !composed(x) && x.scalar_type() == torch::kFloat; }

const float* floats(const Tensor& x) { return x.defined() ? x.data_ptr<float>() : nullptr; }
Tensor contiguous(const Tensor& x) { return x.defined() ? x.contiguous() : x; }

struct Choice : torch::autograd::Function<Choice> {
  static variable_list forward(AutogradContext* context, const Tensor& logits_TE, int64_t chosen) {
    const base::Part part("gate and balance");
    const Tensor scores_TE = torch::empty_like(logits_TE);
    const Tensor values_TK = torch::empty({logits_TE.size(0), chosen}, logits_TE.options());
    const Tensor experts_TK = torch::empty(values_TK.sizes(), torch::kInt64);
    kernels::gate_rows(torch_parallel_for(),
                       {logits_TE.size(0), logits_TE.size(1), chosen, floats(logits_TE), scores_TE.data_ptr<float>(),
                        experts_TK.data_ptr<int64_t>(), values_TK.data_ptr<float>()});
    context->mark_non_differentiable({experts_TK});
    context->set_materialize_grads(false);
    context->save_for_backward({scores_TE, experts_TK});
    return {scores_TE, values_TK, experts_TK};
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const base::Part part("gate and balance");
    const auto saved = context->get_saved_variables();
    const Tensor &scores_TE = saved[0], &experts_TK = saved[1];
    const Tensor grad_scores = contiguous(gradients[0]), grad_values = contiguous(gradients[1]);
    const Tensor grad_logits_TE = torch::empty_like(scores_TE);
    kernels::GateRows gate;
    gate.tokens = scores_TE.size(0), gate.experts = scores_TE.size(1), gate.chosen = experts_TK.size(1);
    gate.scores = scores_TE.data_ptr<float>(), gate.best = experts_TK.data_ptr<int64_t>();
    kernels::gate_rows_backward(torch_parallel_for(), gate,
                                {floats(grad_scores), floats(grad_values), grad_logits_TE.data_ptr<float>()});
    return {grad_logits_TE, Tensor()};
  }
};

struct SumByScope : torch::autograd::Function<SumByScope> {
  static Tensor forward(AutogradContext* context, const Tensor& x_TE, const OptionalTensor& mask_T,
                        const std::vector<int64_t>& begins) {
    const base::Part part("gate and balance");
    const Tensor sums_BE = torch::empty({std::ssize(begins) - 1, x_TE.size(1)}, x_TE.options());
    kernels::scope_sums(torch_parallel_for(), {begins, x_TE.size(1), mask_T ? mask_T->data_ptr<bool>() : nullptr},
                        floats(x_TE), sums_BE.data_ptr<float>());
    context->save_for_backward({mask_T ? *mask_T : Tensor()});
    context->saved_data["begins"] = begins;
    return sums_BE;
  }
  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const base::Part part("gate and balance");
    const Tensor mask_T = context->get_saved_variables()[0], grad_BE = gradients[0].contiguous();
    const std::vector<int64_t> begins = context->saved_data["begins"].toIntVector();
    const Tensor grad_x_TE = torch::empty({begins.back(), grad_BE.size(1)}, grad_BE.options());
    kernels::scope_sums_backward(torch_parallel_for(),
                                 {begins, grad_BE.size(1), mask_T.defined() ? mask_T.data_ptr<bool>() : nullptr},
                                 floats(grad_BE), grad_x_TE.data_ptr<float>());
    return {grad_x_TE, Tensor(), Tensor()};
  }
};

}  // namespace

SoftmaxChoice softmax_choice(const Tensor& logits_TE, int64_t chosen) {
  if (!on_kernels(logits_TE)) return softmax_choice_reference(logits_TE, chosen);
  const auto outputs = Choice::apply(logits_TE.contiguous(), chosen);
  return {outputs[0], outputs[1], outputs[2]};
}

SoftmaxChoice softmax_choice_reference(const Tensor& logits_TE, int64_t chosen) {
  SoftmaxChoice choice{torch::softmax(logits_TE, -1), {}, {}};
  choice.experts_TK = std::get<1>(choice.scores_TE.detach().topk(chosen, -1));
  choice.values_TK = choice.scores_TE.gather(1, choice.experts_TK);
  return choice;
}

Tensor best_experts(const Tensor& ranking, int64_t chosen) {
  const torch::NoGradGuard no_grad;
  if (!on_kernels(ranking)) return std::get<1>(ranking.topk(chosen, -1));
  const Tensor ranking_TE = ranking.contiguous();
  const Tensor experts_TK = torch::empty({ranking_TE.size(0), chosen}, torch::kInt64);
  const auto experts = static_cast<size_t>(ranking_TE.size(1));
  torch_parallel_for()(ranking_TE.size(0), 64, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> ids(static_cast<size_t>(chosen));
    for (int64_t t = begin; t < end; ++t) {
      kernels::top_k({floats(ranking_TE) + t * ranking_TE.size(1), experts}, ids);
      std::copy(ids.begin(), ids.end(), experts_TK.data_ptr<int64_t>() + t * chosen);
    }
  });
  return experts_TK;
}

Tensor sum_by_scope(const Tensor& x_TE, const Tensor& mask_T, const Sequences& scopes) {
  DSMOE_CHECK(scopes.tokens() == x_TE.size(0), "every token has a scope");
  if (!on_kernels(x_TE)) return sum_by_scope_reference(x_TE, mask_T, scopes);
  return SumByScope::apply(x_TE.contiguous(), optional_of(contiguous(mask_T)), scopes.begins());
}

Tensor sum_by_scope_reference(const Tensor& x_TE, const Tensor& mask_T, const Sequences& scopes) {
  const Tensor real_TE = mask_T.defined() ? x_TE * mask_T.to(x_TE.scalar_type()).unsqueeze(1) : x_TE;
  std::vector<Tensor> sums;
  for (const Tensor& part : real_TE.split_with_sizes(scopes.lengths())) sums.push_back(part.sum(0));
  return torch::stack(sums);
}

}  // namespace dsmoe::moe
