// What `dsmoe bench` measured, in llama-bench's shapes: its table, its json keys, so that scripts that read one read
// the other.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "base/json.h"

namespace dsmoe::apps {

/// One test: a prompt of n_prompt tokens, or n_gen single steps, or both, after n_depth tokens that are not timed; of
/// n_parallel sequences together.
struct BenchTest {
  int64_t n_prompt = 0, n_gen = 0, n_depth = 0, n_parallel = 1;
  std::string name() const;  ///< pp512, tg128 @ d3500, pp64+tg8 x 8
};

struct BenchResult {
  BenchTest test;
  std::string model_filename, model_type, isa, cache_type;
  int64_t model_size = 0, model_n_params = 0;  ///< bytes of tensors; weights
  int64_t bytes_per_token = 0;                 ///< of weights, that one generated token must read
  int64_t kv_bytes_per_token = 0;              ///< that each token of context adds to those
  int64_t n_ubatch = 0;
  int n_threads = 0;
  std::string test_time;            ///< UTC, when the first run began
  std::vector<int64_t> samples_ns;  ///< one for each repetition
  std::vector<int64_t> steps_ns;    ///< one for each generation step of all repetitions
  double distinct_experts = 0;      ///< mean over generation steps and mixture layers; 0 where not counted
  int64_t memory_bytes = 0;         ///< private memory without cache and without weights that were quantised into it
  int64_t cache_bytes = 0;          ///< keys and values

  /// Tokens a second of every run, all sequences together.
  std::vector<double> samples_ts() const;
};

/// The value that `percent` of them are no larger than; values must not be empty.
int64_t percentile_of(std::vector<int64_t> values, int percent);
double mean_of(const std::vector<double>& values);
/// With n - 1, and 0 for a single one, as llama-bench has it.
double deviation_of(const std::vector<double>& values);

base::Json bench_json(const BenchResult& result);

enum class BenchFormat { kMarkdown, kJson, kJsonLines, kCsv };
/// Rows as they come; `finish` closes what the format opened.
class BenchPrinter {
 public:
  BenchPrinter(std::ostream& out, BenchFormat format) : out_(out), format_(format) {}
  void row(const BenchResult& result);
  void finish();

 private:
  std::ostream& out_;
  BenchFormat format_;
  bool any_ = false;
};

/// Counts as llama-bench takes them: "512", "1,2,3", "1-8" (all), "1-9+2" (1 3 5 7 9), "1-8*2" (1 2 4 8). Throws
/// Error(kUsage) naming `option`.
std::vector<int64_t> parse_counts(const std::string& text, const std::string& option);

}  // namespace dsmoe::apps
