// A folder quantised as it is opened: the GGUF file of it, written to memory instead of a disk.
#pragma once

#include "quantize/export.h"

namespace dsmoe::quantize {

/// The same weights as the file that export_gguf() writes with these options. Throws Error(kInvalid) with the figures
/// where they do not fit the memory that is available.
formats::GgufModel quantised_in_memory(const formats::ModelFolder& folder, const ExportOptions& options);

}  // namespace dsmoe::quantize
