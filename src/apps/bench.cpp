// dsmoe bench: how fast a model reads a prompt and generates, as llama-bench measures it.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <set>

#include "apps/bench_report.h"
#include "apps/bench_serve.h"
#include "apps/commands.h"
#include "apps/open_model.h"
#include "apps/progress.h"
#include "apps/weight_sizes.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/rng.h"
#include "kernels/isa.h"
#include "spec/counts.h"

namespace dsmoe::apps {
namespace {

struct Options {
  ModelArguments model;
  std::string prompt = "512", gen = "128", depth = "0", parallel = "1", output = "md";
  std::vector<std::string> pairs;
  int64_t repetitions = 5;
  uint64_t seed = 1;
  bool no_warmup = false, no_memory_check = false;
};

/// Everything for one model and number of threads.
struct Bench {
  const Options& options;
  engine::Engine& engine;
  BenchResult about;  ///< what all rows share
  base::Rng rng;
};

/// Distinct experts that the sequences of one step visit together, in the mean over steps and mixture layers.
class DistinctExperts : public engine::RoutingProbe {
 public:
  void on_routing(int64_t layer, const engine::RoutingView& routing) override {
    seen_[layer].insert(routing.ids_TK.begin(), routing.ids_TK.end());
  }
  void end_step() {
    for (auto& [layer, experts] : seen_) {
      experts.erase(-1);
      sum_ += static_cast<double>(experts.size());
      count_ += 1;
      experts.clear();
    }
  }
  double mean() const { return count_ > 0 ? sum_ / count_ : 0; }

 private:
  std::map<int64_t, std::set<int32_t>> seen_;
  double sum_ = 0, count_ = 0;
};

std::vector<int32_t> random_ids(Bench& bench, int64_t count) {
  std::vector<int32_t> ids;
  const auto V = static_cast<uint64_t>(bench.engine.config().vocab_size);
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(bench.rng.below(V)));
  return ids;
}

/// The sequences of one test, side by side.
struct Sequences {
  Sequences(engine::Engine& e, int64_t count) : engine(e) {
    const auto V = static_cast<size_t>(e.config().vocab_size);
    for (int64_t i = 0; i < count; ++i) caches.emplace_back(e.config(), e.cache_type());
    logits.assign(static_cast<size_t>(count), std::vector<float>(V));
    ids.resize(static_cast<size_t>(count));
    items.resize(static_cast<size_t>(count));
  }
  /// `count` fresh random tokens each, and the logits after the last.
  void append(Bench& bench, int64_t count, engine::RoutingProbe* probe = nullptr) {
    for (size_t i = 0; i < items.size(); ++i) {
      ids[i] = random_ids(bench, count);
      items[i] = {&caches[i], ids[i], logits[i], nullptr, probe};
    }
    engine.pass(items);
  }
  void rewind(int64_t size) {
    for (auto& cache : caches) cache.truncate(size);
  }
  int64_t cache_bytes() const {
    int64_t bytes = 0;
    for (const auto& cache : caches) bytes += cache.bytes();
    return bytes;
  }

  engine::Engine& engine;
  std::vector<engine::KvCache> caches;
  std::vector<std::vector<float>> logits;
  std::vector<std::vector<int32_t>> ids;
  std::vector<engine::BatchItem> items;
};

/// Memory that belongs to this process alone, 0 where the system does not say.
int64_t private_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoll(line.substr(8)) * 1024;
  }
  return 0;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
  return text;
}

using Clock = std::chrono::steady_clock;
int64_t nanoseconds_since(Clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
}

