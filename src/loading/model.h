// A model opened whole: what every command that runs one begins with.
//
// The weights are read when the model is opened. The tokenizer is read when it is first asked for: many models are run
// by token ids alone, and such a run does not mind a tokenizer that dsmoe cannot read.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "corpus/dataset.h"
#include "engine/engine.h"
#include "formats/adapter_folder.h"
#include "formats/model_folder.h"
#include "tokenizer/chat_encoder.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::loading {

/// A PEFT folder that runs beside the model, or a run's with such checkpoints, and how much of it.
struct AdapterChoice {
  base::fs::path path;
  double scale = 1;
};
/// "DIR" or "DIR=scale". Throws Error(kUsage) for a scale that is no number.
AdapterChoice adapter_choice(const std::string& text);
/// The adapters as they are, after require_base() with what is known of the model's weights: a folder's are known where
/// an adapter says what it was trained with, a file's are not.
std::vector<formats::Adapter> read_adapters(const std::vector<AdapterChoice>& choices, const base::fs::path& model,
                                            const base::ParallelFor& parallel_for);

struct ModelOptions {
  engine::EngineOptions engine;
  /// Makes the weights from a model folder in place of reading them as they are stored (quantised, say); none: read.
  std::function<engine::Weights(const formats::ModelFolder& folder)> convert;
  std::vector<AdapterChoice> adapters;
  int64_t context = 0;  ///< the most tokens a sequence may have; 0: all that the model can
  bool verify = true;   ///< compare a folder with its manifest.json, where it has one (formats/verified.h)
  /// Hears of that: bytes read so far and in all.
  std::function<void(uint64_t read, uint64_t total)> verifying = [](uint64_t, uint64_t) {};
};

class Model {
 public:
  const base::fs::path& path() const { return path_; }
  engine::Engine& engine() { return engine_; }
  /// The model's, with ModelOptions::context for max_position_embeddings where that was given.
  const spec::ModelConfig& config() const { return config_; }

  /// Null where the model has none. Lives as long as the model. Throws Error(kInvalid) for one that cannot be read or
  /// has more tokens than the model has rows.
  const tokenizer::Tokenizer* tokenizer();
  /// The same, but none is Error(kInvalid), with `instead` as the hint.
  const tokenizer::Tokenizer& require_tokenizer(std::string_view instead);
  /// Throws Error(kInvalid) where a corpus has more tokens than the model has rows, or was built with another tokenizer
  /// than the model's: ids of one mean nothing to a model of another.
  void require_same_tokens(const corpus::TokenDataset& corpus);
  /// The tokens that end an answer (formats/end_tokens.h); none: nothing does.
  std::vector<int32_t> end_tokens();
  /// A text as the tokenizer begins and ends it; needs the tokenizer. A text that spells bos where the tokenizer puts
  /// one before it gets one bos, not two.
  struct Prompt {
    std::vector<int32_t> ids;
    bool left_out_bos = false;
  };
  Prompt prompt(std::string_view text);
  /// The model's own chat template, Jinja text; empty where it has none.
  std::string chat_template() const;
  /// The chat format that fine-tuning wrote conversations in, as the run.toml of an adapter or else of the model says:
  /// "own" is that of the model's template; empty: none is known of.
  const std::string& tuned_format() const { return tuned_format_; }
  /// See chat_encoder_of; without a name tuned_format() counts. Needs the tokenizer.
  tokenizer::ChatEncoder chat_encoder(std::string_view format = {});

 private:
  friend Model open_model(const base::fs::path& path, const ModelOptions& options);
  Model(base::fs::path path, engine::Engine engine, const ModelOptions& options);

  base::fs::path path_;
  engine::Engine engine_;
  spec::ModelConfig config_;
  std::string tuned_format_;
  bool tokenizer_read_ = false;
  std::optional<tokenizer::Tokenizer> tokenizer_;
};

/// The tokenizer of the model at `path`, for who does not open the model; see Model::tokenizer.
std::optional<tokenizer::Tokenizer> tokenizer_of(const base::fs::path& path, const spec::ModelConfig& config);
/// How conversations are written for the model at `path`: in the format of this name, or else as its chat template
/// says, and in the plain format where it has none. Throws Error(kInvalid) where the template is not known, or the
/// vocabulary lacks what the format needs.
tokenizer::ChatEncoder chat_encoder_of(const base::fs::path& path, const tokenizer::Tokenizer& tokenizer,
                                       const spec::ModelConfig& config, std::string_view format = {});

/// Opens a model folder, a GGUF file, or the newest checkpoint of a run's folder (formats/checkpoint_folders.h). Throws
/// Error: kIo when it cannot be read, kInvalid when it is no model, a broken one, damaged, or larger than the machine's
/// memory, kUsage for a file where `convert` is given and for a context that the model cannot have.
Model open_model(const base::fs::path& path, const ModelOptions& options = {});

/// What open_model() does first, for commands that read a model without running it.
void verify_model(const base::fs::path& path, int threads,
                  const std::function<void(uint64_t read, uint64_t total)>& verifying);

}  // namespace dsmoe::loading
