// Reading. The writer is tokenizer_json_write.cpp.
#include "tokenizer/tokenizer_json.h"

#include <algorithm>
#include <initializer_list>
#include <unordered_set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "tokenizer/bpe_alphabet.h"

namespace dsmoe::tokenizer {
namespace {

using base::Json;

// Ids come from a stranger's file and size tables, so they may run ahead of the number of tokens only so far: a
// vocabulary may have gaps, but one token must not take the memory of millions.
constexpr int64_t kMostTokens = int64_t{1} << 22, kFreeIds = int64_t{1} << 16, kIdsPerToken = 4;

const Json kNull = nullptr;

class Reader {
 public:
  explicit Reader(std::string_view where) : where_(where) {}

  TokenizerSpec read(const Json& root) {
    only_keys(root, "tokenizer.json",
              {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
               "decoder", "model"});
    for (const char* key : {"truncation", "padding"}) {
      if (!member(root, key).is_null()) refuse(std::string(key) + " other than null", member(root, key));
    }
    const Json& model = base::require_member(root, "model", where_);
    const auto entries = static_cast<int64_t>(member(root, "added_tokens").size()) +
                         (model.is_object() ? static_cast<int64_t>(member(model, "vocab").size()) : 0);
    end_of_ids_ = std::min(kMostTokens, kFreeIds + kIdsPerToken * entries);
    read_model(model);
    read_added_tokens(member(root, "added_tokens"));
    read_normalizer(member(root, "normalizer"));
    read_pre_tokenizer(member(root, "pre_tokenizer"));
    if (spec_.pre_tokenizer.empty() || !std::holds_alternative<ByteLevelStep>(spec_.pre_tokenizer.back())) {
      fail("the pre_tokenizer must end with ByteLevel", "", "only byte-level BPE is read");
    }
    read_post_processor(member(root, "post_processor"));
    read_decoder(member(root, "decoder"));
    return std::move(spec_);
  }

 private:
  // --- small things ---
  [[noreturn]] void fail(const std::string& rule, std::string_view found = {}, std::string_view hint = {}) const {
    base::fail_invalid(where_, rule, found, hint);
  }
  [[noreturn]] void refuse(const std::string& what, const Json& found) const {
    fail("dsmoe does not read " + what, base::in_quotes(base::dump_json(found)));
  }
  static const Json& member(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() ? kNull : *found;
  }
  void only_keys(const Json& object, const char* what, std::initializer_list<const char*> known) const {
    if (!object.is_object()) fail(std::string(what) + " must be an object", base::in_quotes(base::dump_json(object)));
    for (const auto& [key, value] : object.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        fail(std::string(what) + " has a key that dsmoe does not know", base::in_quotes(key));
      }
    }
  }
  bool flag(const Json& object, const char* key, bool otherwise) const {
    return member(object, key).is_null() ? otherwise : base::require_bool(object, key, where_);
  }
  std::string type_of(const Json& part) const { return base::require_string(part, "type", where_); }
  /// The parts of a Sequence, or the one part itself.
  template <class Visit>
  void each_part(const Json& part, const char* list, Visit&& visit) {
    if (part.is_null()) return;
    if (type_of(part) != "Sequence") return visit(part);
    only_keys(part, "a Sequence", {"type", list});
    const Json& parts = base::require_member(part, list, where_);
    if (!parts.is_array()) fail(std::string(list) + " must be an array");
    for (const Json& inner : parts) each_part(inner, list, visit);
  }
  int32_t id_of(const Json& value, std::string_view token) const {
    if (!value.is_number_integer() || value < 0 || value >= end_of_ids_) {
      fail("a token's id must be an integer from 0 to " + std::to_string(end_of_ids_ - 1), base::dump_json(value),
           "token " + base::in_quotes(token) + "; ids beyond a few times the number of tokens are not read");
    }
    return value.get<int32_t>();
  }
  void place(int32_t id, const std::string& token) {
    const auto at = static_cast<size_t>(id);
    if (at >= spec_.tokens.size()) spec_.tokens.resize(at + 1);
    if (!spec_.tokens[at].empty()) {
      fail("two tokens have the id " + std::to_string(id), base::in_quotes(spec_.tokens[at]),
           "the other is " + base::in_quotes(token));
    }
    spec_.tokens[at] = token;
  }

