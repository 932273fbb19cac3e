// Two models on the same text, or one model under two interventions: where they part.
//
// The difference of a token is what the second loses there minus what the first does: minus the logarithm of the
// probability that each gives it, in nats. Positive: the second model is worse.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/intervention.h"
#include "study/routing_trace.h"
#include "tokenizer/tokenizer.h"

namespace dsmoe::study {

/// What one model made of N tokens that it read.
struct Reading {
  std::vector<double> nats;  ///< [N] of the token that follows each
  RoutingTrace routing;      ///< of the N tokens; no layers for a dense model
};

/// Without text: the model's layers and experts, with as many slots a token as the intervention fills at most. Throws
/// Error(kInvalid) where the reading of so many tokens does not fit into memory.
Reading empty_reading(const spec::ModelConfig& config, const engine::Intervention& intervention, int64_t tokens);

/// Sees a pass and keeps its picks in a reading of that model and intervention.
class ReadingProbe : public engine::RoutingProbe {
 public:
  explicit ReadingProbe(Reading& reading) : trace_(reading.routing) {}
  void on_routing(int64_t layer, const engine::RoutingView& routing) override;

 private:
  RoutingTrace& trace_;
};

/// What both read: windows with an empty past each.
struct ReadText {
  std::vector<std::string> domains;
  std::vector<RoutingTrace::Window> windows;
  std::vector<int32_t> tokens, targets;  ///< [N] read, and the one that follows
};

struct ModelDiff {
  std::string a, b;  ///< what a person calls the two
  struct Row {
    std::string domain;  ///< "all" first
    int64_t tokens = 0;
    double a = 0, b = 0;        ///< nats per token
    double standard_error = 0;  ///< of b - a, over documents; NaN for one document
    double difference() const { return b - a; }
  };
  std::vector<Row> rows;
  /// Tokens by their difference, ascending; the outermost take whatever lies beyond.
  struct Step {
    double from = 0, to = 0;
    int64_t tokens = 0;
    double nats = 0;  ///< what these tokens add to the mean difference of all
  };
  std::vector<Step> steps;
  struct Token {
    std::string text;
    double a = 0, b = 0;  ///< nats
  };
  struct Place {
    std::string domain, before, behind;
    Token token;
  };
  std::vector<Place> b_worse, a_worse;  ///< the largest differences of either sign
  struct Passage {
    std::string domain;
    std::vector<Token> tokens;
  };
  std::vector<Passage> passages;  ///< of each domain the stretch where the two differ most
  /// Of the experts that a picks for a token, the share that b picks too, and what two routers of these loads that know
  /// nothing of each other would share. Empty unless both have the same layers and experts.
  struct Layer {
    int64_t layer = 0;
    double same = 0, chance = 0;
  };
  std::vector<Layer> layers;
};

/// `rows` are figures that need documents, which are not looked at here. Without a tokenizer tokens are their numbers.
/// Throws Error(kNonFinite) where a reading has a loss that is no number.
ModelDiff diff_models(const ReadText& text, const Reading& a, const Reading& b, std::vector<ModelDiff::Row> rows,
                      const tokenizer::Tokenizer* tokenizer);

base::Json to_json(const ModelDiff& diff);
/// Throws Error(kInvalid) naming `where` for a file of another format or numbers that do not fit together.
ModelDiff model_diff_from_json(const base::Json& json, const std::string& where);
/// Tables for a terminal.
std::string diff_table(const ModelDiff& diff);

}  // namespace dsmoe::study
