#include "train/sample.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "base/utf8.h"

namespace dsmoe::train {
namespace {

// The token at which the running sum of exp(logit / temperature) passes a uniform draw.
int64_t draw(const torch::Tensor& logits_V, double temperature, double uniform) {
  const torch::Tensor p_V = (logits_V.to(torch::kDouble) / temperature).softmax(0).contiguous();
  const double* p = p_V.data_ptr<double>();
  double sum = 0;
  for (int64_t v = 0; v < p_V.numel(); ++v) {
    sum += p[v];
    if (uniform < sum) return v;
  }
  return p_V.argmax(0).item<int64_t>();  // rounding left a sliver
}

std::string valid_utf8(std::string text) {
  for (size_t at; (at = base::first_invalid_utf8(text)) != std::string::npos;) text.replace(at, 1, "\xef\xbf\xbd");
  return text;
}

}  // namespace

SampleOptions sample_options(const spec::TrainConfig& train) { return {.seed = static_cast<uint64_t>(train.seed)}; }

std::vector<int32_t> sample_ids(const model::Transformer& model, const SampleOptions& options,
                                const comm::Group& group) {
  const spec::ModelConfig& config = model.config();
  // A text begins after bos, or where a model has none after the end of the one before.
  const int64_t begin = config.bos_token_id >= 0 ? config.bos_token_id : config.eos_token_id;
  if (begin < 0) return {};
  std::vector<int64_t> ids = {begin};
  const int64_t longest = std::min(options.tokens + 1, config.max_position_embeddings);
  while (static_cast<int64_t>(ids.size()) < longest) {
    const torch::Tensor ids_BS = torch::tensor(ids, torch::kLong).unsqueeze(0);
    const torch::Tensor last_V = model.logits(ids_BS)[0][static_cast<int64_t>(ids.size()) - 1];
    const double uniform = base::unit_interval(base::random_bits(options.seed, 0x73616d706c65, ids.size()));
    // The first rank draws: all have the same logits, perhaps but for their last bits.
    const int64_t next = std::stoll(group.broadcast(std::to_string(draw(last_V, options.temperature, uniform))));
    if (next == config.eos_token_id) break;
    ids.push_back(next);
  }
  return {ids.begin() + 1, ids.end()};
}

std::string sample_text(const model::Transformer& model, const tokenizer::Tokenizer& tokenizer,
                        const SampleOptions& options, const comm::Group& group) {
  return valid_utf8(tokenizer.decode(sample_ids(model, options, group), /*skip_special=*/true));
}

}  // namespace dsmoe::train