BenchResult measure(Bench& bench, const BenchTest& test) {
  BenchResult result = bench.about;
  result.test = test;
  Sequences sequences(bench.engine, test.n_parallel);
  DistinctExperts experts;
  engine::RoutingProbe* probe = test.n_parallel > 1 && test.n_gen > 0 ? &experts : nullptr;
  const auto run = [&](int64_t prompt, int64_t gen) {
    if (prompt > 0) sequences.append(bench, prompt);
    for (int64_t step = 0; step < gen; ++step) {
      const auto start = Clock::now();
      sequences.append(bench, 1, probe);
      result.steps_ns.push_back(nanoseconds_since(start));
      experts.end_step();
    }
  };
  if (!bench.options.no_warmup) {
    bench.engine.weights().bring_into_memory();
    run(test.n_prompt, std::min<int64_t>(test.n_gen, 1));
    sequences.rewind(0);
    experts = {};
    result.steps_ns.clear();
  }
  if (test.n_depth > 0) sequences.append(bench, test.n_depth);
  result.test_time = utc_now();
  for (int64_t r = 0; r < bench.options.repetitions; ++r) {
    sequences.rewind(test.n_depth);
    const auto start = Clock::now();
    run(test.n_prompt, test.n_gen);
    result.samples_ns.push_back(nanoseconds_since(start));
  }
  result.distinct_experts = experts.mean();
  result.cache_bytes = sequences.cache_bytes();
  const int64_t weights = bench.options.model.quantise.empty() ? 0 : result.model_size;
  result.memory_bytes = std::max<int64_t>(0, private_memory() - result.cache_bytes - weights);
  return result;
}

/// llama-bench's order: for each depth and number of sequences all prompts, then all generations, then the pairs.
std::vector<BenchTest> tests_of(const Options& options) {
  std::vector<std::pair<int64_t, int64_t>> sizes;
  for (const int64_t n : parse_counts(options.prompt, "--n-prompt")) sizes.emplace_back(n, 0);
  for (const int64_t n : parse_counts(options.gen, "--n-gen")) sizes.emplace_back(0, n);
  for (const std::string& pair : options.pairs) {
    const auto counts = parse_counts(pair, "--pg");
    if (counts.size() != 2) base::fail(base::ErrorKind::kUsage, "bench", "--pg takes PROMPT,GEN", pair);
    sizes.emplace_back(counts[0], counts[1]);
  }
  constexpr size_t kMostTests = 10000;
  std::vector<BenchTest> tests;
  for (const int64_t depth : parse_counts(options.depth, "--n-depth")) {
    for (const int64_t parallel : parse_counts(options.parallel, "--parallel")) {
      if (parallel < 1 || parallel > 4096) {
        base::fail(base::ErrorKind::kUsage, "bench", "--parallel is from 1 to 4096", std::to_string(parallel));
      }
      for (const auto& [prompt, gen] : sizes) {
        if (prompt + gen > 0) tests.push_back({prompt, gen, depth, parallel});
        if (tests.size() > kMostTests) {
          base::fail(base::ErrorKind::kUsage, "bench", "at most " + std::to_string(kMostTests) + " tests",
                     "the lists multiply to more");
        }
      }
    }
  }
  return tests;
}

void check_length(const engine::Engine& engine, const std::vector<BenchTest>& tests) {
  for (const BenchTest& test : tests) {
    const int64_t length = test.n_depth + test.n_prompt + test.n_gen;
    if (length > engine.config().max_position_embeddings) {
      base::fail_invalid("bench",
                         "a test fits into max_position_embeddings = " +
                             std::to_string(engine.config().max_position_embeddings) + " tokens",
                         test.name() + " has " + std::to_string(length));
    }
  }
}

/// Before anything is computed: a test that runs out of memory has been running for a long time. What it takes beyond
/// the weights, which are there or can be read again: the sequences' caches and their logits.
void check_memory(const Options& options, const engine::Engine& engine, const std::vector<BenchTest>& tests) {
  if (options.no_memory_check) return;
  const auto available = static_cast<double>(base::available_memory());
  for (const BenchTest& test : tests) {
    const int64_t length = test.n_depth + test.n_prompt + test.n_gen;
    const int64_t of_one = engine::KvCache::bytes_for(engine.config(), engine.cache_type(), length) +
                           static_cast<int64_t>(sizeof(float)) * engine.config().vocab_size;
    const double needed = static_cast<double>(of_one) * static_cast<double>(test.n_parallel);
    if (needed <= available) continue;
    base::fail_invalid("bench", "a test's sequences must fit into memory",
                       test.name() + " with " + std::to_string(test.n_parallel) + " sequences needs " +
                           bytes_text(needed) + ", available are " + bytes_text(available),
                       "fewer or shorter sequences or --cache-type q8_0 take less; --no-memory-check tries anyway");
  }
}

