// Memory of tensors, used again from step to step.
//
// A training step asks for the same sizes over and over. The system's allocator hands large blocks back to the kernel
// and gets them again as untouched pages, each of which costs a fault and a clearing; here a freed block waits for the
// next tensor of about its size. Large blocks ask for huge pages, which spare a walk of page tables to kernels that
// stride over hundreds of megabytes.
#pragma once

namespace dsmoe::train {

/// Makes every CPU tensor of the process from now on take its memory here. Call before the first tensor is made.
void keep_tensor_memory();

}  // namespace dsmoe::train
