#include "tokenizer/pretokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "tokenizer/pretokenizer_matcher.h"
#include "tokenizer/unicode.h"

namespace dsmoe::tokenizer {
namespace {

struct Segment {
  size_t begin, end;
  bool is_match;
};

// Cuts by one pattern, with any behaviour. Follows Hugging Face's NormalizedString::split, oddities included.
class MatchStage : public PreTokenizer {
 public:
  MatchStage(std::unique_ptr<Matcher> matcher, SplitBehavior behavior, bool invert)
      : matcher_(std::move(matcher)), behavior_(behavior), invert_(invert) {}

  void split(std::string_view text, PieceSink& out) const override {
    if (!matcher_->needs_valid_utf8()) return split_as(text, text, out);
    if (const auto readable = without_invalid_bytes(text)) return split_as(text, *readable, out);
    split_as(text, text, out);
  }

 private:
  static std::optional<std::string> without_invalid_bytes(std::string_view text) {
    std::optional<std::string> copy;
    for (const char *p = text.data(), *end = p + text.size(); p != end;) {
      const unicode::Step step = unicode::step(p, end);
      if (step.code_point == unicode::kInvalid) {
        if (!copy) copy.emplace(text);
        (*copy)[static_cast<size_t>(p - text.data())] = 0x7f;
      }
      p += step.length;
    }
    return copy;
  }

  /// Borders are found in `readable`, pieces are taken from `text`; both are of one length.
  void split_as(std::string_view text, std::string_view readable, PieceSink& out) const {
    const auto emit = [&](size_t begin, size_t end) {
      if (begin != end) out.piece(text.substr(begin, end - begin));
    };
    if (behavior_ == SplitBehavior::kIsolated) {
      for_each_segment(readable, [&](const Segment& s) { emit(s.begin, s.end); });
      return;
    }
    std::vector<Segment> segments;
    for_each_segment(readable, [&](const Segment& s) { segments.push_back(s); });
    for (const Segment& s : arranged(std::move(segments))) emit(s.begin, s.end);
  }

  template <class Visit>
  void for_each_segment(std::string_view text, Visit&& visit) const {
    size_t last_end = 0, from = 0;
    bool any = false;
    while (from <= text.size()) {
      const Match match = matcher_->next(text, from);
      if (!match.found()) break;
      if (match.begin == match.end) {
        from = match.end < text.size()
                   ? match.end + unicode::step(text.data() + match.end, text.data() + text.size()).length
                   : text.size() + 1;
        if (any && match.begin == last_end) continue;  // an empty match right after a match is none
      } else {
        from = match.end;
      }
      if (match.begin != last_end) visit(Segment{last_end, match.begin, invert_});
      visit(Segment{match.begin, match.end, !invert_});
      last_end = match.end;
      any = true;
    }
    if (last_end != text.size()) visit(Segment{last_end, text.size(), invert_});
  }

  std::vector<Segment> arranged(std::vector<Segment> segments) const {
    const bool backwards = behavior_ == SplitBehavior::kMergedWithNext;
    if (backwards) std::reverse(segments.begin(), segments.end());
    std::vector<Segment> kept;
    bool previous_match = false;
    for (const Segment& s : segments) {
      bool joins = false;
      switch (behavior_) {
        case SplitBehavior::kRemoved:
          if (s.is_match) continue;
          break;
        case SplitBehavior::kContiguous:
          joins = s.is_match == previous_match;
          break;
        case SplitBehavior::kMergedWithPrevious:
        case SplitBehavior::kMergedWithNext:
          joins = s.is_match && !previous_match;
          break;
        case SplitBehavior::kIsolated:
          break;
      }
      previous_match = s.is_match;
      if (!joins || kept.empty()) {
        kept.push_back(s);
      } else if (backwards) {
        kept.back().begin = s.begin;
      } else {
        kept.back().end = s.end;
      }
    }
    if (backwards) std::reverse(kept.begin(), kept.end());
    return kept;
  }

  std::unique_ptr<Matcher> matcher_;
  SplitBehavior behavior_;
  bool invert_;
};

class PrefixSpaceStage : public PreTokenizer {
 public:
  void split(std::string_view text, PieceSink& out) const override {
    if (text.empty()) return;
    if (text[0] == ' ') return out.piece(text);
    out.piece(" " + std::string(text));
  }
};

class Chain : public PreTokenizer {
 public:
  explicit Chain(std::vector<std::unique_ptr<PreTokenizer>> stages) : stages_(std::move(stages)) {}
  void split(std::string_view text, PieceSink& out) const override { run(0, text, out); }

