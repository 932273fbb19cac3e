// Reads a JSON text against a grammar, a byte at a time.
//
// What is open is a stack of frames; a state is the set of stacks that are still possible. Stacks and states are
// interned and transitions remembered, so that a state is a number and reading a byte again costs a look-up. Up to 32
// spaces, tabs or line ends may stand where JSON allows them, but none behind the value.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "schema/grammar.h"
#include "schema/number_machine.h"
#include "schema/string_machine.h"

namespace dsmoe::schema {

/// What is open, and how far it has come.
struct Frame {
  enum class In : uint8_t { kValue, kLiteral, kString, kKey, kNumber, kObject, kMap, kArray };
  /// Of containers: just begun, behind a key, behind a value, behind a comma.
  enum class At : uint8_t { kBegun, kKeyed, kColon, kNext, kComma };
  In in = In::kValue;
  At at = At::kBegun;
  uint8_t spaces = 0;
  int32_t node = 0;
  int32_t index = 0;  ///< of a literal, or of the property that is next; the state of a string's pattern
  int64_t count = 0;  ///< bytes of a literal or key read, items begun
  int32_t keys = 0;   ///< of a map, its latest key in the automaton's list; 0: none yet
  int32_t text = 0;   ///< of a map's key, what it says so far: a node of the automaton's tree
  NumberState number = {};
  StringState string = {};
  auto operator<=>(const Frame&) const = default;
};

class Automaton {
 public:
  using State = int32_t;
  static constexpr State kDead = 0;

  explicit Automaton(std::shared_ptr<const Grammar> grammar);
  State start() const { return start_; }
  State step(State state, uint8_t byte);
  /// The value may be whole.
  bool may_end(State state) const;

  /// A state's stacks, and the topmost frame of one; only the empty one, which stands for a whole value, has none.
  std::span<const int32_t> stacks(State state) const { return states_[static_cast<size_t>(state)]; }
  const Frame* top(int32_t stack) const { return stack == kEmpty ? nullptr : &cell(stack).frame; }
  State state_of(std::vector<int32_t> stacks);
  /// The same state for a look ahead, which need not tell keys apart that are not there yet: a key that ends in between
  /// is forgotten, so that a second one may be the same.
  State ahead(State state);
  /// Whether nothing but its length says how a string goes on.
  bool is_free(const Frame& string) const {
    return string.in == Frame::In::kKey || !grammar_->node(string.node).pattern;
  }
  /// Code points that a free string may still have.
  int64_t room(const Frame& string) const;

  /// Once more than so many states are known, forgets all but one, which gets a new number, and says so.
  bool compact(State& state, size_t most);

 private:
  static constexpr int32_t kEmpty = 0, kOther = -1;
  static constexpr State kUnknown = -1;
  struct Cell {
    Frame frame;
    int32_t below = kEmpty;
    int depth = 0;  // containers, itself among them
    bool operator==(const Cell& other) const { return frame == other.frame && below == other.below; }
  };
  struct Hash {
    size_t operator()(const Cell& cell) const;
    size_t operator()(const std::vector<int32_t>& stacks) const;
  };

  const Cell& cell(int32_t stack) const { return cells_[static_cast<size_t>(stack)]; }
  void forget();
  int32_t add_key(int32_t text, int32_t before);
  bool has_key(int32_t text, int32_t keys) const;
  bool begins_a_key(int32_t text, int32_t keys) const;
  int32_t text_with(int32_t text, int32_t code_point, bool adds);
  int32_t push(const Frame& frame, int32_t below);
  void emit(const Frame& frame, int32_t below) { out_.push_back(push(frame, below)); }
  bool fits(int32_t node, int32_t below) const;
  void advance(int32_t stack, uint8_t byte);
  void begin_value(int32_t node, int32_t below, uint8_t byte);
  void go_on_string(Frame frame, int32_t below, uint8_t byte);
  void go_on_pattern(Frame frame, int32_t below, uint8_t byte);
  void go_on_key(const Frame& frame, int32_t below, uint8_t byte);
  void go_on_object(const Frame& frame, int32_t below, uint8_t byte);
  void go_on_map(const Frame& frame, int32_t below, uint8_t byte);
  void go_on_array(const Frame& frame, int32_t below, uint8_t byte);
  void begin_key(Frame frame, int32_t below);
  bool has_more(const Frame& object, int32_t below) const;
  bool needs_more(const Frame& object) const;

  std::shared_ptr<const Grammar> grammar_;
  std::vector<Cell> cells_;
  std::unordered_map<Cell, int32_t, Hash> cell_of_;
  std::vector<std::vector<int32_t>> states_;
  std::unordered_map<std::vector<int32_t>, State, Hash> state_of_;
  std::vector<std::unique_ptr<std::array<State, 256>>> steps_;  // of each state
  // The keys of maps, as lists that share their ends, and their texts, as a tree of code points.
  struct Key {
    int32_t text = 0, before = 0;
  };
  std::vector<Key> keys_ = {{}};
  std::unordered_map<uint64_t, int32_t> key_of_;
  std::vector<int32_t> parents_ = {kOther};
  std::unordered_map<uint64_t, int32_t> text_of_;
  std::vector<int32_t> out_;
  State start_ = kDead;
};

}  // namespace dsmoe::schema
