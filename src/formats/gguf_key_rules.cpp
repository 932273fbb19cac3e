#include "formats/gguf_key_rules.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace dsmoe::formats {
namespace {

using spec::ModelConfig;

// Off (every byte 0) is harmless for every key but those of kOne, kTrue, kHeadSize and kRotation.
enum class Harmless {
  kAlways,          // says how something is done that is off, or nothing about a forward pass
  kOff,             //
  kOne,             // 1
  kOneOrOff,        //
  kTrue,            //
  kSilu,            //
  kWidth,           // hidden_size
  kSharedWidth,     // of all shared experts together
  kHeadSize,        // hidden_size / num_attention_heads
  kAttentionScale,  // 1 / sqrt(head size)
  kWideWindow,      // at least the longest sequence
  kRotation,        // a scaling that leaves the angles as they are
};

struct KeyRule {
  std::string_view key;  // without the prefix
  Harmless at;
};

constexpr KeyRule kRules[] = {
    {"attention.causal", Harmless::kTrue},
    {"attention.key_length", Harmless::kHeadSize},
    {"attention.layer_norm_epsilon", Harmless::kAlways},  // of norms with a mean; ours have the rms key
    {"attention.output_scale", Harmless::kOneOrOff},
    {"attention.scale", Harmless::kAttentionScale},
    {"attention.sliding_window", Harmless::kWideWindow},
    {"attention.sliding_window_pattern", Harmless::kAlways},
    {"attention.value_length", Harmless::kHeadSize},
    {"attention.value_scale", Harmless::kOneOrOff},
    {"embedding_length_out", Harmless::kWidth},
    {"embedding_scale", Harmless::kOneOrOff},
    {"expert_gating_func", Harmless::kOneOrOff},  // 1: softmax
    {"expert_group_count", Harmless::kOneOrOff},
    {"expert_group_used_count", Harmless::kAlways},
    {"expert_shared_feed_forward_length", Harmless::kSharedWidth},
    {"expert_weights_scale", Harmless::kOneOrOff},
    {"hidden_activation", Harmless::kSilu},
    {"interleave_moe_layer_step", Harmless::kOneOrOff},
    {"logit_scale", Harmless::kOneOrOff},
    {"moe_every_n_layers", Harmless::kOneOrOff},
    {"pooling_type", Harmless::kAlways},  // of embeddings of texts
    {"residual_scale", Harmless::kOneOrOff},
    {"rope.dimension_count", Harmless::kHeadSize},
    {"rope.dimension_count_swa", Harmless::kAlways},  // of layers with a window
    {"rope.freq_base_swa", Harmless::kAlways},
    {"rope.scale_linear", Harmless::kRotation},
    {"rope.scaling.alpha", Harmless::kOneOrOff},
    {"rope.scaling.attn_factor", Harmless::kOne},
    {"rope.scaling.factor", Harmless::kRotation},
    {"rope.scaling.finetuned", Harmless::kAlways},
    {"rope.scaling.original_context_length", Harmless::kAlways},
    {"rope.scaling.type", Harmless::kRotation},
    {"rope.scaling.yarn_attn_factor", Harmless::kOne},
    {"rope.scaling.yarn_beta_fast", Harmless::kAlways},
    {"rope.scaling.yarn_beta_slow", Harmless::kAlways},
    {"rope.scaling.yarn_ext_factor", Harmless::kAlways},
    {"rope.scaling.yarn_log_multiplier", Harmless::kAlways},
    {"tensor_data_layout", Harmless::kAlways},  // rows are permuted in all that llama.cpp reads
};

// Keys of dsmoe's own that begin like those of its architecture.
constexpr std::string_view kOwnTokenizer = "dsmoe.tokenizer.";

std::string number_text(double value) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr);
}

// One key being checked.
class KeyCheck {
 public:
  KeyCheck(const GgufFile& file, std::string_view prefix, const ModelConfig& config)
      : file_(file), prefix_(prefix), config_(config) {}

  void check(std::string_view name, const GgufValue& value) {
    const auto rule =
        std::find_if(std::begin(kRules), std::end(kRules), [&](const KeyRule& r) { return r.key == name; });
    name_ = name;
    value_ = &value;
    check(rule == std::end(kRules) ? Harmless::kOff : rule->at);
  }

