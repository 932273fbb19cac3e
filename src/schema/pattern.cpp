#include "schema/pattern.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "schema/refuse.h"
#include "schema/regex.h"

namespace dsmoe::schema {
namespace {

using Node = Pattern::Node;
using Transition = Pattern::Transition;
using State = Pattern::State;

// A server compiles what clients send: these keep it at a fraction of a second.
constexpr size_t kMostParts = 20000, kMostStates = 10000, kMostTransitions = 100000, kMostWork = 2000000;

// Thompson's construction: states that are left without reading, or by one character.
class Nondeterministic {
 public:
  struct Part {
    CodePointSet on;  // then the first of `to` is where it leads
    std::vector<int32_t> to;
  };
  Nondeterministic(const Regex& regex, const std::string& place) : place_(place) {
    end_ = add();
    start_ = build(regex, end_);
  }
  int32_t start() const { return start_; }
  int32_t end() const { return end_; }
  const Part& part(int32_t index) const { return parts_[static_cast<size_t>(index)]; }

 private:
  int32_t add(CodePointSet on = {}, std::vector<int32_t> to = {}) {
    if (parts_.size() >= kMostParts) refuse(place_, "pattern: its repeats add up to too much");
    parts_.push_back({std::move(on), std::move(to)});
    return static_cast<int32_t>(parts_.size() - 1);
  }

  // The part in which the expression begins, if `next` is what follows it.
  int32_t build(const Regex& regex, int32_t next) {
    switch (regex.kind) {
      case Regex::Kind::kCharacter:
        return regex.set.empty() ? add() : add(regex.set, {next});  // no character is in []: it leads nowhere
      case Regex::Kind::kSequence:
        for (auto one = regex.parts.rbegin(); one != regex.parts.rend(); ++one) next = build(*one, next);
        return next;
      case Regex::Kind::kAlternatives: {
        std::vector<int32_t> to;
        for (const Regex& one : regex.parts) to.push_back(build(one, next));
        return add({}, std::move(to));
      }
      case Regex::Kind::kRepeat:
        return build_repeat(regex, next);
    }
    return next;
  }

  int32_t build_repeat(const Regex& regex, int32_t next) {
    const Regex& one = regex.parts.front();
    int32_t begin = next;
    if (regex.most == kEndless) {
      begin = add();
      const int32_t again = build(one, begin);
      parts_[static_cast<size_t>(begin)].to = {again, next};
    }
    for (int32_t i = regex.least; i < regex.most; ++i) {
      const int32_t once = build(one, begin);
      begin = add({}, {once, next});
    }
    for (int32_t i = 0; i < regex.least; ++i) begin = build(one, begin);
    return begin;
  }

  const std::string& place_;
  std::vector<Part> parts_;
  int32_t start_ = 0, end_ = 0;
};

// The subset construction.
class Determined {
 public:
  Determined(const Nondeterministic& parts, const std::string& place) : parts_(parts), place_(place) {
    state_of({parts.start()});
    for (size_t i = 0; i < subsets_.size(); ++i) expand(i);
  }
  std::vector<Node> take() { return std::move(nodes_); }

 private:
  using Subset = std::vector<int32_t>;

  // Only parts that read a character and the end: the others lead to these.
  Subset closure(const std::vector<int32_t>& from) {
    std::set<int32_t> seen;
    std::vector<int32_t> open = from;
    Subset kept;
    while (!open.empty()) {
      const int32_t index = open.back();
      open.pop_back();
      if (!seen.insert(index).second) continue;
      if (++work_ > kMostWork) refuse(place_, "pattern: it takes too long to prepare");
      const auto& part = parts_.part(index);
      if (!part.on.empty() || index == parts_.end()) {
        kept.push_back(index);
      } else {
        open.insert(open.end(), part.to.begin(), part.to.end());
      }
    }
    std::ranges::sort(kept);
    return kept;
  }

  State state_of(const std::vector<int32_t>& from) {
    Subset subset = closure(from);
    const auto [found, is_new] = known_.try_emplace(std::move(subset), static_cast<State>(nodes_.size()));
    if (is_new) {
      if (nodes_.size() >= kMostStates) refuse(place_, "pattern: its automaton would be too large");
      subsets_.push_back(found->first);
      nodes_.push_back({{}, std::ranges::binary_search(found->first, parts_.end())});
    }
    return found->second;
  }

