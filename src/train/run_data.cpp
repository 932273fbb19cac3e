#include "train/run_data.h"

#include <optional>

#include "base/error.h"
#include "corpus/batches.h"
#include "corpus/scored_windows.h"
#include "tokenizer/tokenizer_json.h"
#include "train/vocabulary.h"

namespace dsmoe::train {
namespace {

namespace fs = base::fs;
using base::fail_invalid;

struct OpenCorpus {
  explicit OpenCorpus(const fs::path& path)
      : train(corpus::TokenDataset::open(path, "train")), valid(corpus::TokenDataset::open(path, "valid")) {}
  corpus::TokenDataset train, valid;
  std::optional<corpus::BatchOrder> order;
};

// The tokens that begin and end a document are the tokenizer's to say. A value that somebody set must agree.
void take_border(spec::ResolvedConfig& config, const char* key, int64_t& member, int32_t of_data) {
  if (of_data < 0 || member == of_data) return;
  if (config.origins.contains(key)) {
    fail_invalid("train", std::string(key) + " differs from the data's tokenizer",
                 std::to_string(member) + " and " + std::to_string(of_data), "leave it out: the data says it");
  }
  member = of_data;
  config.origins[key] = "data";
}

void fit_to_data(spec::ResolvedConfig& config, const corpus::TokenDataset& data) {
  if (data.vocab_size() > config.config.model.vocab_size) {
    fail_invalid("train", "the data's vocabulary is larger than model.vocab_size",
                 std::to_string(data.vocab_size()) + " and " + std::to_string(config.config.model.vocab_size),
                 "set model.vocab_size=" + std::to_string(data.vocab_size()) + " or build the data anew");
  }
  take_border(config, "model.bos_token_id", config.config.model.bos_token_id, data.bos_id());
  take_border(config, "model.eos_token_id", config.config.model.eos_token_id, data.eos_id());
}

// Ids of one tokenizer mean nothing to weights that another one's text has trained.
void require_tokenizer_of(const fs::path& init, const corpus::TokenDataset& data) {
  if (init.empty() || !fs::exists(init / "tokenizer.json") || data.tokenizer_hash().empty()) return;
  if (tokenizer::tokenizer_hash(tokenizer::load_tokenizer(init)) == data.tokenizer_hash()) return;
  fail_invalid("train", "the data was built with another tokenizer than the model's of --init", data.folder().string(),
               "build it with --tokenizer " + init.string());
}

// How often each token occurs: what a balanced hash table is made from. Empty for every other router.
std::vector<int64_t> token_frequencies(const spec::ModelConfig& config, const corpus::TokenDataset& data) {
  std::vector<int64_t> counts;
  if (config.router_type != spec::RouterType::kHashBalanced) return counts;
  counts.resize(static_cast<size_t>(config.vocab_size));
  for (int64_t document = 0; document < data.documents(); ++document) {
    for (const int32_t id : data.tokens(document)) ++counts[static_cast<size_t>(id)];
  }
  return counts;
}

}  // namespace

RunData open_corpus(spec::ResolvedConfig& config, const fs::path& init) {
  const std::string& path = config.config.data.path;
  if (path.empty()) {
    fail_invalid("train", "data.path must name a folder made by dsmoe data build", "nothing", "set data.path=FOLDER");
  }
  const auto open = std::make_shared<OpenCorpus>(path);
  take_vocabulary(config, open->train, init);
  fit_to_data(config, open->train);
  require_tokenizer_of(init, open->train);
  const spec::TrainConfig& t = config.config.train;
  open->order.emplace(open->train, static_cast<uint64_t>(t.seed), t.sequence_length, config.config.data.weights);
  RunData data;
  data.owner = open;
  data.batches = std::make_unique<corpus::RowBatches>(
      [&order = *open->order, batch = t.global_batch](int64_t step, int64_t row, std::span<int32_t> out) {
        int domain = 0;
        order.sequence(step, row, batch, out, domain);
      },
      corpus::RowBatches::Shape{t.micro_batch, t.global_batch, t.sequence_length});
  if (open->valid.total_tokens() > 0) {
    data.validation = std::make_unique<corpus::ScoredWindows>(open->valid, t.sequence_length, t.validate_tokens);
  }
  data.hash = open->train.hash();
  data.tokenizer_from = open->train.folder();
  data.token_frequencies = token_frequencies(config.config.model, open->train);
  data.without_validation = "dsmoe data build holds out more with a larger --valid-share";
  return data;
}

}  // namespace dsmoe::train
