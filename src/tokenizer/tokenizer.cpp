#include "tokenizer/tokenizer.h"

#include <algorithm>
#include <mutex>

#include "base/error.h"
#include "tokenizer/bpe_alphabet.h"
#include "tokenizer/tokenizer_added.h"
#include "tokenizer/tokenizer_nfc.h"

namespace dsmoe::tokenizer {
namespace {

constexpr std::string_view kPart = "tokenizer";

}  // namespace

// What is looked for before normalisation, and after.
struct Tokenizer::AddedTokens {
  AddedTokens(const TokenizerSpec& spec, bool with_special)
      : literal(matcher(spec, with_special, false)), normalized(matcher(spec, with_special, true)) {}

  static AddedTokenMatcher matcher(const TokenizerSpec& spec, bool with_special, bool normalized) {
    std::vector<AddedToken> tokens;
    std::vector<std::string> patterns;
    for (const AddedToken& token : spec.added_tokens) {
      if (token.normalized != normalized || (token.special && !with_special)) continue;
      tokens.push_back(token);
      patterns.push_back(normalized && spec.nfc ? to_nfc(token.content) : token.content);
    }
    return {std::move(tokens), patterns};
  }

  AddedTokenMatcher literal, normalized;
};

// Workspaces that are not in use; as many are made as callers encode at once.
class Tokenizer::WorkspacePool {
 public:
  std::unique_ptr<BpeWorkspace> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<BpeWorkspace>();
    auto workspace = std::move(free_.back());
    free_.pop_back();
    return workspace;
  }
  void give(std::unique_ptr<BpeWorkspace> workspace) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(workspace));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<BpeWorkspace>> free_;
};

// The last stage: pieces to ids.
class Tokenizer::PieceEncoder final : public PieceSink {
 public:
  PieceEncoder(const Tokenizer& tokenizer, std::vector<int32_t>& out)
      : pool_(*tokenizer.workspaces_), bpe_(*tokenizer.bpe_), out_(out), workspace_(pool_.take()) {}
  ~PieceEncoder() { pool_.give(std::move(workspace_)); }
  void piece(std::string_view bytes) override { bpe_.encode(bytes, *workspace_, out_); }
  void token(int32_t id) { out_.push_back(id); }

 private:
  WorkspacePool& pool_;
  const Bpe& bpe_;
  std::vector<int32_t>& out_;
  std::unique_ptr<BpeWorkspace> workspace_;
};

Tokenizer::Tokenizer(TokenizerSpec spec) : spec_(std::move(spec)), workspaces_(std::make_unique<WorkspacePool>()) {
  pre_tokenizer_ = make_pretokenizer(spec_.pre_tokenizer);
  build_model();
  build_added_tokens();
}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

void Tokenizer::build_model() {
  const size_t count = spec_.tokens.size();
  const auto in_range = [&](int32_t id) { return id >= 0 && static_cast<size_t>(id) < count; };
  std::vector<bool> in_model(count, true);
  for (const AddedToken& token : spec_.added_tokens) {
    if (!in_range(token.id)) base::fail_invalid(kPart, "an added token's id is out of range", std::to_string(token.id));
    in_model[static_cast<size_t>(token.id)] = token.in_model;
  }
  std::vector<int32_t> byte_ids(256, -1);
  std::unordered_map<std::string, int32_t> whole_pieces;
  bytes_.resize(count);
  special_.resize(count, false);
  for (size_t id = 0; id < count; ++id) {
    const std::string& text = spec_.tokens[id];
    auto bytes = alphabet_to_bytes(text);
    if (in_model[id] && bytes && !bytes->empty()) {
      if (bytes->size() == 1) byte_ids[static_cast<unsigned char>((*bytes)[0])] = static_cast<int32_t>(id);
      if (spec_.ignore_merges) whole_pieces.emplace(*bytes, static_cast<int32_t>(id));
      bytes_[id] = std::move(*bytes);
    } else {
      bytes_[id] = text;
    }
    if (!bytes_[id].empty()) ids_.emplace(bytes_[id], static_cast<int32_t>(id));
  }
  for (const BpeMerge& m : spec_.merges) {
    if (!in_range(m.left) || !in_range(m.right) || !in_range(m.merged)) {
      base::fail_invalid(kPart, "a merge has an id out of range");
    }
    const auto text = [&](int32_t id) -> const std::string& { return spec_.tokens[static_cast<size_t>(id)]; };
    if (text(m.left) + text(m.right) != text(m.merged)) {
      base::fail_invalid(kPart, "a merge must make its two parts joined", base::in_quotes(text(m.merged)));
    }
  }
  bpe_ = std::make_unique<Bpe>(byte_ids, spec_.merges);
  bpe_->set_whole_pieces(std::move(whole_pieces));
}

