#include "formats/gguf_tokenizer.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "formats/end_tokens.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::formats {
namespace {

using base::fail_invalid;
using base::in_quotes;

constexpr int32_t kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5;
constexpr std::string_view kPart = "gguf tokenizer", kInModel = "dsmoe.tokenizer.in_model";

// The keys' values, between the two forms.
struct Parts {
  std::string pre;
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
  std::optional<int32_t> bos, eos, pad;
  bool add_bos = false, add_eos = false;
  std::vector<int32_t> in_model;  // added tokens that are listed among the others too: dsmoe's own key
};

// llama.cpp's names of Llama 3's rules: a word that is a token is not merged, and bos goes before a text unless the
// file says otherwise.
bool is_llama3(std::string_view pre) { return pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3"; }

std::string padding_name(size_t id) { return "[PAD" + std::to_string(id) + "]"; }

Parts parts_of(const tokenizer::TokenizerSpec& spec, int64_t vocab_size) {
  Parts parts;
  const auto name = tokenizer::pretokenizer_name(spec.pre_tokenizer);
  if (!name) {
    fail_invalid(kPart, "the pre-tokenizer must be deepseek-v3's, deepseek-llm's, llama-bpe's, qwen2's or gpt-2's",
                 "another", "GGUF names pre-tokenizers, it does not describe them");
  }
  if (static_cast<int64_t>(spec.tokens.size()) > vocab_size) {
    fail_invalid(kPart, "it may have at most the model's vocab_size of tokens",
                 std::to_string(spec.tokens.size()) + " and " + std::to_string(vocab_size));
  }
  parts.pre = *name;
  parts.tokens = spec.tokens;
  parts.tokens.resize(static_cast<size_t>(vocab_size));
  parts.types.assign(parts.tokens.size(), kNormal);
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    if (!parts.tokens[id].empty()) continue;
    parts.tokens[id] = padding_name(id);
    parts.types[id] = kUnused;
  }
  for (const tokenizer::AddedToken& token : spec.added_tokens) {
    parts.types[static_cast<size_t>(token.id)] = token.special ? kControl : kUserDefined;
    if (token.in_model) parts.in_model.push_back(token.id);
  }
  const auto text = [&](int32_t id) -> const std::string& { return spec.tokens[static_cast<size_t>(id)]; };
  for (const tokenizer::BpeMerge& merge : spec.merges)
    parts.merges.push_back(text(merge.left) + " " + text(merge.right));
  parts.bos = spec.bos;
  parts.eos = spec.eos;
  parts.pad = spec.pad;
  parts.add_bos = spec.bos && !spec.prefix.empty() && spec.prefix.front() == *spec.bos;
  parts.add_eos = spec.eos && !spec.suffix.empty() && spec.suffix.back() == *spec.eos;
  return parts;
}

// A merge "left right": letters of the byte alphabet hold no space, so the one between is the only one.
tokenizer::BpeMerge merge_of(const std::string& line, const std::unordered_map<std::string, int32_t>& ids) {
  const size_t space = line.find(' ');
  if (space == line.npos || line.find(' ', space + 1) != line.npos) {
    fail_invalid(kPart, "a merge is two tokens with one space between", in_quotes(line));
  }
  const auto id = [&](const std::string& token) {
    const auto found = ids.find(token);
    if (found == ids.end()) fail_invalid(kPart, "a merge names a token that is not in the vocabulary", in_quotes(line));
    return found->second;
  };
  const std::string left = line.substr(0, space), right = line.substr(space + 1);
  return {id(left), id(right), id(left + right)};
}

tokenizer::TokenizerSpec spec_of(const Parts& parts) {
  tokenizer::TokenizerSpec spec;
  const auto steps = tokenizer::pretokenizer_steps(parts.pre);
  if (!steps) {
    fail_invalid(kPart, "tokenizer.ggml.pre must be deepseek-v3, deepseek-llm, llama-bpe, qwen2 or gpt-2",
                 in_quotes(parts.pre));
  }
  spec.pre_tokenizer = *steps;
  spec.ignore_merges = is_llama3(parts.pre);
  std::unordered_map<std::string, int32_t> ids;
  spec.tokens = parts.tokens;
  for (size_t id = 0; id < parts.tokens.size(); ++id) {
    const auto number = static_cast<int32_t>(id);
    const std::string& token = parts.tokens[id];
    const int32_t type = parts.types[id];
    const bool padding = token == padding_name(id) && type != kNormal;
    if (token.empty() || type == kUnused || padding) {
      spec.tokens[id].clear();
    } else if (type == kControl || type == kUserDefined) {
      tokenizer::AddedToken added;
      added.id = number;
      added.content = token;
      added.special = type == kControl;
      added.normalized = type == kUserDefined;
      spec.added_tokens.push_back(std::move(added));
    } else if (type != kNormal) {
      fail_invalid(kPart, "tokens are normal, control, user-defined or unused",
                   in_quotes(token) + " has type " + std::to_string(type));
    } else if (!ids.emplace(token, number).second) {
      fail_invalid(kPart, "two tokens are the same", in_quotes(token));
    }
  }
  for (tokenizer::AddedToken& token : spec.added_tokens) {
    token.in_model = std::find(parts.in_model.begin(), parts.in_model.end(), token.id) != parts.in_model.end();
  }
  while (!spec.tokens.empty() && spec.tokens.back().empty()) spec.tokens.pop_back();
  for (const std::string& line : parts.merges) spec.merges.push_back(merge_of(line, ids));
  spec.bos = parts.bos;
  spec.eos = parts.eos;
  spec.pad = parts.pad;
  if (parts.add_bos && parts.bos) spec.prefix = {*parts.bos};
  if (parts.add_eos && parts.eos) spec.suffix = {*parts.eos};
  return spec;
}

bool same(const tokenizer::TokenizerSpec& a, const tokenizer::TokenizerSpec& b) {
  return tokenizer::tokenizer_json_text(a) == tokenizer::tokenizer_json_text(b) && a.bos == b.bos && a.eos == b.eos &&
         a.pad == b.pad;
}

std::optional<int32_t> id_key(const GgufFile& file, const char* key, size_t tokens) {
  const auto id = gguf_token_id(file, key);
  if (!id) return std::nullopt;
  if (*id < 0 || static_cast<uint64_t>(*id) >= tokens) {
    fail_invalid(kPart, std::string(key) + " must be the id of a token", std::to_string(*id));
  }
  return static_cast<int32_t>(*id);
}

// Nothing here pads, so a padding token that does not exist is none.
std::optional<int32_t> padding_key(const GgufFile& file, size_t tokens) {
  const auto id = gguf_token_id(file, "tokenizer.ggml.padding_token_id");
  return id && *id >= 0 && static_cast<uint64_t>(*id) < tokens ? std::optional(static_cast<int32_t>(*id))
                                                               : std::nullopt;
}

Parts read_parts(const GgufFile& file) {
  Parts parts;
  const auto strings = [&](const char* key) {
    const auto texts = file.texts(key);
    if (!texts) fail_invalid(kPart, "a key is missing", file.path().string() + ", " + key);
    return std::vector<std::string>(texts->begin(), texts->end());
  };
  const auto pre = file.text("tokenizer.ggml.pre");
  if (!pre) {
    fail_invalid(kPart, "a key is missing", file.path().string() + ", tokenizer.ggml.pre",
                 "without it llama.cpp guesses how words are split; such a model runs with --tokens");
  }
  parts.pre = *pre;
  parts.tokens = strings("tokenizer.ggml.tokens");
  parts.merges = strings("tokenizer.ggml.merges");
  parts.types.assign(parts.tokens.size(), kNormal);
  if (const auto types = file.integers("tokenizer.ggml.token_type")) {
    if (types->size() != parts.tokens.size()) {
      fail_invalid(kPart, "there must be as many token types as tokens",
                   std::to_string(types->size()) + " and " + std::to_string(parts.tokens.size()));
    }
    for (size_t i = 0; i < types->size(); ++i) {
      parts.types[i] = (*types)[i] >= 0 && (*types)[i] <= 6 ? static_cast<int32_t>((*types)[i]) : 0;
    }
  }
  parts.bos = id_key(file, "tokenizer.ggml.bos_token_id", parts.tokens.size());
  parts.eos = id_key(file, "tokenizer.ggml.eos_token_id", parts.tokens.size());
  parts.pad = padding_key(file, parts.tokens.size());
  parts.add_bos = file.boolean("tokenizer.ggml.add_bos_token").value_or(is_llama3(parts.pre));
  parts.add_eos = file.boolean("tokenizer.ggml.add_eos_token").value_or(false);
  for (const int64_t id : file.integers(kInModel).value_or(std::vector<int64_t>{})) {
    if (id >= 0 && id <= INT32_MAX) parts.in_model.push_back(static_cast<int32_t>(id));
  }
  return parts;
}

}  // namespace

