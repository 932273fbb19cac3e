// How much memory the machine has.
#pragma once

#include <cstdint>

namespace dsmoe::base {

/// All of it, in bytes.
uint64_t physical_memory();
/// What programs may still take without others being swapped out, as the kernel estimates it; all of it where the
/// kernel does not say.
uint64_t available_memory();

}  // namespace dsmoe::base