void Tokenizer::build_added_tokens() {
  for (const AddedToken& token : spec_.added_tokens) {
    const auto id = static_cast<size_t>(token.id);
    if (token.content.empty()) base::fail_invalid(kPart, "an added token must not be empty", std::to_string(id));
    if (spec_.tokens[id] != token.content) {
      base::fail_invalid(kPart, "an added token and the vocabulary disagree on an id", base::in_quotes(token.content));
    }
    // One that is in the model too may also come of merges; then its letters stand for bytes as in any other token.
    if (!token.in_model) bytes_[id] = token.content;
    special_[id] = token.special;
    ids_[token.content] = token.id;
  }
  added_ = std::make_unique<AddedTokens>(spec_, true);
  added_in_documents_ = std::make_unique<AddedTokens>(spec_, false);
  const auto check = [&](int32_t id) {
    if (id < 0 || id >= vocab_size()) base::fail_invalid(kPart, "a special id is out of range", std::to_string(id));
  };
  for (const int32_t id : spec_.prefix) check(id);
  for (const int32_t id : spec_.suffix) check(id);
  for (const auto& id : {spec_.bos, spec_.eos, spec_.pad}) {
    if (id) check(*id);
  }
}

void Tokenizer::encode(std::string_view text, bool add_special, std::vector<int32_t>& out) const {
  if (add_special) out.insert(out.end(), spec_.prefix.begin(), spec_.prefix.end());
  encode_text(text, *added_, out);
  if (add_special) out.insert(out.end(), spec_.suffix.begin(), spec_.suffix.end());
}

void Tokenizer::encode_text(std::string_view text, const AddedTokens& added, std::vector<int32_t>& out) const {
  PieceEncoder pieces(*this, out);
  const auto on_token = [&](int32_t id) { pieces.token(id); };
  const auto on_text = [&](std::string_view between) { pre_tokenizer_->split(between, pieces); };
  added.literal.split(
      text,
      [&](std::string_view between) {
        if (!spec_.nfc || is_certainly_nfc(between)) return added.normalized.split(between, on_text, on_token);
        added.normalized.split(to_nfc(between), on_text, on_token);
      },
      on_token);
}

std::vector<int32_t> Tokenizer::encode_document(std::string_view text) const {
  std::vector<int32_t> out;
  out.reserve(text.size() / 3 + 4);
  encode_text(text, *added_in_documents_, out);
  return out;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool add_special) const {
  std::vector<int32_t> out;
  out.reserve(text.size() / 3 + 4);
  encode(text, add_special, out);
  return out;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string out;
  for (const int32_t id : ids) {
    if (!skip_special || !is_special(id)) out += token_bytes(id);
  }
  return out;
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  if (id < 0 || id >= vocab_size()) return {};
  return bytes_[static_cast<size_t>(id)];
}

bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && special_[static_cast<size_t>(id)];
}

std::optional<int32_t> Tokenizer::token_id(std::string_view text) const {
  if (const auto found = ids_.find(std::string(text)); found != ids_.end()) return found->second;
  if (const auto bytes = alphabet_to_bytes(text)) {
    if (const auto found = ids_.find(*bytes); found != ids_.end()) return found->second;
  }
  return std::nullopt;
}

}  // namespace dsmoe::tokenizer
