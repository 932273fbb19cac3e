// Which of an operation's two expressions runs: our kernels, or LibTorch's own words, which are their definition.
#pragma once

#include <torch/types.h>

#include <cstdlib>
#include <string_view>

namespace dsmoe::moe {

/// True where an operation on x must take its LibTorch expression: on a device that is not a CPU, in a type that the
/// kernels have not (float64 of gradient tests), and wherever DSMOE_COMPOSED=1 asks for it.
inline bool composed(const torch::Tensor& x) {
  const auto type = x.scalar_type();
  if (!x.is_cpu() || (type != torch::kFloat32 && type != torch::kBFloat16)) return true;
  const char* wanted = std::getenv("DSMOE_COMPOSED");
  return wanted != nullptr && std::string_view(wanted) == "1";
}

}  // namespace dsmoe::moe
