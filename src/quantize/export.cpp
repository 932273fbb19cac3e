#include "quantize/export.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "formats/chat_templates.h"
#include "formats/end_tokens.h"
#include "formats/gguf_rows.h"
#include "formats/gguf_tokenizer.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::quantize {
namespace {

using formats::GgufType;

bool add_tokenizer(formats::GgufMetadata& metadata, const formats::ModelFolder& folder, const ExportOptions& options) {
  const base::fs::path file = folder.path() / "tokenizer.json";
  const spec::ModelConfig& config = folder.config();
  std::error_code ignored;
  if (!options.with_tokenizer || !base::fs::exists(file, ignored)) {
    const std::vector<int32_t> ends = formats::end_tokens(folder.path(), config, std::nullopt);
    const std::optional<int32_t> eos = ends.empty() ? std::nullopt : std::optional(ends.front());
    formats::add_no_tokenizer_keys(metadata, config.bos_token_id, eos.value_or(-1));
    formats::add_end_token_keys(metadata, ends, eos);
    return false;
  }
  tokenizer::TokenizerSpec spec = tokenizer::load_tokenizer(file).spec();
  const auto rows = static_cast<int64_t>(spec.tokens.size());
  const std::vector<int32_t> ends = formats::end_tokens(folder.path(), config, spec.eos);
  const auto has_row = [&](int64_t id) { return id >= 0 && id < rows; };
  if (!spec.bos && has_row(config.bos_token_id)) spec.bos = static_cast<int32_t>(config.bos_token_id);
  if (!spec.eos && !ends.empty() && has_row(ends.front())) spec.eos = ends.front();
  formats::add_tokenizer_keys(metadata, spec, config.vocab_size,
                              formats::chat_templates_of(folder.path()).conversation);
  formats::add_end_token_keys(metadata, ends, spec.eos);
  return true;
}

std::string name_of(const formats::ModelFolder& folder, const ExportOptions& options) {
  if (!options.name.empty()) return options.name;
  std::error_code ignored;
  base::fs::path path = base::fs::weakly_canonical(folder.path(), ignored);
  return path.has_filename() ? path.filename().string() : "model";
}

// Those that a recipe is about; norms would drown their error.
bool is_matrix(spec::TensorRole role) {
  using enum spec::TensorRole;
  return role == kEmbedding || role == kAttention || role == kFfn || role == kHead;
}

// One export under way.
class Export {
 public:
  Export(const formats::ModelFolder& folder, const ExportOptions& options) : folder_(folder), options_(options) {
    report_.arch = formats::gguf_arch_for(folder.config(), options.arch);
    plans_ = formats::gguf_tensors(folder.config());
    for (const formats::GgufTensorPlan& plan : plans_) {
      const GgufType type = type_for(options.recipe, options.pure, plan, folder.config());
      declarations_.push_back({plan.name, type, plan.shape});
      total_ += declarations_.back().bytes();
    }
  }

  ExportReport run(const base::fs::path& path, base::FileSystem& files) {
    formats::GgufMetadata metadata;
    formats::add_model_keys(metadata, folder_.config(), report_.arch);
    metadata.add_text("general.name", name_of(folder_, options_));
    metadata.add_text("general.type", "model");
    metadata.add_u32("general.file_type", options_.recipe.file_type);
    metadata.add_u32("general.quantization_version", 2);
    report_.has_tokenizer = add_tokenizer(metadata, folder_, options_);
    formats::GgufWriter writer(path, metadata, declarations_, files);
    for (size_t i = 0; i < plans_.size(); ++i) write_tensor(writer, plans_[i], declarations_[i].type);
    writer.finish();
    report_.file_size = writer.file_size();
    report_.bits_per_weight = 8 * static_cast<double>(total_) / weights_;
    return std::move(report_);
  }