 private:
  void check(Harmless at) const {
    const auto head_dim = static_cast<double>(config_.head_dim());
    switch (at) {
      case Harmless::kAlways:
        return;
      case Harmless::kOff:
        return require(is_off(), value_->type == GgufValueType::kBool ? "false" : "absent, or 0");
      case Harmless::kOne:
        return require(is(1), "1");
      case Harmless::kOneOrOff:
        return require(is_off() || is(1), "1");
      case Harmless::kTrue:
        return require(file_.boolean(key()).value(), "true");
      case Harmless::kSilu:
        return require(is_off() || file_.text(key()) == "silu" || file_.text(key()) == "swish", "silu");
      case Harmless::kWidth:
        return require_number(config_.hidden_size);
      case Harmless::kSharedWidth:
        return require_number(config_.shared_intermediate_size());
      case Harmless::kHeadSize:
        return require(is(head_dim), number_text(head_dim), "the size of a head is embedding_length / head_count");
      case Harmless::kAttentionScale:  // a float32, of more or fewer digits
        return require(is_off() || std::abs(number() * std::sqrt(head_dim) - 1) < 1e-6, "1 / sqrt(head size)");
      case Harmless::kWideWindow:
        return require(is_off() || number() >= static_cast<double>(config_.max_position_embeddings),
                       "absent, or at least context_length");
      case Harmless::kRotation:
        return check_rotation();
    }
  }

  // As llama.cpp reads them: silence is "linear"; a factor is looked for under its name of today, then under the old
  // one; 0 is no factor; `none` scales by none. A file that says yarn and no factor is not taken at that word.
  void check_rotation() const {
    const std::string_view type = file_.text(with_prefix("rope.scaling.type")).value_or("linear");
    if (type == "none") return;
    std::optional<double> factor = file_.number(with_prefix("rope.scaling.factor"));
    if (!factor) factor = file_.number(with_prefix("rope.scale_linear"));
    const bool known = type == "linear" || (type == "yarn" && factor);
    const bool unscaled = !factor || *factor == 0 || *factor == 1;
    if (name_ == "rope.scaling.type") return require(known, "none");
    require(unscaled || !known, "1");  // an unknown type is named itself
  }

  bool is_off() const {
    return std::all_of(value_->bytes.begin(), value_->bytes.end(), [](char byte) { return byte == 0; });
  }
  double number() const { return file_.number(key()).value(); }
  bool is(double wanted) const { return number() == wanted; }
  std::string with_prefix(std::string_view name) const { return std::string(prefix_) + std::string(name); }
  std::string key() const { return with_prefix(name_); }

  std::string found() const {
    switch (value_->type) {
      case GgufValueType::kString:
        return base::in_quotes(value_->bytes);
      case GgufValueType::kArray:
        return "an array of " + std::to_string(value_->count);
      case GgufValueType::kBool:
        return is_off() ? "false" : "true";
      default:
        return number_text(number());
    }
  }
  void require_number(int64_t wanted) const {
    require(is_off() || is(static_cast<double>(wanted)), std::to_string(wanted));
  }
  void require(bool harmless, const std::string& wanted,
               std::string_view hint = "dsmoe computes the plain deepseek and llama layers only") const {
    if (harmless) return;
    base::fail_invalid("gguf", key() + " must be " + wanted, file_.path().string() + ", " + found(), hint);
  }

  const GgufFile& file_;
  std::string_view prefix_;
  const ModelConfig& config_;
  std::string_view name_;
  const GgufValue* value_ = nullptr;
};

}  // namespace

void check_gguf_keys(const GgufFile& file, std::string_view prefix, const std::set<std::string, std::less<>>& asked,
                     const ModelConfig& config) {
  KeyCheck check(file, prefix, config);
  for (const GgufHeader::Entry& entry : file.header().metadata) {
    if (entry.key.substr(0, prefix.size()) != prefix || entry.key.substr(0, kOwnTokenizer.size()) == kOwnTokenizer)
      continue;
    const std::string_view name = entry.key.substr(prefix.size());
    if (asked.count(name) == 0) check.check(name, entry.value);
  }
}

}  // namespace dsmoe::formats
