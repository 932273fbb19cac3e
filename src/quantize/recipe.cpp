#include "quantize/recipe.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "formats/element_types.h"

namespace dsmoe::quantize {
namespace {

using formats::GgufType;
using spec::TensorRole;

constexpr Recipe kRecipes[] = {
    {"q4_0", GgufType::kQ4_0, 2, false, false, "4.5 bits: 32 values share a scale"},
    {"q4_1", GgufType::kQ4_1, 3, false, false, "5 bits: a scale and a minimum"},
    {"q5_0", GgufType::kQ5_0, 8, false, false, "5.5 bits"},
    {"q5_1", GgufType::kQ5_1, 9, false, false, "6 bits: a scale and a minimum"},
    {"q8_0", GgufType::kQ8_0, 7, false, false, "8.5 bits"},
    {"q4_k_s", GgufType::kQ4K, 14, false, true, "4.5 bits, Q5_K in the first eighth of the layers"},
    {"q4_k_m", GgufType::kQ4K, 15, true, false, "4.5 bits, Q6_K for about half of attn_v and ffn_down"},
    {"q5_k_s", GgufType::kQ5K, 16, false, false, "5.5 bits"},
    {"q5_k_m", GgufType::kQ5K, 17, true, false, "5.5 bits, Q6_K for about half of attn_v and ffn_down"},
    {"q6_k", GgufType::kQ6K, 18, false, false, "6.6 bits"},
    {"f32", GgufType::kF32, 0, false, false, "as trained, 32 bits"},
    {"f16", GgufType::kF16, 1, false, false, "16 bits, range to 65504"},
    {"bf16", GgufType::kBf16, 32, false, false, "16 bits, the range of f32"},
};
constexpr std::pair<std::string_view, std::string_view> kAliases[] = {{"q4_k", "q4_k_m"}, {"q5_k", "q5_k_m"}};

// The first and last eighth of the layers, and every third between.
bool takes_more_bits(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

GgufType for_matrix(const Recipe& recipe, const formats::GgufTensorPlan& tensor, const spec::ModelConfig& config) {
  const auto is = [&](std::string_view part) { return tensor.name.find(part) != std::string::npos; };
  const int64_t layers = config.num_hidden_layers;
  const bool value = is("attn_v."), down = is("ffn_down");
  const bool k_type = recipe.type == GgufType::kQ4K || recipe.type == GgufType::kQ5K || recipe.type == GgufType::kQ6K;
  if (tensor.role == TensorRole::kHead && recipe.type != GgufType::kQ8_0) return GgufType::kQ6K;
  if (config.n_routed_experts == 8) {  // so few heads' worth of attention beside eight experts that it costs nothing
    if (value || is("attn_k.")) return GgufType::kQ8_0;
    if (is("attn_output.") && recipe.type == GgufType::kQ4K) return GgufType::kQ5K;
  }
  if (k_type && (value || down)) {
    if (recipe.more_bits && takes_more_bits(tensor.layer, layers)) return GgufType::kQ6K;
    if (recipe.fewer_bits && tensor.layer < (value ? 4 : layers / 8)) return GgufType::kQ5K;
  }
  return recipe.type;
}

GgufType that_fits(GgufType type, int64_t row) {
  const auto fits = [&](GgufType candidate) { return row % formats::gguf_type_info(candidate).block_values == 0; };
  if (fits(type)) return type;
  const GgufType smaller = type == GgufType::kQ4K   ? GgufType::kQ5_0
                           : type == GgufType::kQ5K ? GgufType::kQ5_1
                           : type == GgufType::kQ6K ? GgufType::kQ8_0
                                                    : GgufType::kF16;
  return fits(smaller) ? smaller : GgufType::kF16;
}

}  // namespace

std::span<const Recipe> recipes() { return kRecipes; }

const Recipe& recipe_named(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  for (const auto& [alias, meant] : kAliases) {
    if (lower == alias) lower = meant;
  }
  std::vector<std::string> names;
  for (const Recipe& recipe : kRecipes) {
    if (recipe.name == lower) return recipe;
    names.emplace_back(recipe.name);
  }
  const std::string near = base::nearest(lower, names);
  base::fail(base::ErrorKind::kUsage, "quantize", "unknown type", base::in_quotes(name),
             near.empty() ? "--help lists them" : "did you mean " + near + "?");
}

GgufType type_for(const Recipe& recipe, bool pure, const formats::GgufTensorPlan& tensor,
                  const spec::ModelConfig& config) {
  switch (tensor.role) {
    case TensorRole::kHashTable:
      return GgufType::kI32;
    case TensorRole::kNorm:
    case TensorRole::kRouter:
    case TensorRole::kRouterBias:
      return GgufType::kF32;
    default:
      break;
  }
  if (is_float(recipe.type)) return recipe.type;
  return that_fits(pure ? recipe.type : for_matrix(recipe, tensor, config), tensor.shape.back());
}

}  // namespace dsmoe::quantize
