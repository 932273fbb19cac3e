// Which instruction set the kernels run on. One binary holds all; the best that the machine has is taken at first use,
// or the one that DSMOE_ISA (scalar, avx2, avx512, avx512bf16) names.
#pragma once

#include <string_view>
#include <vector>

#include "kernels/table.h"

namespace dsmoe::kernels {

/// kAvx512Bf16 adds the dot products of BF16 and VNNI.
enum class Isa { kScalar, kAvx2, kAvx512, kAvx512Bf16 };

std::string_view isa_name(Isa isa);
/// The sets this machine can run, from plain to best; kScalar is always there.
std::vector<Isa> available_isas();
/// The set of that name, or the best for an empty one. Throws Error(kInvalid) where it is unknown or cannot run here.
Isa isa_from(std::string_view name);
/// The set in use. The first call takes isa_from(DSMOE_ISA).
Isa active_isa();
/// Switches all kernels of the process; for tests and benches, between calls. Throws Error(kInvalid) when the machine
/// cannot run it.
void use_isa(Isa isa);
/// The active row of functions.
const KernelTable& kernels();

}  // namespace dsmoe::kernels
