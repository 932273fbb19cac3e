// The sizes that dsmoe quickstart chooses: a vocabulary by how much text there is, a model and its run by the tokens of
// the text, the time and the measured speed. Nothing here looks at a file or a clock.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace dsmoe::apps {

/// Less text than this holds nothing to learn.
inline constexpr uint64_t kLeastText = 10'000;
/// A text that is read more often than this is learnt by heart.
inline constexpr int64_t kMostPasses = 16;
/// The preset whose speed is measured, and the largest that a short run can train.
inline constexpr const char* kMeasuredPreset = "demo-deepseekmoe";

/// Tokens of the vocabulary for so many bytes of text.
int32_t vocabulary_for(uint64_t text_bytes);

struct TrainingNeeds {
  int64_t tokens = 0;            ///< of the text's training split
  int64_t vocab_size = 0;        ///< of its tokenizer
  double minutes = 5;            ///< that training may take
  double tokens_per_second = 0;  ///< of kMeasuredPreset with this vocabulary
  uint64_t memory = UINT64_MAX;  ///< bytes that training may take
  std::string preset;            ///< the one that somebody asked for; empty: to be chosen
};

struct TrainingChoice {
  std::string preset;
  std::vector<std::string> settings;  ///< section.key=value
  std::vector<std::string> reasons;   ///< a sentence each, for a person
};

/// The largest model that sees at least one token for each of its activated parameters in that time, and settings for
/// its run. Throws Error(kInvalid) where not even one sequence is there to train on, or the asked preset is none.
TrainingChoice choose_training(const TrainingNeeds& needs);

}  // namespace dsmoe::apps
