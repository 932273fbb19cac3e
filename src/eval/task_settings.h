// task.toml, read and validated.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "eval/task.h"
#include "eval/template.h"

namespace dsmoe::eval {

struct TaskSettings {
  Task task;                          ///< all of it but items and shots
  Template question, choice, answer;  ///< choice of kChoice, answer of kGenerate
  std::optional<std::string> shots_file, shots_split;
};

/// `text` is the file's, `where` its path.
TaskSettings read_task_settings(std::string_view text, const std::string& where);

}  // namespace dsmoe::eval
