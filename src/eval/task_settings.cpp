#include "eval/task_settings.h"

#include <algorithm>

#include "base/error.h"

namespace dsmoe::eval {
namespace {

using base::Json;

constexpr int64_t kMostShots = 1000, kMostTokens = 1 << 20;

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

// One of some words, the first where the key is absent.
size_t word_of(const Json& object, const char* key, const std::vector<std::string>& words, const std::string& where) {
  if (!object.contains(key)) return 0;
  const std::string word = base::require_string(object, key, where);
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end()) {
    base::fail_invalid(where, std::string(key) + " must be one of " + joined(words), base::in_quotes(word));
  }
  return static_cast<size_t>(found - words.begin());
}

std::string text_or(const Json& object, const char* key, std::string_view otherwise, const std::string& where) {
  return object.contains(key) ? base::require_string(object, key, where) : std::string(otherwise);
}

void refuse_unknown(const Json& object, const std::vector<std::string>& known, const std::string& where) {
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    const std::string near = base::nearest(key, known);
    base::fail_invalid(where, "unknown key", base::in_quotes(key),
                       near.empty() ? "keys are " + joined(known) : "did you mean " + near + "?");
  }
}

std::vector<std::string> stop_strings(const Json& settings, const std::string& where) {
  if (!settings.contains("stop")) return {"\n"};
  const Json& stop = settings["stop"];
  const auto right = [](const Json& text) { return text.is_string() && !text.get_ref<const std::string&>().empty(); };
  if (!stop.is_array() || !std::all_of(stop.begin(), stop.end(), right)) {
    base::fail_invalid(where, "stop must be a list of strings that are not empty", base::dump_json(stop));
  }
  return stop.get<std::vector<std::string>>();
}

void read_shots(const Json& settings, const std::string& where, TaskSettings& out) {
  if (!settings.contains("shots")) return;
  const Json& shots = settings["shots"];
  if (!shots.is_object()) base::fail_invalid(where, "shots must be a table", base::dump_json(shots));
  const std::string part = where + ": [shots]";
  refuse_unknown(shots, {"count", "file", "split"}, part);
  if (shots.contains("file")) out.shots_file = base::require_string(shots, "file", part);
  if (shots.contains("split")) out.shots_split = base::require_string(shots, "split", part);
  if (shots.contains("count")) out.task.shot_count = base::require_int(shots, "count", 0, kMostShots, part);
  if (out.shots_file.has_value() == out.shots_split.has_value()) {
    base::fail_invalid(part, "shots come from a file or from a split", out.shots_file ? "both" : "neither");
  }
  if (out.shots_file && base::fs::path(*out.shots_file).has_parent_path()) {
    base::fail_invalid(part, "file must be a name in the task's folder", base::in_quotes(*out.shots_file));
  }
}

}  // namespace

TaskSettings read_task_settings(std::string_view text, const std::string& where) {
  TaskSettings out;
  Task& task = out.task;
  task.settings = base::parse_toml(text, where);
  const Json& settings = task.settings;
  if (!settings.contains("kind")) base::fail_invalid(where, "kind is missing", {}, "kind = \"choice\" or \"generate\"");
  const bool choice = word_of(settings, "kind", {"choice", "generate"}, where) == 0;
  task.kind = choice ? TaskKind::kChoice : TaskKind::kGenerate;
  std::vector<std::string> known = {"kind", "description", "preamble", "question", "separator", "metric", "shots"};
  for (const char* key : choice ? std::vector<const char*>{"choice"}
                                : std::vector<const char*>{"answer", "stop", "max_tokens", "normalise"}) {
    known.emplace_back(key);
  }
  refuse_unknown(settings, known, where);
  task.description = text_or(settings, "description", "", where);
  task.preamble = text_or(settings, "preamble", "", where);
  task.separator = text_or(settings, "separator", "\n\n", where);
  out.question = Template(text_or(settings, "question", "{question}", where), where + ": question");
  const std::vector<std::string> metrics = choice ? std::vector<std::string>{"acc", "acc_norm", "acc_bytes", "nats"}
                                                  : std::vector<std::string>{"exact_match"};
  task.metric = metrics[word_of(settings, "metric", metrics, where)];
  if (choice) {
    out.choice = Template(text_or(settings, "choice", " {choice}", where), where + ": choice");
  } else {
    out.answer = Template(text_or(settings, "answer", " {answer}", where), where + ": answer");
    task.stop = stop_strings(settings, where);
    task.max_tokens =
        settings.contains("max_tokens") ? base::require_int(settings, "max_tokens", 1, kMostTokens, where) : 32;
    constexpr Normalisation kinds[] = {Normalisation::kNaturalQuestions, Normalisation::kTriviaQa,
                                       Normalisation::kNone};
    task.normalisation = kinds[word_of(settings, "normalise", {"naturalquestions", "triviaqa", "none"}, where)];
  }
  read_shots(settings, where, out);
  return out;
}

}  // namespace dsmoe::eval
