// An evaluation task: a folder of items.jsonl, one item a line, and task.toml, which says how items become text. A
// user's own works as those that tools/tasks/fetch builds. docs/evaluation.md describes both files.
//
// Everything is read and validated here, before a model is opened: what leaves is text that a model reads, and what it
// should say.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace dsmoe::eval {

enum class TaskKind {
  kChoice,    ///< which of an item's choices is likeliest
  kGenerate,  ///< what the model writes
};
std::string_view task_kind_name(TaskKind kind);

/// How what was written and a right answer are made comparable (answer_match.h).
enum class Normalisation { kNone, kNaturalQuestions, kTriviaQa };

struct Item {
  std::string id;
  std::string place;                 ///< file and line, for messages
  std::string pool;                  ///< the part of the task that it is reported with; empty: only with all
  base::Json document;               ///< the item as it stands in its file
  std::string question;              ///< what the model reads last before it answers
  std::string shown_answer;          ///< what follows the question where the item is a shot
  std::vector<std::string> choices;  ///< texts that may follow the question
  size_t right = 0;                  ///< of the choices
  std::vector<std::string> answers;  ///< right answers to what is generated, as the file has them
};

struct Task {
  std::string name;  ///< the folder's
  base::fs::path folder;
  TaskKind kind = TaskKind::kChoice;
  std::string description;
  std::string preamble, separator;  ///< before the first shot or question; after every shot
  std::string metric;               ///< the figure that stands for the task
  std::vector<Item> items;          ///< at least one, ids unique over items and shots
  std::vector<Item> shots;          ///< what shots are drawn from
  int64_t shot_count = 0;           ///< as task.toml has it
  std::vector<std::string> stop;    ///< what ends an answer, of kGenerate
  int64_t max_tokens = 0;           ///< of an answer
  Normalisation normalisation = Normalisation::kNaturalQuestions;
  base::Json settings;  ///< task.toml as it was read
  std::string hash;     ///< 32 hex digits of the bytes of the task's files
};

/// Throws Error: kIo where a file is missing, kInvalid naming file and line for what is wrong in it: among others an
/// unknown key or metric, no items, an id twice, an item without a right answer, a field that a template names and an
/// item lacks.
Task read_task(const base::fs::path& folder);

}  // namespace dsmoe::eval
