// What a text must be, asked token by token: which may come next, and whether it may end.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace dsmoe::engine {

class TokenRule {
 public:
  virtual ~TokenRule() = default;
  /// A bit for each token that may come next, the lowest of the first word being token 0's; tokens beyond the last word
  /// may not. Good until accept().
  virtual std::span<const uint64_t> allowed() = 0;
  /// The text has gone on by this token, which was allowed.
  virtual void accept(int32_t token) = 0;
  /// The text may end here; `ends`: and has to, as nothing is allowed.
  virtual bool may_end() const = 0;
  virtual bool ends() = 0;
};

/// Begins a text. Each has a rule of its own.
using MakeTokenRule = std::function<std::unique_ptr<TokenRule>()>;

inline bool is_allowed(std::span<const uint64_t> allowed_V, int32_t token) {
  const auto word = static_cast<size_t>(token) / 64;
  return word < allowed_V.size() && (allowed_V[word] >> (token % 64) & 1) != 0;
}

}  // namespace dsmoe::engine