BenchResult about_model(const Options& options, const engine::Engine& engine) {
  BenchResult about;
  about.model_filename = options.model.path;
  const WeightSizes sizes = weight_sizes(engine.weights());
  about.model_size = sizes.all;
  about.bytes_per_token = sizes.per_token;
  about.kv_bytes_per_token =
      engine::KvCache::bytes_for(engine.config(), engine.cache_type(), kernels::kCacheBlock) / kernels::kCacheBlock;
  about.model_n_params = spec::count_parameters(engine.config()).total();
  const double params = static_cast<double>(about.model_n_params);
  about.model_type = std::string(engine.config().is_moe() ? "deepseek " : "llama ") +
                     (params >= 1e9 ? std::to_string(std::lround(params / 1e9)) + "B "
                                    : std::to_string(std::lround(params / 1e6)) + "M ") +
                     sizes.type;
  about.isa = kernels::isa_name(kernels::active_isa());
  about.cache_type = engine::cache_type_name(engine.cache_type());
  about.n_ubatch = engine.chunk();
  about.n_threads = engine.threads();
  return about;
}

void act(const Options& options) {
  const std::map<std::string, BenchFormat> formats = {{"md", BenchFormat::kMarkdown},
                                                      {"json", BenchFormat::kJson},
                                                      {"jsonl", BenchFormat::kJsonLines},
                                                      {"csv", BenchFormat::kCsv}};
  const auto tests = tests_of(options);
  BenchPrinter printer(std::cout, formats.at(options.output));
  loading::Model model = open_model(options.model);
  engine::Engine& engine = model.engine();
  check_length(engine, tests);
  check_memory(options, engine, tests);
  Bench bench{options, engine, about_model(options, engine), base::Rng(options.seed)};
  for (const BenchTest& test : tests) {
    const BenchResult result = measure(bench, test);
    printer.row(result);
    if (result.distinct_experts > 0) {
      std::fprintf(stderr, "%s: %.1f distinct experts a layer and step\n", test.name().c_str(),
                   result.distinct_experts);
    }
    if (result.memory_bytes > 0) {
      std::fprintf(stderr, "%s: %s beyond weights and cache, cache %s\n", test.name().c_str(),
                   bytes_text(static_cast<double>(result.memory_bytes)).c_str(),
                   bytes_text(static_cast<double>(result.cache_bytes)).c_str());
    }
  }
  printer.finish();
}

}  // namespace

void add_bench(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand(
      "bench", "How fast a model reads prompts and generates: llama-bench's tests, table and json");
  options->model.cache_type = "f16";
  options->model.add_to(*command);
  command->add_option("-p,--n-prompt", options->prompt, "prompts of so many tokens: 512, 1,2,3, 1-9+2, 1-8*2; 0: none")
      ->capture_default_str();
  command->add_option("-n,--n-gen", options->gen, "so many generated tokens, one by one; 0: none")
      ->capture_default_str();
  command->add_option("--pg", options->pairs, "PROMPT,GEN: a prompt and then generation; may be given again")
      ->allow_extra_args(false);
  command->add_option("-d,--n-depth", options->depth, "tokens in the context before")->capture_default_str();
  command->add_option("--parallel", options->parallel, "sequences together")->capture_default_str();
  add_whole_number(*command, "-r,--repetitions", options->repetitions, "runs of each test", {1, int64_t{1} << 20});
  command->add_option("-o,--output", options->output, "md, json, jsonl or csv")
      ->check(CLI::IsMember({"md", "json", "jsonl", "csv"}))
      ->capture_default_str();
  add_whole_number(*command, "-s,--seed", options->seed, "of the random token ids");
  command->add_flag("--no-memory-check", options->no_memory_check, "begin tests that will not fit into memory too");
  command->add_flag("--no-warmup", options->no_warmup, "time the first run too");
  add_bench_serve(*command);
  command->require_subcommand(0, 1);
  // `bench serve` times a server and needs no model, so this is asked for here.
  CLI::Option* model = command->get_option("--model")->required(false);
  command->callback([command, model, options] {
    if (!command->get_subcommands().empty()) return;
    if (model->count() == 0) throw CLI::RequiredError(model->get_name());
    act(*options);
  });
}

}  // namespace dsmoe::apps