 private:
  void write_tensor(formats::GgufWriter& writer, const formats::GgufTensorPlan& plan, GgufType type) {
    TensorError error{plan.name, type, plan.shape, {}, {}};
    for (const std::string& source : plan.sources) {
      const formats::TensorView view = folder_.tensor(source);
      if (type == GgufType::kI32) {
        writer.append(view.bytes);
        told(view.bytes.size());
        continue;
      }
      const ErrorSums sums = write_matrix(writer, view, source, plan.interleaved_heads, type);
      error.error += sums;
      if (plan.sources.size() > 1) error.experts.push_back(sums);
      base::let_go(view.bytes);
    }
    weights_ += error.error.values;
    if (is_matrix(plan.role)) report_.error += error.error;
    report_.tensors.push_back(std::move(error));
  }

  // Rows in chunks of about kChunkBytes, the rows of a chunk in parallel.
  ErrorSums write_matrix(formats::GgufWriter& writer, const formats::TensorView& view, const std::string& name,
                         int64_t interleaved_heads, GgufType type) {
    const int64_t cols = view.shape.back(), rows = view.numel() / cols;
    const size_t out_bytes = row_bytes(type, cols), in_bytes = view.bytes.size() / static_cast<size_t>(rows);
    const auto rows_per_chunk = static_cast<int64_t>(std::max<size_t>(1, kChunkBytes / out_bytes));
    const int64_t head = interleaved_heads > 0 ? rows / interleaved_heads : 0;
    ErrorSums all;
    std::vector<ErrorSums> sums;
    for (int64_t first = 0; first < rows; first += rows_per_chunk) {
      const int64_t count = std::min(rows_per_chunk, rows - first);
      buffer_.resize(static_cast<size_t>(count) * out_bytes);
      sums.assign(static_cast<size_t>(count), {});
      options_.parallel_for(count, std::max<int64_t>(1, 65536 / cols), [&](int64_t begin, int64_t end) {
        std::vector<float> work;
        for (int64_t i = begin; i < end; ++i) {
          int64_t from = first + i;
          if (head > 0) from = formats::folder_row(from, head);
          const Row row{name,       from,
                        view.dtype, view.bytes.subspan(static_cast<size_t>(from) * in_bytes, in_bytes),
                        type,       std::span(buffer_).subspan(static_cast<size_t>(i) * out_bytes, out_bytes)};
          sums[static_cast<size_t>(i)] = convert_row(row, work);
        }
      });
      writer.append(buffer_);
      told(buffer_.size());
      for (const ErrorSums& each : sums) all += each;
    }
    return all;
  }

  void told(size_t bytes) {
    written_ += bytes;
    options_.progress(written_, total_);
  }

  const formats::ModelFolder& folder_;
  const ExportOptions& options_;
  std::vector<formats::GgufTensorPlan> plans_;
  std::vector<formats::GgufDeclaration> declarations_;
  std::vector<std::byte> buffer_;
  uint64_t total_ = 0, written_ = 0;
  double weights_ = 0;
  ExportReport report_;
};

base::Json error_json(const ErrorSums& error) {
  return {{"rms_error", error.rms()}, {"relative_error", error.relative()}, {"largest_error", error.largest_error}};
}

}  // namespace

ExportReport export_gguf(const formats::ModelFolder& folder, const base::fs::path& path, const ExportOptions& options,
                         base::FileSystem& files) {
  return Export(folder, options).run(path, files);
}

base::Json report_json(const ExportReport& report) {
  base::Json tensors = base::Json::array();
  for (const TensorError& tensor : report.tensors) {
    base::Json each = {{"name", tensor.name},
                       {"type", std::string(formats::gguf_type_info(tensor.type).name)},
                       {"shape", tensor.shape}};
    each.update(error_json(tensor.error));
    if (!tensor.experts.empty()) {
      base::Json experts = base::Json::array();
      for (const ErrorSums& expert : tensor.experts) experts.push_back(error_json(expert));
      each["experts"] = std::move(experts);
    }
    tensors.push_back(std::move(each));
  }
  base::Json all = {{"arch", std::string(formats::gguf_arch_name(report.arch))},
                    {"file_size", report.file_size},
                    {"bits_per_weight", report.bits_per_weight},
                    {"tokenizer", report.has_tokenizer}};
  all.update(error_json(report.error));
  all["tensors"] = std::move(tensors);
  return all;
}

}  // namespace dsmoe::quantize
