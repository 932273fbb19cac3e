// Folders into GGUF files: values, order of rows, reports, bad weights, failing disks.
#include "quantize/export.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/hash.h"
#include "kernels/blocks.h"
#include "quantize/testing.h"

namespace dsmoe::quantize {
namespace {

using formats::GgufType;
using std::string;

ExportOptions options_of(const char* type) {
  ExportOptions options;
  options.recipe = recipe_named(type);
  return options;
}

// A tensor of the file as floats.
std::vector<float> floats(const formats::GgufModel::View& view) {
  int64_t n = 1;
  for (const int64_t size : view.shape) n *= size;
  std::vector<float> values(static_cast<size_t>(n));
  switch (view.type) {
    case GgufType::kF32:
      formats::to_f32(formats::Dtype::kF32, view.bytes, values);
      break;
    case GgufType::kF16:
      formats::to_f32(formats::Dtype::kF16, view.bytes, values);
      break;
    case GgufType::kBf16:
      formats::to_f32(formats::Dtype::kBf16, view.bytes, values);
      break;
    case GgufType::kQ8_0:
      kernels::dequantise_ref(kernels::BlockType::kQ8_0, view.bytes.data(), n, values.data());
      break;
    case GgufType::kQ4K:
      kernels::dequantise_ref(kernels::BlockType::kQ4K, view.bytes.data(), n, values.data());
      break;
    default:
      ADD_FAILURE() << "a type this test does not read";
  }
  return values;
}

// Every tensor of the model in a F32 file is the folder's, q and k with their rows in the other order.
TEST(Export, FloatsComeThroughUnchangedAndRowsInPairs) {
  const base::TestFolder folder("export_f32");
  for (const spec::ModelConfig& config : formats::models_of_every_kind()) {
    base::fs::remove_all(folder / "m");
    formats::write_model(folder / "m", config, {.dtype = formats::Dtype::kF32});
    const auto model = formats::ModelFolder::open(folder / "m");
    const ExportReport report = export_gguf(model, folder / "f.gguf", options_of("f32"), base::unsynced_files);
    const auto file = formats::GgufModel::open(folder / "f.gguf");
    EXPECT_EQ(report.file_size, base::fs::file_size(folder / "f.gguf"));
    EXPECT_EQ(report.error.error_squares, 0);
    EXPECT_EQ(file.file().text("general.name"), "m");
    spec::for_each_tensor(config, [&](const spec::TensorSpec& tensor) {
      const formats::GgufModel::View view = file.tensor(tensor.name);
      const formats::TensorView stored = model.tensor(tensor.name);
      if (view.interleaved_heads == 0) {
        EXPECT_EQ(base::as_text(view.bytes), base::as_text(stored.bytes)) << tensor.name;
        return;
      }
      const std::vector<float> in_file = floats(view), in_folder = model.read_f32(tensor.name);
      const int64_t cols = tensor.shape[1], head = config.head_dim();
      for (int64_t row = 0; row < tensor.shape[0]; ++row) {
        // llama.cpp pairs neighbours where Hugging Face pairs halves: rows of a permuted head come from rows 0, A/2, 1,
        // A/2 + 1, ...
        const int64_t within = row % head, from = row - within + within / 2 + within % 2 * head / 2;
        EXPECT_EQ(std::memcmp(&in_file[static_cast<size_t>(row * cols)], &in_folder[static_cast<size_t>(from * cols)],
                              static_cast<size_t>(cols) * sizeof(float)),
                  0)
            << tensor.name << " row " << row;
      }
    });
  }
}

TEST(Export, BlocksHoldTheirRowsAndTheReportIsRight) {
  const base::TestFolder folder("export_q");
  const spec::ModelConfig config = wide_mixture();
  formats::write_model(folder / "m", config, {.dtype = formats::Dtype::kBf16});
  const auto model = formats::ModelFolder::open(folder / "m");
  base::ThreadPool pool(3);
  for (const char* type : {"q8_0", "bf16", "f16"}) {
    ExportOptions options = options_of(type);
    const ExportReport report = export_gguf(model, folder / "one", options, base::unsynced_files);
    options.parallel_for = pool.parallel_for();
    export_gguf(model, folder / "three", options, base::unsynced_files);
    EXPECT_EQ(base::read_file(folder / "one"), base::read_file(folder / "three")) << "threads do not show";
    const auto file = formats::GgufModel::open(folder / "one");
    double all = 0;
    for (const TensorError& tensor : report.tensors) {
      if (tensor.type != GgufType::kF32) all += tensor.error.error_squares;
      double experts = 0;
      for (const ErrorSums& expert : tensor.experts) experts += expert.error_squares;
      if (!tensor.experts.empty()) {
        EXPECT_EQ(static_cast<int64_t>(tensor.experts.size()), config.n_routed_experts);
        EXPECT_NEAR(experts, tensor.error.error_squares, 1e-12 * experts);
      }
    }
    EXPECT_NEAR(all, report.error.error_squares, 1e-12 * all);
    // one tensor by hand
    const string name = spec::expert_name(1, 2, "up_proj");
    const std::vector<float> before = model.read_f32(name), after = floats(file.tensor(name));
    double squares = 0;
    for (size_t i = 0; i < before.size(); ++i) {
      squares += (double{after[i]} - before[i]) * (double{after[i]} - before[i]);
    }
    for (const TensorError& tensor : report.tensors) {
      if (tensor.name != "blk.1.ffn_up_exps.weight") continue;
      EXPECT_NEAR(tensor.experts[2].error_squares, squares, 1e-9 * squares);
      EXPECT_LE(tensor.experts[2].relative(), 0.01);
      EXPECT_EQ(report_json(report)["tensors"].size(), report.tensors.size());
    }
  }
}

TEST(Export, AMixtureIsWrittenWithItsTypes) {
  const base::TestFolder folder("export_mixture");
  formats::write_model(folder / "m", wide_mixture());
  const auto model = formats::ModelFolder::open(folder / "m");
  const ExportReport report = export_gguf(model, folder / "f", options_of("q4_k_m"), base::unsynced_files);
  const auto file = formats::GgufModel::open(folder / "f");
  EXPECT_EQ(file.arch(), formats::GgufArch::kDeepseek);
  EXPECT_EQ(file.file().integer("general.file_type"), 15);
  EXPECT_EQ(file.tensor("model.embed_tokens.weight").type, GgufType::kQ4K);
  EXPECT_EQ(file.tensor("lm_head.weight").type, GgufType::kQ6K);
  EXPECT_EQ(file.tensor("model.layers.1.mlp.gate.weight").type, GgufType::kF32);
  EXPECT_EQ(file.tensor(spec::expert_name(1, 0, "up_proj")).type, GgufType::kQ4K);
  EXPECT_EQ(file.tensor(spec::expert_name(1, 0, "down_proj")).type, GgufType::kQ5_0) << "rows of 32";
  EXPECT_EQ(file.tensor(spec::expert_name(2, 0, "down_proj")).type, GgufType::kQ8_0) << "rows of 32, more bits";
  EXPECT_LT(report.bits_per_weight, 7);
  const std::vector<float> before = model.read_f32("model.embed_tokens.weight");
  const std::vector<float> after = floats(file.tensor("model.embed_tokens.weight"));
  double squares = 0, error = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    squares += double{before[i]} * before[i];
    error += (double{after[i]} - before[i]) * (double{after[i]} - before[i]);
  }
  EXPECT_LT(error, 0.006 * squares);  // 0.0049 for normal values (kernels/blocks_test.cpp)
}

// One value of one expert is spoilt in the folder's file.
void spoil(const base::fs::path& folder, const string& tensor, float value) {
  const formats::SafetensorsFile file(folder / "model.safetensors");
  const formats::TensorView view = file.tensor(tensor);
  string text = base::read_file(folder / "model.safetensors");
  const auto at =
      static_cast<size_t>(base::as_text(view.bytes).data() - base::as_text(file.view(file.entries()[0]).bytes).data());
  const size_t data_start = text.size() - file.data_size();
  std::memcpy(&text[data_start + at + 5 * sizeof(float)], &value, sizeof value);
  base::write_file(folder / "model.safetensors", text, base::unsynced_files);
}

TEST(Export, WeightsThatAreNotFiniteAreNamed) {
  const base::TestFolder folder("export_nan");
  const string name = spec::expert_name(2, 1, "down_proj");
  for (const float value : {NAN, INFINITY, -INFINITY}) {
    base::fs::remove_all(folder / "m");
    formats::write_model(folder / "m", wide_mixture(), {.dtype = formats::Dtype::kF32});
    spoil(folder / "m", name, value);
    const auto model = formats::ModelFolder::open(folder / "m");
    for (const char* type : {"q4_0", "q4_k_m", "f16", "f32"}) {
      const string message = base::message_of([&] { export_gguf(model, folder / "f", options_of(type)); });
      EXPECT_NE(message.find("weights must be finite: " + name), string::npos) << message;
      EXPECT_NE(message.find("row 0, column 5"), string::npos) << message;
      EXPECT_EQ(folder.count(), 1u) << "nothing is left behind";
    }
  }
  base::fs::remove_all(folder / "m");
  formats::write_model(folder / "m", wide_mixture(), {.dtype = formats::Dtype::kF32});
  spoil(folder / "m", name, 70000);
  const auto model = formats::ModelFolder::open(folder / "m");
  EXPECT_NE(base::message_of([&] { export_gguf(model, folder / "f", options_of("f16")); }).find("F16 holds values to"),
            string::npos);
  EXPECT_EQ(base::message_of([&] { export_gguf(model, folder / "f", options_of("bf16")); }), "(no error)");
}

TEST(Export, AskingForAnArchThatCannotIsRefusedFirst) {
  const base::TestFolder folder("export_arch");
  spec::ModelConfig config = wide_mixture();
  config.norm_topk_prob = true;
  formats::write_model(folder / "m", config);
  const auto model = formats::ModelFolder::open(folder / "m");
  ExportOptions options = options_of("q8_0");
  options.arch = "deepseek";
  EXPECT_NE(base::message_of([&] { export_gguf(model, folder / "f", options); }).find("norm_topk_prob true"),
            string::npos);
  options.arch.clear();
  EXPECT_EQ(export_gguf(model, folder / "f", options, base::unsynced_files).arch, formats::GgufArch::kDsmoe);
}

TEST(Export, EveryFailingCallLeavesNothingBehind) {
  const base::TestFolder folder("export_failing");
  formats::write_model(folder / "m", formats::small_mixture());
  const auto model = formats::ModelFolder::open(folder / "m");
  int failures = 0;
  for (int k = 1;; ++k) {
    base::FailingFiles files(k);
    base::fs::remove(folder / "f");
    try {
      export_gguf(model, folder / "f", options_of("f32"), files);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kIo);
    }
    EXPECT_EQ(folder.count(), base::fs::exists(folder / "f") ? 2u : 1u);
    if (!files.failed()) break;
    ++failures;
  }
  EXPECT_GE(failures, 5);
}

TEST(Export, StoppingLeavesNothingBehind) {
  const base::TestFolder folder("export_stopped");
  formats::write_model(folder / "m", formats::small_mixture());
  ExportOptions options = options_of("f32");
  uint64_t last = 0;
  options.progress = [&](uint64_t written, uint64_t total) {
    EXPECT_GT(written, last);
    last = written;
    if (written > total / 2) base::fail(base::ErrorKind::kFailure, "test", "stopped");
  };
  const auto model = formats::ModelFolder::open(folder / "m");
  EXPECT_THROW(export_gguf(model, folder / "f", options), base::Error);
  EXPECT_EQ(folder.count(), 1u);
}

}  // namespace
}  // namespace dsmoe::quantize