  // --- parts, in the order of the file ---
  void read_model(const Json& model) {
    only_keys(model, "the model",
              {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
               "byte_fallback", "ignore_merges", "vocab", "merges"});
    if (const Json& type = member(model, "type"); !type.is_null() && type != "BPE") refuse("models but BPE", type);
    if (flag(model, "byte_fallback", false)) refuse("byte_fallback", true);
    if (const Json& dropout = member(model, "dropout"); !dropout.is_null() && dropout != 0.0) {
      refuse("dropout", dropout);
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (const Json& value = member(model, key); !value.is_null() && value != Json("")) refuse(key, value);
    }
    spec_.ignore_merges = flag(model, "ignore_merges", false);
    const Json& vocab = base::require_member(model, "vocab", where_);
    if (!vocab.is_object()) fail("vocab must be an object");
    for (const auto& [token, id] : vocab.items()) {
      if (token.empty()) fail("a token must not be empty", base::dump_json(id));
      place(id_of(id, token), token);
      ids_.emplace(token, id.get<int32_t>());
    }
    read_merges(base::require_member(model, "merges", where_));
    // a vocabulary with every byte never has an unknown one
    if (const Json& unknown = member(model, "unk_token"); !unknown.is_null() && !has_all_bytes()) {
      refuse("unk_token with a vocabulary that lacks bytes", unknown);
    }
  }

  bool has_all_bytes() const;

  void read_merges(const Json& merges) {
    if (!merges.is_array()) fail("merges must be an array");
    spec_.merges.reserve(merges.size());
    std::string joined;
    for (const Json& merge : merges) {
      std::string_view left, right;
      if (merge.is_string()) {
        const std::string_view line = merge.get_ref<const std::string&>();
        if (line.substr(0, 8) == "#version") continue;
        const size_t space = line.find(' ');
        if (space == line.npos || line.find(' ', space + 1) != line.npos) {
          fail("a merge must be two tokens with one space between", base::in_quotes(line));
        }
        left = line.substr(0, space);
        right = line.substr(space + 1);
      } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        left = merge[0].get_ref<const std::string&>();
        right = merge[1].get_ref<const std::string&>();
      } else {
        fail("a merge must be a string or a pair of strings", base::in_quotes(base::dump_json(merge)));
      }
      joined.assign(left).append(right);
      spec_.merges.push_back({merge_part(left), merge_part(right), merge_part(joined)});
    }
  }
  int32_t merge_part(std::string_view token) const {
    const auto found = ids_.find(std::string(token));
    if (found == ids_.end()) fail("a merge names a token that is not in the vocabulary", base::in_quotes(token));
    return found->second;
  }