 private:
  struct NextStage : PieceSink {
    NextStage(const Chain& chain, size_t stage, PieceSink& out) : chain_(chain), stage_(stage), out_(out) {}
    void piece(std::string_view bytes) override { chain_.run(stage_, bytes, out_); }
    const Chain& chain_;
    size_t stage_;
    PieceSink& out_;
  };
  void run(size_t stage, std::string_view text, PieceSink& out) const {
    if (stage == stages_.size()) {
      if (!text.empty()) out.piece(text);
      return;
    }
    if (stage + 1 == stages_.size()) return stages_[stage]->split(text, out);
    NextStage next(*this, stage + 1, out);
    stages_[stage]->split(text, next);
  }

  std::vector<std::unique_ptr<PreTokenizer>> stages_;
};

std::unique_ptr<PreTokenizer> make_split_stage(const SplitStep& step, RegexEngine engine) {
  std::unique_ptr<Matcher> matcher;
  if (!step.is_regex) {
    matcher = make_literal_matcher(step.pattern);
  } else if (engine == RegexEngine::kHandWritten) {
    if (step.behavior == SplitBehavior::kIsolated) {
      if (auto stage = make_rule_stage(step.pattern)) return stage;
    }
    matcher = make_rule_matcher(step.pattern);
    if (!matcher) matcher = make_class_matcher(step.pattern);
  }
  if (!matcher) matcher = make_pcre2_matcher(step.pattern);
  return std::make_unique<MatchStage>(std::move(matcher), step.behavior, step.invert);
}

SplitStep isolated(std::string_view regex) {
  return SplitStep{std::string(regex), true, SplitBehavior::kIsolated, false};
}

PreTokenizerSteps deepseek_v3_steps() {
  return {isolated(kDeepSeekV3Numbers), isolated(kDeepSeekV3EastAsian), isolated(kDeepSeekV3Words), ByteLevelStep{}};
}

bool begins_with_deepseek_v3(const PreTokenizerSteps& steps) {
  const PreTokenizerSteps known = deepseek_v3_steps();
  return steps.size() >= 3 && std::equal(known.begin(), known.begin() + 3, steps.begin());
}

}  // namespace

std::unique_ptr<PreTokenizer> make_pretokenizer(const PreTokenizerSteps& steps, RegexEngine engine) {
  std::vector<std::unique_ptr<PreTokenizer>> stages;
  size_t i = 0;
  if (engine == RegexEngine::kHandWritten && begins_with_deepseek_v3(steps)) {
    stages.push_back(make_deepseek_v3_stage());
    i = 3;
  }
  for (; i < steps.size(); ++i) {
    if (const auto* split = std::get_if<SplitStep>(&steps[i])) {
      stages.push_back(make_split_stage(*split, engine));
    } else if (const auto* digits = std::get_if<DigitsStep>(&steps[i])) {
      const auto behavior = digits->individual_digits ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
      stages.push_back(std::make_unique<MatchStage>(make_class_matcher(R"(\p{N})"), behavior, false));
    } else {
      const auto& byte_level = std::get<ByteLevelStep>(steps[i]);
      DSMOE_CHECK(i + 1 == steps.size(), "ByteLevel is the last step");
      if (byte_level.add_prefix_space) stages.push_back(std::make_unique<PrefixSpaceStage>());
      if (byte_level.use_regex) stages.push_back(make_split_stage(isolated(kGpt2Words), engine));
    }
  }
  if (stages.size() == 1) return std::move(stages.front());
  return std::make_unique<Chain>(std::move(stages));
}

std::optional<PreTokenizerSteps> pretokenizer_steps(std::string_view name) {
  if (name == "deepseek-v3") return deepseek_v3_steps();
  if (name == "llama-bpe" || name == "llama3" || name == "llama-v3")
    return PreTokenizerSteps{isolated(kLlama3Words), ByteLevelStep{}};
  if (name == "qwen2") return PreTokenizerSteps{isolated(kQwen2Words), ByteLevelStep{}};
  if (name == "gpt-2") return PreTokenizerSteps{ByteLevelStep{false, true}};
  if (name == "deepseek-llm") {
    PreTokenizerSteps steps;
    for (const std::string_view regex : kDeepSeekLlm) steps.emplace_back(isolated(regex));
    steps.emplace_back(DigitsStep{true});
    steps.emplace_back(ByteLevelStep{});
    return steps;
  }
  return std::nullopt;
}

std::optional<std::string> pretokenizer_name(const PreTokenizerSteps& steps) {
  for (const char* name : {"deepseek-v3", "deepseek-llm", "llama-bpe", "qwen2", "gpt-2"}) {
    if (pretokenizer_steps(name) == steps) return name;
  }
  return std::nullopt;
}

}  // namespace dsmoe::tokenizer
