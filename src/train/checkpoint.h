// A checkpoint: a model folder that any reader of Hugging Face folders takes, and beside it what training needs to go
// on as if nothing had happened. Written whole or not at all; never pickle.
//
//   config.json, model*.safetensors, tokenizer.json, ...   the model in float32, router bias included; or, where
//                            adapters are trained, these alone as PEFT has them: adapter_config.json and
//                            adapter_model.safetensors
//   optimizer.safetensors    both moments of each parameter: first_moment.NAME, second_moment.NAME, float32
//   trainer_state.json       step, tokens, seed, what the data was, alarms' memory (TrainerState)
//   run.toml                 the resolved configuration
//   manifest.json            size and checksum of every file; written last
//
// There is no generator state to keep: batches, initial values and random routing are pure functions of the seed, the
// step and the row, so (seed, step) is the state of every generator and of the data's cursor.
#pragma once

#include <string>

#include "base/file.h"
#include "base/json.h"
#include "base/parallel.h"
#include "model/transformer.h"
#include "spec/settings.h"
#include "train/base_model.h"
#include "train/optimizer.h"

namespace dsmoe::train {

struct TrainerState {
  int64_t step = 0;    ///< steps done
  int64_t tokens = 0;  ///< tokens trained on
  int64_t seed = 0;
  int threads = 0;        ///< of the run that wrote it; LibTorch's own sums (moe/composed.h) depend on it
  std::string data_hash;  ///< TokenDataset::hash()
  base::Json router_watch = base::Json::array();

  base::Json to_json() const;
  static TrainerState from_json(const base::Json& json, const std::string& where);
};

/// What a checkpoint is made from.
struct CheckpointSource {
  const model::Transformer& model;
  const AdamW& optimizer;
  const TrainerState& state;
  const spec::ResolvedConfig& config;
  base::fs::path tokenizer_from;  ///< a folder whose tokenizer files are copied; empty: none
  BaseModel beside = {};          ///< where adapters are trained
};

/// Writes the folder `path`, durably. Returns its bytes. Throws Error(kIo), leaving nothing under that name.
uint64_t write_checkpoint(const base::fs::path& path, const CheckpointSource& source, base::FileSystem& files,
                          const base::ParallelFor& parallel);

/// What the other ranks do while the first one writes a checkpoint: they give it their experts and their share of the
/// moments.
void give_to_checkpoint(const model::Transformer& model, const AdamW& optimizer);

/// What is in a checkpoint besides tensors; enough to decide whether it fits the run.
struct CheckpointInfo {
  base::fs::path path;
  TrainerState state;
  spec::RunConfig config;
};
/// Reads, without validating checksums (formats::verify_manifest does). Throws Error when it is no checkpoint.
CheckpointInfo open_checkpoint(const base::fs::path& path);

/// "train.seed: 1 and 2" for the first key that decides what a step computes and differs; empty: none does.
std::string first_difference(const spec::RunConfig& before, const spec::RunConfig& now);

/// Throws Error(kInvalid) naming the first key in which the checkpoint's run differs from `config`, those apart that
/// may change on resuming (docs/training.md): output, plan, parallel, how often to log, validate, save and sample,
/// data.path and data.chat_format where the data is the same, and train.steps.
void require_same_run(const CheckpointInfo& checkpoint, const spec::RunConfig& config, const std::string& data_hash);

/// Puts weights, router biases and moments back; of adapters A, B and moments. Throws Error(kInvalid) when a tensor is
/// missing or misshapen, or when adapters were trained beside other weights than those of `beside`.
void load_checkpoint(const CheckpointInfo& checkpoint, model::Transformer& model, AdamW& optimizer,
                     const BaseModel& beside = {});

}  // namespace dsmoe::train
