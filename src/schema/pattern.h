// A regular expression, and how long a text may be, as a deterministic automaton over code points. From each of its
// states an end can be reached.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "schema/code_points.h"

namespace dsmoe::schema {

inline constexpr int64_t kUnbounded = std::numeric_limits<int64_t>::max();

class Pattern {
 public:
  using State = int32_t;
  static constexpr State kDead = -1;

  /// The texts of `least` to `most` code points (kUnbounded: any number) in which the expression finds something
  /// (regex.h has its syntax). Throws Error(kInvalid) with `place` where it is not supported, where no text is such,
  /// and where the automaton would be too large.
  static Pattern compile(std::string_view expression, int64_t least, int64_t most, const std::string& place);

  State start() const { return 0; }
  /// Whether the text may end here.
  bool accepts(State state) const { return states_[static_cast<size_t>(state)].accepts; }
  State step(State state, uint32_t code_point) const;
  /// Whether one of these code points may come.
  bool leads_on(State state, CodePoints any) const;

  struct Transition {
    CodePoints on;
    State to = kDead;
  };
  struct Node {
    std::vector<Transition> next;  ///< ascending, apart
    bool accepts = false;
  };

 private:
  explicit Pattern(std::vector<Node> states) : states_(std::move(states)) {}
  std::vector<Node> states_;
};

}  // namespace dsmoe::schema
