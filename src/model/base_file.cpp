#include "model/base_file.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "formats/element_types.h"
#include "formats/gguf_rows.h"
#include "kernels/element_types.h"
#include "kernels/product.h"

namespace dsmoe::model {
namespace {

/// The file's row of each of the model's rows of q or k.
std::vector<int32_t> order_of(int64_t rows, int64_t heads) {
  if (heads == 0) return {};
  std::vector<int32_t> order(static_cast<size_t>(rows));
  for (int64_t row = 0; row < rows; ++row) {
    order[static_cast<size_t>(formats::folder_row(row, rows / heads))] = static_cast<int32_t>(row);
  }
  return order;
}

}  // namespace

BaseFile::BaseFile(std::shared_ptr<const formats::GgufModel> file, const spec::ModelConfig& config,
                   torch::ScalarType type)
    : file_(std::move(file)), type_(type), memory_(std::make_shared<moe::PackedMemory>()) {
  if (file_->config() == config) return;
  base::fail_invalid("model", "the file holds a model of another configuration", file_->file().path().string());
}

moe::StoredMatrix BaseFile::matrix(const std::string& name) const {
  const formats::GgufModel::View view = file_->tensor(name);
  const auto element = formats::element_type(view.type);
  DSMOE_CHECK(element.has_value(), "the tensor holds weights");
  const kernels::WeightType type = kernels::weight_type(*element);
  const uintptr_t alignment = type == kernels::WeightType::kF32 ? 4 : 2;
  if (reinterpret_cast<uintptr_t>(view.bytes.data()) % alignment != 0) {
    base::fail_invalid("model", "a file that adapters train beside must align its weights",
                       file_->file().path().string() + ", " + name, "general.alignment is odd there");
  }
  const bool vector = view.shape.size() < 2;
  return {{type, view.bytes.data(), vector ? 1 : view.shape[0], view.shape.back()},
          vector ? std::vector<int32_t>{} : order_of(view.shape[0], view.interleaved_heads)};
}

moe::WeightPtr BaseFile::weight(const Tensor& master, const std::map<std::string, MatrixPlace>& places) const {
  std::vector<std::vector<std::pair<int64_t, moe::StoredMatrix>>> found(  // by expert: first row, matrix
      static_cast<size_t>(master.dim() > 2 ? master.size(0) : 1));
  for (const auto& [name, place] : places) {
    if (!place.master.is_same(master)) continue;
    found[static_cast<size_t>(std::max<int64_t>(0, place.expert))].emplace_back(place.first_row, matrix(name));
  }
  std::vector<std::vector<moe::StoredMatrix>> experts;
  for (auto& parts : found) {
    std::ranges::sort(parts, {}, [](const auto& part) { return part.first; });
    experts.emplace_back();
    for (auto& [row, part] : parts) experts.back().push_back(std::move(part));
  }
  return moe::stored_weight(master.sizes().vec(), std::move(experts), type_, memory_);
}

void BaseFile::read(const NamedTensor& tensor) const {
  const torch::NoGradGuard no_grad;
  if (tensor.spec.role == spec::TensorRole::kHashTable) {
    const formats::GgufModel::View view = file_->tensor(tensor.spec.name);  // ids were checked when it was opened
    std::memcpy(tensor.value.data_ptr<int32_t>(), view.bytes.data(), view.bytes.size());
    return;
  }
  const kernels::Matrix stored = matrix(tensor.spec.name).values;
  std::vector<float> values(static_cast<size_t>(stored.rows * stored.cols));
  for (int64_t row = 0; row < stored.rows; ++row) {
    kernels::weight_row(
        stored, row,
        std::span(values).subspan(static_cast<size_t>(row * stored.cols), static_cast<size_t>(stored.cols)));
  }
  tensor.value.copy_(torch::from_blob(values.data(), tensor.value.sizes(), torch::kFloat));
}

}  // namespace dsmoe::model
