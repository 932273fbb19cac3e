// For tests: small models as GGUF files, with keys, tensors and values changed.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "formats/gguf_model.h"
#include "formats/gguf_tokenizer.h"
#include "formats/test_models.h"

namespace dsmoe::formats {

/// What a test changes of a file before it is written.
struct Changes {
  std::function<void(GgufMetadata&)> keys = [](GgufMetadata&) {};
  std::function<void(std::vector<GgufDeclaration>&)> tensors = [](auto&) {};
  std::function<void(GgufMetadata&, const spec::ModelConfig&, GgufArch)> model_keys = add_model_keys;
  std::map<std::string, std::vector<float>> values = {};  ///< of tensors by name
};

/// A file of the model in F32; every value is its tensor's number plus 1/1024 of its place.
inline void write_gguf_model(const base::fs::path& path, const spec::ModelConfig& config, const Changes& changes = {},
                             std::string_view arch_name = {}) {
  const GgufArch arch = gguf_arch_for(config, arch_name);
  GgufMetadata metadata;
  changes.model_keys(metadata, config, arch);
  if (arch != GgufArch::kDsmoe) add_no_tokenizer_keys(metadata, config.bos_token_id, config.eos_token_id);
  changes.keys(metadata);
  std::vector<GgufDeclaration> tensors;
  for (const GgufTensorPlan& plan : gguf_tensors(config)) {
    const bool table = plan.role == spec::TensorRole::kHashTable;
    tensors.push_back({plan.name, table ? GgufType::kI32 : GgufType::kF32, plan.shape});
  }
  changes.tensors(tensors);
  GgufWriter writer(path, metadata, tensors, base::unsynced_files);
  for (size_t t = 0; t < tensors.size(); ++t) {
    const size_t count = tensors[t].bytes() / 4;
    if (tensors[t].type == GgufType::kI32) {
      const std::vector<int32_t> ids(count, 1);
      writer.append(std::as_bytes(std::span(ids)));
    } else {
      std::vector<float> values(count);
      for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(t) + static_cast<float>(i) / 1024;
      const auto given = changes.values.find(tensors[t].name);
      if (given != changes.values.end()) values = given->second;
      writer.append(std::as_bytes(std::span(values)).first(tensors[t].bytes()));
    }
  }
  writer.finish();
}

}  // namespace dsmoe::formats
