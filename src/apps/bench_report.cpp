#include "apps/bench_report.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <iomanip>
#include <numeric>
#include <ostream>
#include <sstream>

#include "apps/command.h"
#include "base/checked.h"
#include "base/error.h"

namespace dsmoe::apps {

std::string BenchTest::name() const {
  std::string name;
  if (n_prompt > 0) name = "pp" + std::to_string(n_prompt);
  if (n_gen > 0) name += (name.empty() ? "tg" : "+tg") + std::to_string(n_gen);
  if (n_depth > 0) name += " @ d" + std::to_string(n_depth);
  if (n_parallel > 1) name += " x " + std::to_string(n_parallel);
  return name;
}

std::vector<double> BenchResult::samples_ts() const {
  std::vector<double> rates;
  for (const int64_t ns : samples_ns) {
    const auto tokens = static_cast<double>((test.n_prompt + test.n_gen) * test.n_parallel);
    rates.push_back(1e9 * tokens / static_cast<double>(ns));
  }
  return rates;
}

int64_t percentile_of(std::vector<int64_t> values, int percent) {
  const auto at = values.begin() + (std::ssize(values) - 1) * percent / 100;
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double deviation_of(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const double mean = mean_of(values);
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

base::Json bench_json(const BenchResult& r) {
  const std::vector<double> ns(r.samples_ns.begin(), r.samples_ns.end());
  base::Json json = {{"build_commit", version_text()},
                     {"backends", "CPU"},
                     {"isa", r.isa},
                     {"model_filename", r.model_filename},
                     {"model_type", r.model_type},
                     {"model_size", r.model_size},
                     {"model_n_params", r.model_n_params},
                     {"bytes_per_token", r.bytes_per_token},
                     {"kv_bytes_per_token", r.kv_bytes_per_token},
                     {"n_ubatch", r.n_ubatch},
                     {"n_threads", r.n_threads},
                     {"type_k", r.cache_type},
                     {"type_v", r.cache_type},
                     {"use_mmap", true},
                     {"n_prompt", r.test.n_prompt},
                     {"n_gen", r.test.n_gen},
                     {"n_depth", r.test.n_depth},
                     {"n_parallel", r.test.n_parallel},
                     {"test_time", r.test_time},
                     {"avg_ns", std::llround(mean_of(ns))},
                     {"stddev_ns", std::llround(deviation_of(ns))},
                     {"avg_ts", mean_of(r.samples_ts())},
                     {"stddev_ts", deviation_of(r.samples_ts())},
                     {"samples_ns", r.samples_ns},
                     {"samples_ts", r.samples_ts()},
                     {"memory_bytes", r.memory_bytes},
                     {"cache_bytes", r.cache_bytes}};
  if (r.distinct_experts > 0) json["distinct_experts"] = r.distinct_experts;
  if (!r.steps_ns.empty()) {
    for (const int percent : {10, 50, 90}) {
      json["step_ns_p" + std::to_string(percent)] = percentile_of(r.steps_ns, percent);
    }
  }
  return json;
}

namespace {

std::string formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string size_text(int64_t bytes) {
  const auto size = static_cast<double>(bytes);
  return bytes >= int64_t{1} << 30 ? formatted("%.2f GiB", size / 0x1p30) : formatted("%.2f MiB", size / 0x1p20);
}

std::string params_text(int64_t count) {
  const auto n = static_cast<double>(count);
  return count >= 1000000000 ? formatted("%.2f B", n / 1e9) : formatted("%.2f M", n / 1e6);
}

struct Column {
  const char* title;
  int width;
  bool right;
};
constexpr Column kColumns[] = {{"model", 30, false}, {"size", 10, true},  {"params", 10, true}, {"backend", 10, false},
                               {"threads", 7, true}, {"type_k", 6, true}, {"test", 18, true},   {"t/s", 20, true}};

void markdown_row(std::ostream& out, const std::vector<std::string>& cells) {
  for (size_t i = 0; i < cells.size(); ++i) {
    const Column& column = kColumns[i];
    // ± is two bytes and one column.
    const auto bytes = static_cast<int>(cells[i].find("±") == std::string::npos ? 0 : 1);
    out << "| " << (column.right ? std::right : std::left) << std::setw(column.width + bytes) << cells[i] << " ";
  }
  out << "|\n";
}

void markdown_header(std::ostream& out) {
  std::vector<std::string> titles;
  for (const Column& column : kColumns) titles.emplace_back(column.title);
  markdown_row(out, titles);
  for (const Column& column : kColumns) {
    out << "| " << std::string(static_cast<size_t>(column.width - (column.right ? 1 : 0)), '-')
        << (column.right ? ": " : " ");
  }
  out << "|\n";
}

void csv_row(std::ostream& out, const base::Json& json, bool names) {
  bool first = true;
  for (const auto& [key, value] : json.items()) {
    if (value.is_array()) continue;  // samples have no column, as in llama-bench
    std::string text = names ? key : value.is_string() ? value.get<std::string>() : value.dump();
    std::string quoted;
    for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
    out << (first ? "" : ",") << '"' << quoted << '"';
    first = false;
  }
  out << "\n";
}

}  // namespace

void BenchPrinter::row(const BenchResult& r) {
  switch (format_) {
    case BenchFormat::kMarkdown:
      if (!any_) markdown_header(out_);
      markdown_row(
          out_, {r.model_type, size_text(r.model_size), params_text(r.model_n_params), "CPU " + r.isa,
                 std::to_string(r.n_threads), r.cache_type, r.test.name(),
                 formatted("%.2f", mean_of(r.samples_ts())) + " ± " + formatted("%.2f", deviation_of(r.samples_ts()))});
      break;
    case BenchFormat::kJson: {
      std::istringstream lines(base::dump_json(bench_json(r), 2));
      out_ << (any_ ? ",\n" : "[\n");
      bool first = true;
      for (std::string line; std::getline(lines, line); first = false) out_ << (first ? "  " : "\n  ") << line;
      break;
    }
    case BenchFormat::kJsonLines:
      out_ << base::dump_json(bench_json(r)) << "\n";
      break;
    case BenchFormat::kCsv:
      if (!any_) csv_row(out_, bench_json(r), true);
      csv_row(out_, bench_json(r), false);
      break;
  }
  any_ = true;
  out_.flush();
}

void BenchPrinter::finish() {
  if (format_ == BenchFormat::kJson) out_ << (any_ ? "\n]\n" : "[]\n");
}

std::vector<int64_t> parse_counts(const std::string& text, const std::string& option) {
  constexpr int64_t kMost = int64_t{1} << 40, kMostOfThem = 10000;
  const char *at = text.data(), *end = at + text.size();
  const auto refuse = [&]() {
    base::fail(base::ErrorKind::kUsage, "bench", option + " takes counts such as 512, 1,2,3, 1-8, 1-9+2 or 1-8*2",
               base::in_quotes(text));
  };
  const auto number = [&] {
    int64_t value = 0;
    const auto [next, fault] = std::from_chars(at, end, value);
    if (fault != std::errc() || value < 0 || value > kMost) refuse();
    at = next;
    return value;
  };
  std::vector<int64_t> counts;
  for (;;) {
    const int64_t first = number();
    int64_t last = first, step = 1;
    char by = '+';
    if (at < end && *at == '-') {
      ++at;
      last = number();
      if (at < end && (*at == '+' || *at == '*')) {
        by = *at++;
        step = number();
      }
    }
    if (last < first || (by == '+' ? step < 1 : first < 1 || step < 2)) refuse();
    for (int64_t i = first; i <= last;) {
      counts.push_back(i);
      if (static_cast<int64_t>(counts.size()) > kMostOfThem) refuse();
      if (!(by == '+' ? base::add(i, step, i) : base::multiply(i, step, i))) break;
    }
    if (at == end) return counts;
    if (*at++ != ',') refuse();
  }
}

}  // namespace dsmoe::apps