  // Between two neighbouring borders of its parts' ranges the same parts read every character.
  void expand(size_t state) {
    const Subset subset = subsets_[state];
    std::map<uint32_t, std::pair<std::vector<int32_t>, std::vector<int32_t>>> borders;  // those that begin and end here
    for (const int32_t index : subset) {
      for (const CodePoints& range : parts_.part(index).on) {
        borders[range.least].first.push_back(index);
        borders[range.most + 1].second.push_back(index);
      }
    }
    std::multiset<int32_t> reading;
    std::vector<Transition> next;
    for (auto border = borders.begin(); border != borders.end(); ++border) {
      for (const int32_t index : border->second.second) reading.erase(reading.find(index));
      reading.insert(border->second.first.begin(), border->second.first.end());
      if (reading.empty()) continue;
      std::vector<int32_t> to;
      for (const int32_t index : reading) to.push_back(parts_.part(index).to.front());
      const CodePoints on{border->first, std::next(border)->first - 1};
      const State target = state_of(to);
      if (!next.empty() && next.back().to == target && next.back().on.most + 1 == on.least) {
        next.back().on.most = on.most;
      } else {
        next.push_back({on, target});
      }
    }
    transitions_ += next.size();
    if (transitions_ > kMostTransitions) refuse(place_, "pattern: its automaton would be too large");
    nodes_[state].next = std::move(next);
  }

  const Nondeterministic& parts_;
  const std::string& place_;
  std::map<Subset, State> known_;
  std::deque<Subset> subsets_;
  std::vector<Node> nodes_;
  size_t transitions_ = 0, work_ = 0;
};

// States that also know how many characters were read, as far as that makes a difference.
std::vector<Node> bounded(const std::vector<Node>& plain, int64_t least, int64_t most, const std::string& place) {
  if (least == 0 && most == kUnbounded) return plain;
  const int64_t count_to = most == kUnbounded ? least : most;
  std::map<std::pair<State, int64_t>, State> known;
  std::vector<std::pair<State, int64_t>> pairs;
  std::vector<Node> nodes;
  size_t transitions = 0;
  const auto state_of = [&](State state, int64_t count) {
    const auto [found, is_new] = known.try_emplace({state, count}, static_cast<State>(nodes.size()));
    if (is_new) {
      if (nodes.size() >= kMostStates) refuse(place, "pattern beside such lengths: its automaton would be too large");
      pairs.emplace_back(state, count);
      nodes.push_back({{}, plain[static_cast<size_t>(state)].accepts && count >= least});
    }
    return found->second;
  };
  state_of(0, 0);
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [state, count] = pairs[i];
    if (most != kUnbounded && count == most) continue;
    std::vector<Transition> next;
    for (const Transition& one : plain[static_cast<size_t>(state)].next) {
      next.push_back({one.on, state_of(one.to, std::min(count + 1, count_to))});
    }
    transitions += next.size();
    if (transitions > kMostTransitions) {
      refuse(place, "pattern beside such lengths: its automaton would be too large");
    }
    nodes[i].next = std::move(next);
  }
  return nodes;
}

// Without the states from which no end can be reached; the start is the first one still.
std::vector<Node> trimmed(std::vector<Node> nodes, const std::string& place) {
  std::vector<std::vector<State>> before(nodes.size());
  std::vector<bool> ends(nodes.size());
  std::vector<State> open;
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (const Transition& one : nodes[i].next) before[static_cast<size_t>(one.to)].push_back(static_cast<State>(i));
    if (nodes[i].accepts) open.push_back(static_cast<State>(i)), ends[i] = true;
  }
  while (!open.empty()) {
    const State state = open.back();
    open.pop_back();
    for (const State one : before[static_cast<size_t>(state)]) {
      if (!ends[static_cast<size_t>(one)]) open.push_back(one), ends[static_cast<size_t>(one)] = true;
    }
  }
  if (!ends[0]) refuse(place, "no text satisfies the pattern and the lengths beside it");
  for (Node& node : nodes) {
    std::erase_if(node.next, [&](const Transition& one) { return !ends[static_cast<size_t>(one.to)]; });
  }
  return nodes;
}

// The first transition whose range ends at `code_point` or behind it.
std::vector<Transition>::const_iterator from(const Node& node, uint32_t code_point) {
  return std::ranges::lower_bound(node.next, code_point, {}, [](const Transition& one) { return one.on.most; });
}

}  // namespace

Pattern Pattern::compile(std::string_view expression, int64_t least, int64_t most, const std::string& place) {
  const Regex regex = parse_regex(expression, place);
  const Nondeterministic parts(regex, place);
  const std::vector<Node> plain = Determined(parts, place).take();
  return Pattern(trimmed(bounded(plain, least, most, place), place));
}

State Pattern::step(State state, uint32_t code_point) const {
  const Node& node = states_[static_cast<size_t>(state)];
  const auto found = from(node, code_point);
  return found != node.next.end() && found->on.least <= code_point ? found->to : kDead;
}

bool Pattern::leads_on(State state, CodePoints any) const {
  const Node& node = states_[static_cast<size_t>(state)];
  const auto found = from(node, any.least);
  return any.least <= any.most && found != node.next.end() && found->on.least <= any.most;
}

}  // namespace dsmoe::schema
