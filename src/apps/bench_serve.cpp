// dsmoe bench serve: how fast an OpenAI-compatible server answers, ours or another, and what it does under overload.
#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>

#include "apps/bench_report.h"
#include "apps/bench_serve.h"
#include "apps/real_number.h"
#include "apps/text_input.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "serve/gatekeeper.h"
#include "traffic/figures.h"
#include "traffic/prompts.h"

namespace dsmoe::apps {
namespace {

struct Options {
  std::string url, streams, rates, multiples, key_file, text_file;
  traffic::PromptOptions prompts;
  traffic::LoadPlan plan;
  bool json = false;
};

struct Row {
  std::string load;
  double rate = 0;
  int64_t streams = 0;
  traffic::LoadFigures figures;
  double own_processor = 0;  // this program's share of a processor
};

std::vector<double> positive_numbers(const std::string& text, const std::string& option) {
  std::vector<double> numbers;
  const char *at = text.data(), *end = at + text.size();
  while (at < end) {
    double number = 0;
    const auto [next, fault] = std::from_chars(at, end, number);
    if (fault != std::errc() || !std::isfinite(number) || number <= 0 || (next != end && *next != ',')) {
      base::fail(base::ErrorKind::kUsage, "bench serve", option + " takes numbers above 0, such as 1,2,4",
                 base::in_quotes(text));
    }
    numbers.push_back(number);
    at = next == end ? end : next + 1;
  }
  return numbers;
}

double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::string short_number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

void print_row(const Row& row);

class LoadBench {
 public:
  LoadBench(const Options& options, const traffic::Server& server, traffic::Prompts& prompts)
      : options_(options), server_(server), prompts_(prompts) {}

  void warm_up() {
    traffic::LoadPlan one = options_.plan;
    one.requests = 1, one.seconds = one.deadline;
    const auto served = traffic::drive(server_, "/v1/completions", one, [this] { return prompts_.apart(); });
    if (served.front().outcome == traffic::Outcome::kComplete) return;
    base::fail(base::ErrorKind::kFailure, "bench serve", "a first request must be answered",
               served.front().fault.empty() ? "status " + std::to_string(served.front().status) : served.front().fault);
  }
  void run_streams(int64_t streams) {
    traffic::LoadPlan plan = options_.plan;
    plan.streams = streams;
    measure(std::to_string(streams) + (streams == 1 ? " stream" : " streams"), plan);
  }
  void run_rate(double rate, const std::string& name) {
    traffic::LoadPlan plan = options_.plan;
    plan.rate = rate;
    measure(name, plan);
  }
  /// Complete requests a second at the best number of streams.
  double capacity() const {
    double best = 0;
    for (const Row& row : rows_) best = std::max(best, row.rate == 0 ? row.figures.requests_per_second : 0);
    if (best > 0) return best;
    base::fail(base::ErrorKind::kFailure, "bench serve", "no answer was complete in time, so there is no capacity", "",
               "more --seconds, or shorter answers (-n)");
  }
  const std::vector<Row>& rows() const { return rows_; }

 private:
  std::vector<traffic::Served> drive(const traffic::LoadPlan& plan) {
    return traffic::drive(server_, "/v1/completions", plan, [this] { return prompts_.next(); });
  }

  void measure(const std::string& name, const traffic::LoadPlan& plan) {
    const double processor = processor_seconds();
    const auto start = std::chrono::steady_clock::now();
    const std::vector<traffic::Served> served = drive(plan);
    const double time = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    // Where requests are counted, the time is what they took.
    const double seconds = plan.requests > 0 ? std::min(plan.seconds, time) : plan.seconds;
    rows_.push_back({name, plan.rate, plan.rate > 0 ? 0 : plan.streams, traffic::figures_of(served, seconds),
                     (processor_seconds() - processor) / time});
    if (!options_.json) print_row(rows_.back());
    for (const traffic::Served& one : served) {
      if (one.outcome != traffic::Outcome::kFailed) continue;
      std::cerr << name << ": " << rows_.back().figures.failed << " failed, the first so: " << one.fault << "\n";
      break;
    }
  }

