// Cross entropy of the output head, with its gradients, in one walk over the tokens: logits exist for a chunk of rows
// at a time, in the activations' type, and become their own gradient while they are at hand.
//
// Order of sums: a row's sum in lanes over ascending columns; the head's gradient over chunks in ascending order. Bits
// do not depend on threads.
#pragma once

#include <functional>

#include "base/parallel.h"
#include "kernels/panels.h"

namespace dsmoe::kernels {

/// Columns first .. first + count of a packed right operand.
struct HeadPart {
  int64_t first, count;
  const void* packed;
};
using HeadParts = std::function<void(const std::function<void(const HeadPart&)>& work)>;

/// loss[t] = log(sum over v of e^logit[t][v]) - logit[t][target[t]], logits = x head' rounded to `type`.
/// Gradients are those of scale * sum over t of loss[t].
struct HeadLoss {
  Number type = Number::kF32;  ///< of x, of the packed head, of logits and of grad_x
  int64_t tokens = 0, width = 0, vocabulary = 0;
  const void* x = nullptr;           ///< [T, D]
  const int64_t* targets = nullptr;  ///< [T]; below zero: no loss, no gradient, no work
  /// The head [V, D] packed Along::kOutput (k = D, n = V), and Along::kDepth (k = V, n = D): each is asked for once a
  /// chunk, in turns, and calls what it is given with all columns n in ascending parts. A part need not be there any
  /// more when the next one is.
  HeadParts head_forward = {}, head_backward = {};
  float scale = 1;
  float* losses = nullptr;     ///< [T]
  void* grad_x = nullptr;      ///< [T, D]; null: no gradients, and head_backward is not read
  float* grad_head = nullptr;  ///< [V, D]; null: not wanted
  void* logits = nullptr;      ///< room for [head_loss_rows(T), V] numbers
};

/// Rows of one chunk.
int64_t head_loss_rows(int64_t tokens);

void head_loss(const base::ParallelFor& parallel_for, const HeadLoss& h);
/// Reads the packed head too, but rounds no logit.
void head_loss_ref(const base::ParallelFor& parallel_for, const HeadLoss& h);

}  // namespace dsmoe::kernels
