#include "schema/json_rule.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace dsmoe::schema {
namespace {

constexpr size_t kMostStates = 4096, kMostMasks = 64;

// A text inside which nearly every token may come.
bool is_open_string(const Automaton& automaton, const Frame* frame) {
  const bool is_string =
      frame != nullptr && (frame->in == Frame::In::kString || (frame->in == Frame::In::kKey && frame->count == 0));
  return is_string && between_characters(frame->string) && automaton.is_free(*frame);
}

}  // namespace

JsonRule::JsonRule(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const Vocabulary> vocabulary)
    : vocabulary_(std::move(vocabulary)), automaton_(std::move(grammar)), state_(automaton_.start()) {
  path_.resize(1 + vocabulary_->all().deepest);
}

std::span<const uint64_t> JsonRule::allowed() {
  if (const auto found = masks_.find(state_); found != masks_.end()) return found->second;
  if (masks_.size() >= kMostMasks) masks_.clear();
  return masks_[state_] = mask_of(state_);
}

// Behind the last digit that a number may have nothing can come either.
bool JsonRule::ends() {
  if (!may_end()) return false;
  const auto tokens = allowed();
  return std::all_of(tokens.begin(), tokens.end(), [](uint64_t word) { return word == 0; });
}

void JsonRule::accept(int32_t token) {
  for (const char byte : vocabulary_->text(token)) state_ = automaton_.step(state_, static_cast<uint8_t>(byte));
  DSMOE_CHECK(state_ != Automaton::kDead, "a token that was accepted must be allowed");
  if (automaton_.compact(state_, kMostStates)) masks_.clear();
}

TokenMask JsonRule::mask_of(Automaton::State state) {
  TokenMask mask(vocabulary_->words());
  std::vector<int32_t> strings, others;
  const Automaton::State ahead = automaton_.ahead(state);
  for (const int32_t stack : automaton_.stacks(ahead)) {
    const Frame* top = automaton_.top(stack);
    if (!is_open_string(automaton_, top)) {
      others.push_back(stack);
      continue;
    }
    strings.push_back(stack);
    const TokenMask& plain = vocabulary_->plain(automaton_.room(*top));
    for (size_t w = 0; w < mask.size(); ++w) mask[w] |= plain[w];
  }
  if (!strings.empty()) walk(vocabulary_->special(), automaton_.state_of(std::move(strings)), mask);
  if (!others.empty()) walk(vocabulary_->all(), automaton_.state_of(std::move(others)), mask);
  if (ahead == state) return mask;
  // What looking ahead takes for possible because it forgets a key: tokens with two of them.
  for (const int32_t token : vocabulary_->quoted()) {
    const auto word = static_cast<size_t>(token) / 64;
    if (!engine::is_allowed(mask, token)) continue;
    Automaton::State after = state;
    for (const char byte : vocabulary_->text(token)) after = automaton_.step(after, static_cast<uint8_t>(byte));
    if (after == Automaton::kDead) mask[word] &= ~(uint64_t{1} << (token % 64));
  }
  return mask;
}

void JsonRule::walk(const Vocabulary::Trie& trie, Automaton::State from, TokenMask& mask) {
  path_[0] = from;
  for (size_t i = 0; i < trie.nodes.size();) {
    const Vocabulary::Node& node = trie.nodes[i];
    const Automaton::State state = automaton_.step(path_[node.depth - 1], node.byte);
    ++walked_;
    if (state == Automaton::kDead) {
      i = static_cast<size_t>(node.end);
      continue;
    }
    path_[node.depth] = state;
    for (int32_t t = node.first; t < node.last; ++t) {
      const auto id = static_cast<size_t>(trie.ids[static_cast<size_t>(t)]);
      mask[id / 64] |= uint64_t{1} << (id % 64);
    }
    ++i;
  }
}

bool accepts(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  Automaton automaton(grammar);
  Automaton::State state = automaton.start();
  for (const char byte : text) state = automaton.step(state, static_cast<uint8_t>(byte));
  return automaton.may_end(state);
}

}  // namespace dsmoe::schema