  const Options& options_;
  const traffic::Server& server_;
  traffic::Prompts& prompts_;
  std::vector<Row> rows_;
};

base::Json json_of(const traffic::Spread& spread) {
  return {{"p50", spread.p50}, {"p90", spread.p90}, {"p99", spread.p99}, {"max", spread.most}};
}

base::Json json_of(const Row& row) {
  const traffic::LoadFigures& f = row.figures;
  return {{"load", row.load},
          {"streams", row.streams},
          {"rate", row.rate},
          {"asked", f.asked},
          {"complete", f.complete},
          {"refused", f.refused},
          {"late", f.late},
          {"failed", f.failed},
          {"requests_per_s", f.requests_per_second},
          {"tokens_per_s", f.tokens_per_second},
          {"goodput_tokens_per_s", f.goodput},
          {"first_token_s", json_of(f.first_token)},
          {"between_tokens_s", json_of(f.between_tokens)},
          {"whole_s", json_of(f.whole)},
          {"refusal_s", json_of(f.refusal)},
          {"own_processor_share", row.own_processor}};
}

constexpr const char* kColumns =
    "| load | asked | complete | refused | late | failed | req/s | tok/s | goodput tok/s | first token ms: p50 | p99 | "
    "between tokens ms: p50 | p99 | refusal ms: p99 | own processor % |\n"
    "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n";

void print_row(const Row& row) {
  const traffic::LoadFigures& f = row.figures;
  std::cout << "| " << row.load;
  for (const int64_t count : {f.asked, f.complete, f.refused, f.late, f.failed}) std::cout << " | " << count;
  for (const double value :
       {f.requests_per_second, f.tokens_per_second, f.goodput, 1e3 * f.first_token.p50, 1e3 * f.first_token.p99,
        1e3 * f.between_tokens.p50, 1e3 * f.between_tokens.p99, 1e3 * f.refusal.p99, 100 * row.own_processor}) {
    std::cout << " | " << short_number(value);
  }
  std::cout << " |\n" << std::flush;
}

// From a file that only its owner may read, or the environment: a command line is there for all to see.
std::string read_key(const Options& options) {
  if (!options.key_file.empty()) return serve::read_key_file(options.key_file).front();
  const char* key = std::getenv("DSMOE_API_KEY");
  return key == nullptr ? "" : key;
}

void require_sizes(const Options& options) {
  const auto require = [](bool holds, const std::string& rule, const std::string& found) {
    if (!holds) base::fail(base::ErrorKind::kUsage, "bench serve", rule, found);
  };
  require(options.prompts.shared < options.prompts.tokens, "--shared-prefix must be less than -p",
          std::to_string(options.prompts.shared));
  for (const auto& [name, value] :
       {std::pair<std::string, double>("--seconds", options.plan.seconds), {"--deadline", options.plan.deadline}}) {
    require(value > 0 && value <= 86400, name + " must be above 0 and at most 86400", short_number(value));
  }
}

// What is to be measured, in the order of its rows.
struct Loads {
  std::vector<int64_t> streams;
  std::vector<double> rates, multiples;
};

Loads loads_of(const Options& options) {
  Loads loads;
  loads.rates = positive_numbers(options.rates, "--rate");
  loads.multiples = positive_numbers(options.multiples, "--load");
  const bool needs_streams = !loads.multiples.empty() || loads.rates.empty();
  const std::string streams = options.streams.empty() && needs_streams ? "8" : options.streams;
  if (!streams.empty()) loads.streams = parse_counts(streams, "--streams");
  for (const int64_t count : loads.streams) {
    if (count < 1 || count > 1000) {
      base::fail(base::ErrorKind::kUsage, "bench serve", "--streams is from 1 to 1000", std::to_string(count));
    }
  }
  return loads;
}

void print_json(const Options& options, const std::vector<Row>& rows) {
  base::Json json = {{"server", options.url},
                     {"model", options.prompts.model},
                     {"prompt_tokens", options.prompts.tokens},
                     {"shared_prefix", options.prompts.shared},
                     {"max_tokens", options.prompts.answer},
                     {"seconds", options.plan.seconds},
                     {"deadline_s", options.plan.deadline},
                     {"seed", options.plan.seed},
                     {"rows", base::Json::array()}};
  for (const Row& row : rows) json["rows"].push_back(json_of(row));
  std::cout << base::dump_json(json, 2) << "\n";
}

void act(Options options) {
  require_sizes(options);
  const Loads loads = loads_of(options);
  if (!options.text_file.empty()) options.prompts.text = read_text(options.text_file);
  options.prompts.seed = options.plan.seed;
  const traffic::Server server(options.url, read_key(options));
  if (options.prompts.model.empty()) options.prompts.model = server.model();
  traffic::Prompts prompts(options.prompts, server);
  if (prompts.in_words()) std::cerr << "this server does not tokenize: prompts are counted in words\n";
  LoadBench bench(options, server, prompts);
  bench.warm_up();
  if (!options.json) std::cout << kColumns << std::flush;
  for (const int64_t count : loads.streams) bench.run_streams(count);
  for (const double rate : loads.rates) bench.run_rate(rate, short_number(rate) + " req/s");
  const double capacity = loads.multiples.empty() ? 0 : bench.capacity();
  for (const double multiple : loads.multiples) {
    const double rate = multiple * capacity;
    bench.run_rate(rate, short_number(multiple) + " x capacity, " + short_number(rate) + " req/s");
  }
  if (options.json) print_json(options, bench.rows());
}

}  // namespace

void add_bench_serve(CLI::App& bench) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand(
      "serve", "How fast an OpenAI-compatible server answers many at once, and what it does under overload");
  command->add_option("URL", options->url, "the server, http://127.0.0.1:8080")->required();
  command->add_option("--streams", options->streams,
                      "so many answers in hand at once, the next as soon as one has ended: 8, 1,2,4, 1-8*2");
  command->add_option("--rate", options->rates, "requests a second at random times, whatever the server does: 0.5,1,2");
  command->add_option("--load", options->multiples,
                      "the same at multiples of the most requests a second that --streams (8) have shown: 1,2,4");
  add_real_number(*command, "--seconds", options->plan.seconds, "of each load, in which requests leave");
  add_whole_number(*command, "--requests", options->plan.requests, "of each load at most; 0: all there is time for",
                   {0, int64_t{1} << 30});
  add_real_number(*command, "--deadline", options->plan.deadline,
                  "seconds after which a client leaves without its answer");
  add_whole_number(*command, "-p,--n-prompt", options->prompts.tokens, "tokens of a prompt", {1, 1 << 20});
  add_whole_number(*command, "-n,--n-gen", options->prompts.answer, "tokens of an answer", {1, 1 << 20});
  add_whole_number(*command, "--shared-prefix", options->prompts.shared, "of a prompt's tokens the same in all",
                   {0, 1 << 20});
  command->add_option("-f,--file", options->text_file, "text that prompts are cut from; else random words");
  command->add_option("--model", options->prompts.model, "the model's name; else the first of /v1/models");
  command->add_option("--api-key-file", options->key_file,
                      "a key, in a file that only its owner may read; DSMOE_API_KEY gives one too");
  add_whole_number(*command, "-s,--seed", options->plan.seed, "of prompts and times");
  command->add_flag("--json", options->json, "one object with all figures, in seconds");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