  void read_added_tokens(const Json& list) {
    if (list.is_null()) return;
    if (!list.is_array()) fail("added_tokens must be an array");
    std::unordered_set<std::string> added;
    for (const Json& item : list) {
      only_keys(item, "an added token", {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
      AddedToken token;
      token.content = base::require_string(item, "content", where_);
      if (token.content.empty()) fail("an added token must not be empty");
      token.id = id_of(base::require_member(item, "id", where_), token.content);
      token.special = flag(item, "special", false);
      token.lstrip = flag(item, "lstrip", false);
      token.rstrip = flag(item, "rstrip", false);
      token.single_word = flag(item, "single_word", false);
      token.normalized = flag(item, "normalized", !token.special);
      const auto known = ids_.find(token.content);
      token.in_model = known != ids_.end();
      if (token.in_model && known->second != token.id) {
        fail("an added token has another id than in the vocabulary", base::in_quotes(token.content));
      }
      if (!added.insert(token.content).second) {
        fail("an added token comes twice", base::in_quotes(token.content));
      }
      if (!token.in_model) place(token.id, token.content);
      spec_.added_tokens.push_back(std::move(token));
    }
  }

  void read_normalizer(const Json& normalizer) {
    each_part(normalizer, "normalizers", [&](const Json& part) {
      if (type_of(part) != "NFC") refuse("the normalizer " + type_of(part), part);
      spec_.nfc = true;
    });
  }

  void read_pre_tokenizer(const Json& pre_tokenizer) {
    each_part(pre_tokenizer, "pretokenizers", [&](const Json& part) {
      auto& steps = spec_.pre_tokenizer;
      if (!steps.empty() && std::holds_alternative<ByteLevelStep>(steps.back())) {
        refuse("a pre_tokenizer after ByteLevel", part);
      }
      const std::string type = type_of(part);
      if (type == "Split") {
        steps.emplace_back(read_split(part));
      } else if (type == "Digits") {
        only_keys(part, "Digits", {"type", "individual_digits"});
        steps.emplace_back(DigitsStep{flag(part, "individual_digits", false)});
      } else if (type == "ByteLevel") {
        only_keys(part, "ByteLevel", {"type", "add_prefix_space", "trim_offsets", "use_regex"});
        steps.emplace_back(
            ByteLevelStep{base::require_bool(part, "add_prefix_space", where_), flag(part, "use_regex", true)});
      } else {
        refuse("the pre_tokenizer " + type, part);
      }
    });
  }

  SplitStep read_split(const Json& part) const {
    only_keys(part, "Split", {"type", "pattern", "behavior", "invert"});
    const Json& pattern = base::require_member(part, "pattern", where_);
    only_keys(pattern, "a Split's pattern", {"Regex", "String"});
    SplitStep step;
    step.is_regex = pattern.contains("Regex");
    if (pattern.size() != 1) fail("a Split's pattern must be one of Regex and String");
    step.pattern = base::require_string(pattern, step.is_regex ? "Regex" : "String", where_);
    const std::string behavior = base::require_string(part, "behavior", where_);
    const auto name = std::find(std::begin(kSplitBehaviorNames), std::end(kSplitBehaviorNames), behavior);
    if (name == std::end(kSplitBehaviorNames)) refuse("the Split behavior " + behavior, part);
    step.behavior = static_cast<SplitBehavior>(name - std::begin(kSplitBehaviorNames));
    step.invert = flag(part, "invert", false);
    return step;
  }

  void read_post_processor(const Json& post_processor) {
    bool any = false;
    each_part(post_processor, "processors", [&](const Json& part) {
      const std::string type = type_of(part);
      if (type == "ByteLevel") return;  // about offsets only
      if (type != "TemplateProcessing" || any) refuse("the post_processor " + type, part);
      any = true;
      const Json& special_tokens = base::require_member(part, "special_tokens", where_);
      const Json& single = base::require_member(part, "single", where_);
      if (!single.is_array()) fail("a template's single must be an array");
      bool past_text = false;
      for (const Json& item : single) {
        if (item.is_object() && item.contains("Sequence")) {
          if (past_text) refuse("a template with the text twice", single);
          past_text = true;
          continue;
        }
        const std::string name = base::require_string(base::require_member(item, "SpecialToken", where_), "id", where_);
        const Json& ids = base::require_member(base::require_member(special_tokens, name, where_), "ids", where_);
        if (!ids.is_array()) fail("a template token's ids must be an array");
        for (const Json& id : ids) (past_text ? spec_.suffix : spec_.prefix).push_back(id_of(id, name));
      }
      if (!past_text) refuse("a template without the text", single);
    });
  }

  void read_decoder(const Json& decoder) {
    each_part(decoder, "decoders", [&](const Json& part) {
      if (type_of(part) != "ByteLevel") refuse("the decoder " + type_of(part), part);
    });
  }

  std::string where_;
  int64_t end_of_ids_ = 0;  // one beyond the largest that may be
  TokenizerSpec spec_;
  std::unordered_map<std::string, int32_t> ids_;  // the model's vocabulary
};

bool Reader::has_all_bytes() const {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (!ids_.contains(bytes_to_alphabet({&c, 1}))) return false;
  }
  return true;
}

std::optional<int32_t> added_id(const TokenizerSpec& spec, std::string_view content) {
  for (const AddedToken& token : spec.added_tokens) {
    if (token.content == content) return token.id;
  }
  return std::nullopt;
}

// A token in tokenizer_config.json is a string or an object with its content.
std::optional<int32_t> config_token(const TokenizerSpec& spec, const Json& config, const char* key,
                                    std::string_view where) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return std::nullopt;
  const std::string content =
      base::require_string(found->is_object() ? *found : config, found->is_object() ? "content" : key, where);
  const auto id = added_id(spec, content);
  if (!id)
    base::fail_invalid(where, std::string(key) + " is no added token of tokenizer.json", base::in_quotes(content));
  return id;
}

