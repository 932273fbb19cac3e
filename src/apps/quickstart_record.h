// quickstart.json in the folder that dsmoe quickstart makes: what was asked for, and what was chosen for it. The same
// request goes on there; another one is refused.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "apps/quickstart_plan.h"
#include "base/file.h"

namespace dsmoe::apps {

struct QuickstartRequest {
  std::vector<std::string> sources;  ///< as they were given
  uint64_t bytes = 0;                ///< of their text
  double minutes = 0;
  std::string preset;  ///< empty: to be chosen
};

class QuickstartRecord {
 public:
  /// Begins in `folder`, which is made, or goes on with it. Throws Error: kIo for a folder that holds something else,
  /// kUsage for one that was begun with another request, naming the difference.
  QuickstartRecord(const base::fs::path& folder, const QuickstartRequest& request);

  const std::optional<TrainingChoice>& training() const { return training_; }
  void choose(const TrainingChoice& choice);

 private:
  void read(const QuickstartRequest& request);
  void write() const;

  base::fs::path file_;
  QuickstartRequest request_;
  std::optional<TrainingChoice> training_;
};

}  // namespace dsmoe::apps
