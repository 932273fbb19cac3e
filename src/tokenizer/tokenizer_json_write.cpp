#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::tokenizer {
namespace {

using base::Json;

Json byte_level(bool add_prefix_space, bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", add_prefix_space}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

Json step_json(const PreTokenizerStep& step) {
  if (const auto* split = std::get_if<SplitStep>(&step)) {
    return {{"type", "Split"},
            {"pattern", {{split->is_regex ? "Regex" : "String", split->pattern}}},
            {"behavior", kSplitBehaviorNames[static_cast<size_t>(split->behavior)]},
            {"invert", split->invert}};
  }
  if (const auto* digits = std::get_if<DigitsStep>(&step)) {
    return {{"type", "Digits"}, {"individual_digits", digits->individual_digits}};
  }
  const auto& bytes = std::get<ByteLevelStep>(step);
  return byte_level(bytes.add_prefix_space, bytes.use_regex);
}

Json template_json(const TokenizerSpec& spec) {
  Json special_tokens = Json::object();
  const auto token = [&](int32_t id, int type) -> Json {
    const std::string& content = spec.tokens[static_cast<size_t>(id)];
    special_tokens[content] = {{"id", content}, {"ids", {id}}, {"tokens", {content}}};
    return {{"SpecialToken", {{"id", content}, {"type_id", type}}}};
  };
  const auto text = [&](const char* name, int type, Json& out) {
    for (const int32_t id : spec.prefix) out.push_back(token(id, type));
    out.push_back({{"Sequence", {{"id", name}, {"type_id", type}}}});
    for (const int32_t id : spec.suffix) out.push_back(token(id, type));
  };
  Json single = Json::array(), pair = Json::array();
  text("A", 0, single);
  text("A", 0, pair);
  text("B", 1, pair);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special_tokens}};
}

Json model_json(const TokenizerSpec& spec) {
  std::vector<bool> in_model(spec.tokens.size(), true);
  for (const AddedToken& token : spec.added_tokens) in_model[static_cast<size_t>(token.id)] = token.in_model;
  Json vocab = Json::object();
  auto& entries = vocab.get_ref<Json::object_t&>();  // its operator[] would search all keys each time
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (in_model[id] && !spec.tokens[id].empty()) entries.push_back({spec.tokens[id], id});
  }
  Json merges = Json::array();
  const auto text = [&](int32_t id) -> const std::string& { return spec.tokens[static_cast<size_t>(id)]; };
  for (const BpeMerge& merge : spec.merges) merges.push_back(text(merge.left) + " " + text(merge.right));
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", spec.ignore_merges},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

}  // namespace

std::string tokenizer_json_text(const TokenizerSpec& spec) {
  Json added = Json::array();
  for (const AddedToken& token : spec.added_tokens) {
    added.push_back({{"id", token.id},
                     {"content", token.content},
                     {"single_word", token.single_word},
                     {"lstrip", token.lstrip},
                     {"rstrip", token.rstrip},
                     {"normalized", token.normalized},
                     {"special", token.special}});
  }
  Json steps = Json::array();
  for (const PreTokenizerStep& step : spec.pre_tokenizer) steps.push_back(step_json(step));
  const bool has_template = !spec.prefix.empty() || !spec.suffix.empty();
  Json root = {{"version", "1.0"},
               {"truncation", nullptr},
               {"padding", nullptr},
               {"added_tokens", std::move(added)},
               {"normalizer", spec.nfc ? Json{{"type", "NFC"}} : Json(nullptr)},
               {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}}},
               {"post_processor", has_template ? template_json(spec) : byte_level(true, true)},
               {"decoder", byte_level(true, true)}};
  root["model"] = model_json(spec);
  return base::dump_json(root, 2) + "\n";
}

std::string tokenizer_config_text(const TokenizerSpec& spec) {
  const auto content = [&](const std::optional<int32_t>& id) {
    return id ? Json(spec.tokens[static_cast<size_t>(*id)]) : Json(nullptr);
  };
  const Json config = {{"add_bos_token", spec.bos && spec.prefix == std::vector<int32_t>{*spec.bos}},
                       {"add_eos_token", spec.eos && spec.suffix == std::vector<int32_t>{*spec.eos}},
                       {"bos_token", content(spec.bos)},
                       {"chat_template", spec.bos && spec.eos ? Json(kPlainChatTemplate) : Json(nullptr)},
                       {"clean_up_tokenization_spaces", false},
                       {"eos_token", content(spec.eos)},
                       {"pad_token", content(spec.pad)},
                       {"unk_token", nullptr},
                       {"tokenizer_class", "PreTrainedTokenizerFast"}};
  return base::dump_json(config, 2) + "\n";
}

void save_tokenizer(const TokenizerSpec& spec, const std::filesystem::path& folder) {
  base::write_file(folder / "tokenizer.json", tokenizer_json_text(spec));
  base::write_file(folder / "tokenizer_config.json", tokenizer_config_text(spec));
}

std::string tokenizer_hash(const Tokenizer& tokenizer) {
  return base::xxh3_128_hex(tokenizer_json_text(tokenizer.spec()));
}

}  // namespace dsmoe::tokenizer
