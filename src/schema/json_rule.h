// A grammar as a rule of generation: masks of tokens, kept by the automaton's state.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/token_rule.h"
#include "schema/automaton.h"
#include "schema/vocabulary.h"

namespace dsmoe::schema {

class JsonRule : public engine::TokenRule {
 public:
  JsonRule(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const Vocabulary> vocabulary);
  std::span<const uint64_t> allowed() override;
  void accept(int32_t token) override;
  bool may_end() const override { return automaton_.may_end(state_); }
  bool ends() override;
  int64_t walked() const { return walked_; }  ///< nodes of tries that masks have cost so far

 private:
  TokenMask mask_of(Automaton::State state);
  void walk(const Vocabulary::Trie& trie, Automaton::State from, TokenMask& mask);

  std::shared_ptr<const Vocabulary> vocabulary_;
  Automaton automaton_;
  Automaton::State state_;
  std::unordered_map<Automaton::State, TokenMask> masks_;
  std::vector<Automaton::State> path_;
  int64_t walked_ = 0;
};

/// Whether the grammar takes the whole text.
bool accepts(const std::shared_ptr<const Grammar>& grammar, std::string_view text);

}  // namespace dsmoe::schema