// tokenizer_config.json lists the added tokens a second time, by id. transformers adds those that tokenizer.json lacks.
void check_added_tokens(const TokenizerSpec& spec, const Json& config, std::string_view where) {
  constexpr const char* kList = "added_tokens_decoder";
  const auto list = config.find(kList);
  if (list == config.end() || list->is_null()) return;
  if (!list->is_object()) {
    base::fail_invalid(where, std::string(kList) + " must be an object", base::in_quotes(base::dump_json(*list)));
  }
  for (const auto& [id, token] : list->items()) {
    const std::string content = base::require_string(token, "content", where);
    const auto own = added_id(spec, content);
    if (own && std::to_string(*own) == id) continue;
    base::fail_invalid(where, std::string(kList) + " has a token that tokenizer.json has not under this id",
                       id + ", " + base::in_quotes(content), "save the tokenizer again with transformers");
  }
}

// Nothing here pads, so a padding token that tokenizer.json does not have, or that is no token at all, is none.
std::optional<int32_t> padding_token(const TokenizerSpec& spec, const Json& config) {
  const auto found = config.find("pad_token");
  if (found == config.end()) return std::nullopt;
  const Json content = found->is_object() ? found->value("content", Json()) : *found;
  return content.is_string() ? added_id(spec, content.get<std::string>()) : std::nullopt;
}

// Without a tokenizer_config.json: the names that the known families give their special tokens.
void guess_special_tokens(TokenizerSpec& spec) {
  const auto first = [&](std::initializer_list<const char*> names) -> std::optional<int32_t> {
    for (const char* name : names) {
      if (const auto id = added_id(spec, name)) return id;
    }
    return std::nullopt;
  };
  spec.bos = first({"<｜begin▁of▁sentence｜>", "<|begin_of_text|>"});
  spec.eos = first({"<｜end▁of▁sentence｜>", "<|end_of_text|>", "<|im_end|>", "<|endoftext|>"});
  spec.pad = first({"<｜▁pad▁｜>"});
}

}  // namespace

TokenizerSpec parse_tokenizer_json(std::string_view json, std::string_view config, std::string_view where) {
  TokenizerSpec spec = Reader(where).read(base::parse_json(json, where));
  if (config.empty()) {
    guess_special_tokens(spec);
    return spec;
  }
  constexpr std::string_view kConfig = "tokenizer_config.json";
  const Json settings = base::parse_json(config, kConfig);
  if (!settings.is_object()) base::fail_invalid(kConfig, "must be a JSON object");
  check_added_tokens(spec, settings, kConfig);
  spec.bos = config_token(spec, settings, "bos_token", kConfig);
  spec.eos = config_token(spec, settings, "eos_token", kConfig);
  spec.pad = padding_token(spec, settings);
  // as transformers does: the two flags count where the file itself has no template
  if (spec.prefix.empty() && spec.suffix.empty()) {
    const auto wants = [&](const char* key) { return settings.contains(key) && settings[key] == true; };
    if (wants("add_bos_token") && spec.bos) spec.prefix = {*spec.bos};
    if (wants("add_eos_token") && spec.eos) spec.suffix = {*spec.eos};
  }
  return spec;
}

Tokenizer parse_tokenizer(std::string_view json, std::string_view config, std::string_view where) {
  return Tokenizer(parse_tokenizer_json(json, config, where));
}

Tokenizer load_tokenizer(const std::filesystem::path& path) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path file = fs::is_directory(path, ignored) ? path / "tokenizer.json" : path;
  const fs::path config = file.parent_path() / "tokenizer_config.json";
  constexpr uint64_t kLongest = uint64_t{1} << 28;
  const std::string json = base::read_file(file, kLongest);
  const bool has_config = fs::exists(config, ignored);
  return parse_tokenizer(json, has_config ? base::read_file(config, kLongest) : std::string(), file.string());
}

}  // namespace dsmoe::tokenizer