void add_tokenizer_keys(GgufMetadata& metadata, const tokenizer::TokenizerSpec& spec, int64_t vocab_size,
                        std::string_view chat_template) {
  const Parts parts = parts_of(spec, vocab_size);
  metadata.add_text("tokenizer.ggml.model", "gpt2");
  metadata.add_text("tokenizer.ggml.pre", parts.pre);
  metadata.add_texts("tokenizer.ggml.tokens", parts.tokens);
  metadata.add_i32s("tokenizer.ggml.token_type", parts.types);
  metadata.add_texts("tokenizer.ggml.merges", parts.merges);
  if (parts.bos) metadata.add_u32("tokenizer.ggml.bos_token_id", *parts.bos);
  if (parts.eos) metadata.add_u32("tokenizer.ggml.eos_token_id", *parts.eos);
  if (parts.pad) metadata.add_u32("tokenizer.ggml.padding_token_id", *parts.pad);
  metadata.add_bool("tokenizer.ggml.add_bos_token", parts.add_bos);
  metadata.add_bool("tokenizer.ggml.add_eos_token", parts.add_eos);
  if (!parts.in_model.empty()) metadata.add_i32s(kInModel, parts.in_model);
  if (!chat_template.empty()) metadata.add_text("tokenizer.chat_template", chat_template);
  if (!same(spec_of(parts), spec))
    metadata.add_text("tokenizer.huggingface.json", tokenizer::tokenizer_json_text(spec));
}

