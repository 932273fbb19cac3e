#include "schema/automaton.h"

#include <algorithm>
#include <utility>

#include "base/rng.h"

namespace dsmoe::schema {
namespace {

using In = Frame::In;
using At = Frame::At;

constexpr int kMostSpaces = 32;

bool is_space(uint8_t byte) { return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r'; }
bool is_container(In in) { return in == In::kObject || in == In::kMap || in == In::kArray; }

Frame at(Frame frame, At place) {
  frame.at = place, frame.spaces = 0;
  return frame;
}

}  // namespace

size_t Automaton::Hash::operator()(const Cell& cell) const {
  const Frame& f = cell.frame;
  uint64_t hash = base::mix64(static_cast<uint64_t>(cell.below) << 32 | static_cast<uint32_t>(f.node));
  const auto add = [&](uint64_t value) { hash = base::mix64(hash + value); };
  add(static_cast<uint64_t>(f.in) | static_cast<uint64_t>(f.at) << 8 | static_cast<uint64_t>(f.spaces) << 16 |
      static_cast<uint64_t>(f.number.in) << 24 | static_cast<uint64_t>(f.number.digits) << 32 |
      static_cast<uint64_t>(f.string.in) << 40 | static_cast<uint64_t>(f.string.left) << 48);
  add(static_cast<uint64_t>(f.index) ^ static_cast<uint64_t>(f.count) << 24 ^ static_cast<uint64_t>(f.keys) << 40);
  add(static_cast<uint64_t>(f.string.count) ^ static_cast<uint64_t>(f.string.value) << 40 ^
      static_cast<uint64_t>(f.string.lead) << 20 ^ static_cast<uint64_t>(f.text) << 48);
  return hash;
}

size_t Automaton::Hash::operator()(const std::vector<int32_t>& stacks) const {
  uint64_t hash = stacks.size();
  for (const int32_t stack : stacks) hash = base::mix64(hash + static_cast<uint32_t>(stack));
  return hash;
}

Automaton::Automaton(std::shared_ptr<const Grammar> grammar) : grammar_(std::move(grammar)) {
  forget();
  start_ = state_of({push({.in = In::kValue, .node = grammar_->root}, kEmpty)});
}

void Automaton::forget() {
  cells_.assign(1, {});  // the empty stack
  states_.clear();
  cell_of_.clear();
  state_of_.clear();
  steps_.clear();
  state_of({});  // kDead
}

int32_t Automaton::push(const Frame& frame, int32_t below) {
  Cell added{frame, below, cell(below).depth + (is_container(frame.in) ? 1 : 0)};
  const auto [found, is_new] = cell_of_.try_emplace(added, static_cast<int32_t>(cells_.size()));
  if (is_new) cells_.push_back(added);
  return found->second;
}

Automaton::State Automaton::state_of(std::vector<int32_t> stacks) {
  std::sort(stacks.begin(), stacks.end());
  stacks.erase(std::unique(stacks.begin(), stacks.end()), stacks.end());
  const auto [found, is_new] = state_of_.try_emplace(std::move(stacks), static_cast<State>(states_.size()));
  if (is_new) {
    states_.push_back(found->first);
    steps_.emplace_back();
  }
  return found->second;
}

Automaton::State Automaton::step(State state, uint8_t byte) {
  auto& row = steps_[static_cast<size_t>(state)];
  if (!row) {
    row = std::make_unique<std::array<State, 256>>();
    row->fill(kUnknown);
  }
  State& known = (*row)[byte];  // stays where it is when states are added
  if (known != kUnknown) return known;
  out_.clear();
  for (size_t i = 0; i < stacks(state).size(); ++i) advance(stacks(state)[i], byte);
  return known = state_of(std::exchange(out_, {}));
}

bool Automaton::may_end(State state) const {
  return std::any_of(stacks(state).begin(), stacks(state).end(), [&](int32_t stack) {
    return stack == kEmpty ||
           (cell(stack).below == kEmpty && cell(stack).frame.in == In::kNumber && is_number(cell(stack).frame.number));
  });
}

int64_t Automaton::room(const Frame& string) const {
  const int64_t most = string.in == In::kKey ? kUnbounded : grammar_->node(string.node).most;
  return most == kUnbounded ? kUnbounded : most - string.string.count;
}

int32_t Automaton::add_key(int32_t text, int32_t before) {
  const uint64_t both = static_cast<uint64_t>(text) << 32 | static_cast<uint32_t>(before);
  const auto [found, is_new] = key_of_.try_emplace(both, static_cast<int32_t>(keys_.size()));
  if (is_new) keys_.push_back({text, before});
  return found->second;
}

bool Automaton::has_key(int32_t text, int32_t keys) const {
  for (; keys != 0; keys = keys_[static_cast<size_t>(keys)].before) {
    if (keys_[static_cast<size_t>(keys)].text == text) return true;
  }
  return false;
}

bool Automaton::begins_a_key(int32_t text, int32_t keys) const {
  for (; keys != 0; keys = keys_[static_cast<size_t>(keys)].before) {
    for (int32_t at = keys_[static_cast<size_t>(keys)].text; at != kOther; at = parents_[static_cast<size_t>(at)]) {
      if (at == text) return true;
    }
  }
  return false;
}

// kOther where it is not there and is not to be added.
int32_t Automaton::text_with(int32_t text, int32_t code_point, bool adds) {
  const uint64_t both = static_cast<uint64_t>(text) << 32 | static_cast<uint32_t>(code_point);
  if (const auto found = text_of_.find(both); found != text_of_.end()) return found->second;
  if (!adds) return kOther;
  parents_.push_back(text);
  return text_of_[both] = static_cast<int32_t>(parents_.size()) - 1;
}

Automaton::State Automaton::ahead(State state) {
  std::vector<int32_t> stacks = states_[static_cast<size_t>(state)];
  for (int32_t& stack : stacks) {
    if (stack == kEmpty) continue;
    const int32_t below = cell(stack).below;
    Frame frame = cell(stack).frame;
    if (frame.in != In::kKey || cell(below).frame.in != In::kMap) continue;
    frame.index = 1;
    if (!begins_a_key(frame.text, cell(below).frame.keys)) frame.text = kOther;
    stack = push(frame, below);
  }
  return state_of(std::move(stacks));
}

// Keys and their texts stay: they are few, and frames know them by their numbers.
bool Automaton::compact(State& state, size_t most) {
  if (states_.size() <= most && cells_.size() <= 4 * most) return false;
  std::vector<std::vector<Frame>> kept;  // of each stack from the top down
  for (const int32_t stack : stacks(state)) {
    kept.emplace_back();
    for (int32_t at = stack; at != kEmpty; at = cell(at).below) kept.back().push_back(cell(at).frame);
  }
  forget();
  std::vector<int32_t> again;
  for (const std::vector<Frame>& frames : kept) {
    int32_t stack = kEmpty;
    for (auto frame = frames.rbegin(); frame != frames.rend(); ++frame) stack = push(*frame, stack);
    again.push_back(stack);
  }
  state = state_of(std::move(again));
  return true;
}

bool Automaton::fits(int32_t node, int32_t below) const {
  return node != kNothing && cell(below).depth + grammar_->node(node).height <= kMostDepth;
}

void Automaton::advance(int32_t stack, uint8_t byte) {
  if (stack == kEmpty) return;
  const int32_t below = cell(stack).below;
  Frame frame = cell(stack).frame;
  const bool has_gap = frame.in == In::kValue || (is_container(frame.in) && frame.at != At::kKeyed);
  if (has_gap && is_space(byte)) {
    if (++frame.spaces <= kMostSpaces) emit(frame, below);
    return;
  }
  switch (frame.in) {
    case In::kValue:
      return begin_value(frame.node, below, byte);
    case In::kLiteral: {
      const std::string& text = grammar_->node(frame.node).literals[static_cast<size_t>(frame.index)];
      if (static_cast<uint8_t>(text[static_cast<size_t>(frame.count)]) != byte) return;
      if (++frame.count == std::ssize(text)) return out_.push_back(below);
      return emit(frame, below);
    }
    case In::kNumber:
      if (is_number(frame.number)) advance(below, byte);  // what may stand behind it is no part of it
      if (read_number_byte(frame.number, byte, grammar_->node(frame.node).kind == Kind::kInteger)) emit(frame, below);
      return;
    case In::kString:
      return go_on_string(frame, below, byte);
    case In::kKey:
      return go_on_key(frame, below, byte);
    case In::kObject:
      return go_on_object(frame, below, byte);
    case In::kMap:
      return go_on_map(frame, below, byte);
    case In::kArray:
      return go_on_array(frame, below, byte);
  }
}

void Automaton::begin_value(int32_t index, int32_t below, uint8_t byte) {
  if (!fits(index, below)) return;
  const Node& node = grammar_->node(index);
  Frame frame{.node = index};
  switch (node.kind) {
    case Kind::kAnyOf:
      for (const int32_t child : node.children) begin_value(child, below, byte);
      return;
    case Kind::kLiterals:
      for (size_t i = 0; i < node.literals.size(); ++i) {
        if (static_cast<uint8_t>(node.literals[i][0]) != byte) continue;
        if (node.literals[i].size() == 1) {  // a number of one digit
          out_.push_back(below);
        } else {
          emit({.in = In::kLiteral, .node = index, .index = static_cast<int32_t>(i), .count = 1}, below);
        }
      }
      return;
    case Kind::kString:
      frame.in = In::kString;
      if (node.pattern) frame.index = node.pattern->start();
      if (byte == '"') emit(frame, below);
      return;
    case Kind::kNumber:
    case Kind::kInteger:
      frame.in = In::kNumber;
      if (read_number_byte(frame.number, byte, node.kind == Kind::kInteger)) emit(frame, below);
      return;
    case Kind::kObject:
    case Kind::kMap:
      frame.in = node.kind == Kind::kObject ? In::kObject : In::kMap;
      if (byte == '{') emit(frame, below);
      return;
    case Kind::kArray:
      frame.in = In::kArray;
      if (byte == '[') emit(frame, below);
      return;
  }
}

void Automaton::go_on_string(Frame frame, int32_t below, uint8_t byte) {
  const Node& node = grammar_->node(frame.node);
  if (node.pattern) return go_on_pattern(frame, below, byte);
  if (byte == '"' && between_characters(frame.string)) {
    if (frame.string.count >= node.least) out_.push_back(below);
    return;
  }
  const int64_t count_to = node.most == kUnbounded ? node.least : node.most;
  int32_t whole = -1;
  if (read_string_byte(frame.string, byte, node.most, count_to, whole)) emit(frame, below);
}

// Within a character, one that the pattern takes must still be possible: every state has a way to the end.
void Automaton::go_on_pattern(Frame frame, int32_t below, uint8_t byte) {
  const Pattern& pattern = *grammar_->node(frame.node).pattern;
  if (byte == '"' && between_characters(frame.string)) {
    if (pattern.accepts(frame.index)) out_.push_back(below);
    return;
  }
  int32_t whole = -1;
  if (!read_string_byte(frame.string, byte, kUnbounded, 0, whole)) return;
  if (whole >= 0) {
    frame.index = pattern.step(frame.index, static_cast<uint32_t>(whole));
    if (frame.index == Pattern::kDead) return;
  } else {
    const auto ahead = code_points_ahead(frame.string);
    if (std::ranges::none_of(ahead, [&](CodePoints any) { return pattern.leads_on(frame.index, any); })) return;
  }
  emit(frame, below);
}

// A property's name, letter for letter as JSON writes it; or any name that the map does not have yet.
void Automaton::go_on_key(const Frame& frame, int32_t below, uint8_t byte) {
  Frame next = frame;
  const Cell holder = cell(below);
  if (holder.frame.in == In::kObject) {
    const std::string& key = grammar_->node(frame.node).properties[static_cast<size_t>(frame.index)].key;
    if (static_cast<uint8_t>(key[static_cast<size_t>(frame.count)]) != byte) return;
    if (++next.count < std::ssize(key)) return emit(next, below);
    Frame object = at(holder.frame, At::kColon);
    object.index = frame.index;
    return emit(object, holder.below);
  }
  const bool looks_ahead = frame.index == 1;
  if (byte != '"' || !between_characters(frame.string)) {
    int32_t whole = -1;
    if (!read_string_byte(next.string, byte, kUnbounded, 0, whole)) return;
    if (whole >= 0 && next.text != kOther) {
      next.text = text_with(next.text, whole, !looks_ahead);
      if (looks_ahead && !begins_a_key(next.text, holder.frame.keys)) next.text = kOther;
    }
    return emit(next, below);
  }
  if (has_key(frame.text, holder.frame.keys)) return;
  Frame map = at(holder.frame, At::kColon);
  if (!looks_ahead) map.keys = add_key(frame.text, holder.frame.keys);
  emit(map, holder.below);
}

bool Automaton::needs_more(const Frame& object) const {
  const auto& properties = grammar_->node(object.node).properties;
  return std::any_of(properties.begin() + object.index, properties.end(),
                     [](const Property& one) { return one.required; });
}

// Whether a property may still come: `stack` is the object's own.
bool Automaton::has_more(const Frame& object, int32_t stack) const {
  const auto& properties = grammar_->node(object.node).properties;
  for (auto one = properties.begin() + object.index; one != properties.end(); ++one) {
    if (fits(one->value, stack)) return true;
    if (one->required) return false;
  }
  return false;
}

// Behind a quote: each property that may come next, up to the first that must.
void Automaton::begin_key(Frame frame, int32_t below) {
  const int32_t holder = push(at(frame, At::kKeyed), below);
  if (frame.in == In::kMap) return emit({.in = In::kKey, .node = frame.node}, holder);
  const auto& properties = grammar_->node(frame.node).properties;
  for (size_t i = static_cast<size_t>(frame.index); i < properties.size(); ++i) {
    if (fits(properties[i].value, holder)) {
      emit({.in = In::kKey, .node = frame.node, .index = static_cast<int32_t>(i), .count = 1}, holder);
    }
    if (properties[i].required) return;
  }
}

void Automaton::go_on_object(const Frame& frame, int32_t below, uint8_t byte) {
  const int32_t self = push(frame, below);
  const bool more = has_more(frame, self);
  if (frame.at == At::kColon) {
    if (byte != ':') return;
    Frame next = at(frame, At::kNext);
    ++next.index;
    const int32_t value = grammar_->node(frame.node).properties[static_cast<size_t>(frame.index)].value;
    return emit({.in = In::kValue, .node = value}, push(next, below));
  }
  const bool key_follows = frame.at == At::kBegun || frame.at == At::kComma;
  if (byte == '"' && key_follows && more) return begin_key(frame, below);
  if (byte == ',' && frame.at == At::kNext && more) return emit(at(frame, At::kComma), below);
  if (byte == '}' && frame.at != At::kComma && !needs_more(frame)) out_.push_back(below);
}

void Automaton::go_on_map(const Frame& frame, int32_t below, uint8_t byte) {
  const int32_t rest = grammar_->node(frame.node).rest;
  const bool more = fits(rest, push(frame, below));
  if (frame.at == At::kColon) {
    if (byte == ':') emit({.in = In::kValue, .node = rest}, push(at(frame, At::kNext), below));
    return;
  }
  const bool key_follows = frame.at == At::kBegun || frame.at == At::kComma;
  if (byte == '"' && key_follows && more) return begin_key(frame, below);
  if (byte == ',' && frame.at == At::kNext && more) return emit(at(frame, At::kComma), below);
  if (byte == '}' && frame.at != At::kComma) out_.push_back(below);
}

void Automaton::go_on_array(const Frame& frame, int32_t below, uint8_t byte) {
  const Node& node = grammar_->node(frame.node);
  const int32_t item = node.item(frame.count);
  const bool more = frame.count < node.most && fits(item, push(frame, below));
  Frame next = at(frame, At::kNext);
  // Where there is no most, counting stops where it makes no difference any more.
  const int64_t count_to = node.most == kUnbounded ? std::max(node.least, std::ssize(node.children)) : node.most;
  next.count = std::min(frame.count + 1, count_to);
  if (byte == ']' && frame.count >= node.least) return out_.push_back(below);
  if (!more) return;
  if (frame.at == At::kBegun) return begin_value(item, push(next, below), byte);
  if (byte == ',') emit({.in = In::kValue, .node = item}, push(next, below));
}

}  // namespace dsmoe::schema