void add_no_tokenizer_keys(GgufMetadata& metadata, int64_t bos, int64_t eos) {
  metadata.add_text("tokenizer.ggml.model", "no_vocab");
  if (bos >= 0) metadata.add_u32("tokenizer.ggml.bos_token_id", bos);
  if (eos >= 0) metadata.add_u32("tokenizer.ggml.eos_token_id", eos);
}

std::optional<tokenizer::TokenizerSpec> tokenizer_from_gguf(const GgufFile& file) {
  const auto model = file.text("tokenizer.ggml.model");
  if (!model || *model == "no_vocab" || *model == "none") return std::nullopt;
  if (*model != "gpt2") {
    fail_invalid(kPart, "tokenizer.ggml.model must be gpt2, byte-level BPE",
                 file.path().string() + ", " + in_quotes(*model), "such a model runs with --tokens");
  }
  const Parts parts = read_parts(file);
  const auto json = file.text("tokenizer.huggingface.json");
  if (!json) return spec_of(parts);
  tokenizer::TokenizerSpec spec =
      tokenizer::parse_tokenizer_json(*json, {}, file.path().string() + ", tokenizer.huggingface.json");
  spec.bos = parts.bos;
  spec.eos = parts.eos;
  spec.pad = parts.pad;
  return spec;
}

}  // namespace dsmoe::formats
