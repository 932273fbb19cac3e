// dsmoe quickstart: from somebody's text to a trained model and a page about it, by the commands that a person would
// type. What it chose stands in quickstart.json in the output folder, so that the same command goes on where it
// stopped.
#include <unistd.h>

#include <cmath>
#include <iostream>
#include <memory>

#include "apps/command_steps.h"
#include "apps/commands.h"
#include "apps/help_format.h"
#include "apps/progress.h"
#include "apps/quickstart_plan.h"
#include "apps/quickstart_record.h"
#include "apps/quickstart_sources.h"
#include "apps/real_number.h"
#include "apps/training_program.h"
#include "apps/whole_number.h"
#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "corpus/dataset.h"
#include "formats/checkpoint_folders.h"
#include "terminal/window_size.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::apps {
namespace {

namespace fs = base::fs;

constexpr size_t kMostSamples = 5, kUnwrapped = SIZE_MAX;
constexpr int64_t kPromptTokens = 16;

struct Options {
  std::vector<std::string> given;
  double minutes = 5;
  std::string output = "quickstart", preset;
  int threads = 0;
};

bool there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

class Quickstart {
 public:
  Quickstart(const Options& options, QuickstartSources sources)
      : options_(options),
        dir_(options.output),
        sources_(std::move(sources)),
        record_(dir_, {options.given, sources_.bytes, options.minutes, options.preset}) {}

  void run() {
    for (const std::string& note : sources_.notes) std::cerr << "note: " << note << "\n";
    make_tokenizer();
    make_corpus();
    train();
    look();
    write_samples();
    write_page();
    tell_what_is_there();
  }

 private:
  std::string in(const char* name) const { return (dir_ / name).string(); }

  void title(const std::string& text) { std::cerr << "\n== " << ++titles_ << ". " << text << "\n"; }
  static void say(const std::string& sentence) {
    const auto window = terminal::window_size(STDERR_FILENO);
    std::cerr << wrapped("   " + sentence, window ? window->columns - 1 : kUnwrapped, 3) << "\n";
  }

  void step(std::vector<std::string> words, const fs::path& output = {}) {
    const bool computes = words.front() != "plan";
    if (computes && options_.threads > 0) words.insert(words.end(), {"-t", std::to_string(options_.threads)});
    steps_.run({std::move(words), output});
  }
  /// The same, unless its result is there already and not older than the model.
  void step_for(const fs::path& result, std::vector<std::string> words, bool to_result = false) {
    if (!is_older(result)) return say("have " + result.string());
    step(std::move(words), to_result ? result : fs::path());
  }
  bool is_older(const fs::path& result) const {
    std::error_code no_result, no_model;
    const auto made = fs::last_write_time(result, no_result);
    const auto trained = fs::last_write_time(formats::newest_model(dir_) / "config.json", no_model);
    return no_result || (!no_model && made < trained);
  }

  void make_tokenizer() {
    title("A vocabulary");
    const int32_t size = vocabulary_for(sources_.bytes);
    say(bytes_text(static_cast<double>(sources_.bytes)) + " of text in " + std::to_string(sources_.files.size()) +
        (sources_.files.size() == 1 ? " file" : " files") + " can teach " + std::to_string(size) +
        " tokens: words and parts of words that are common in it.");
    if (there(dir_ / "tokenizer/tokenizer.json")) return say("have " + in("tokenizer"));
    std::vector<std::string> words = {"tokenizer",          "train", "--vocab-size",
                                      std::to_string(size), "-o",    in("tokenizer")};
    words.insert(words.end(), sources_.paths.begin(), sources_.paths.end());
    step(std::move(words));
  }

  void make_corpus() {
    title("A corpus");
    say("The text as tokens, a fiftieth of the documents kept apart to measure on; " +
        (sources_.domains.size() == 1
             ? "all of it is one domain."
             : std::to_string(sources_.domains.size()) + " domains, which the page tells apart."));
    if (there(dir_ / "corpus/manifest.json")) return say("have " + in("corpus"));
    std::vector<std::string> words = {"data", "build", "--tokenizer", in("tokenizer"), "-o", in("corpus")};
    words.insert(words.end(), sources_.domains.begin(), sources_.domains.end());
    step(std::move(words));
  }

  void train() {
    title("Training");
    if (!record_.training()) record_.choose(chosen_training());
    const TrainingChoice& choice = *record_.training();
    for (const std::string& reason : choice.reasons) say(reason);
    say("Ctrl-C stops and saves; the same command goes on.");
    std::vector<std::string> words = {"train", choice.preset, "data.path=" + in("corpus"),
                                      "output.dir=" + dir_.string()};
    words.insert(words.end(), choice.settings.begin(), choice.settings.end());
    words.insert(words.end(), {"--resume", "auto"});
    step(std::move(words));
  }

  TrainingChoice chosen_training() {
    const corpus::TokenDataset text = corpus::TokenDataset::open(dir_ / "corpus", "train");
    say("How fast this machine trains:");
    const std::string vocabulary = "model.vocab_size=" + std::to_string(text.vocab_size());
    CommandStep bench{{"bench", kMeasuredPreset, vocabulary, "--steps", "3", "--warm-up", "1", "--json"},
                      dir_ / "speed.json",
                      "dsmoe-train"};
    if (options_.threads > 0) bench.words.insert(bench.words.end(), {"-t", std::to_string(options_.threads)});
    steps_.run(bench);
    const base::Json speed = base::parse_json(base::read_file(bench.output), bench.output.string());
    TrainingNeeds needs;
    needs.tokens = text.total_tokens();
    needs.vocab_size = text.vocab_size();
    needs.minutes = options_.minutes;
    needs.tokens_per_second = base::require_number(speed, "tokens_per_s", bench.output.string());
    needs.memory = base::available_memory() / 2;
    needs.preset = options_.preset;
    return choose_training(needs);
  }

  // The validation text, where there is any.
  std::string split() const {
    return corpus::TokenDataset::open(dir_ / "corpus", "valid").total_tokens() > 0 ? "valid" : "train";
  }

  void look() {
    title("What it learnt");
    const std::string data = in("corpus"), dir = dir_.string(), from = split();
    step_for(dir_ / "plan.json", {"plan", in("run.toml"), "--json"}, true);
    step_for(dir_ / "eval.json",
             {"eval", "perplexity", "-m", dir, "--data", data, "--split", from, "--limit", "100000", "--json"}, true);
    step_for(dir_ / "routing.json", {"study", "routing", "-m", dir, "--data", data, "--split", from, "--tokens",
                                     "100000", "-o", dir, "--force"});
    for (const std::string study : {"disable", "fewer"}) {
      step_for(dir_ / (study + ".json"),
               {"study", study, "-m", dir, "--data", data, "--split", from, "--limit", "10000", "-o", dir, "--force"});
    }
  }

  /// The beginning of a text that the model has not seen.
  static std::string beginning_of(const corpus::TokenDataset& text, int64_t document,
                                  const tokenizer::Tokenizer& tokenizer) {
    std::vector<int32_t> tokens(static_cast<size_t>(std::min(kPromptTokens, text.tokens_in(document))));
    text.read(document, 0, tokens);
    std::string prompt = tokenizer.decode(tokens, /*skip_special=*/true);
    const size_t last_space = prompt.find_last_of(" \n");
    if (last_space != std::string::npos && last_space > 0) prompt.resize(last_space);
    return prompt;
  }

  void write_samples() {
    title("What it writes, from beginnings of texts that it has not read");
    const corpus::TokenDataset text = corpus::TokenDataset::open(dir_ / "corpus", split());
    const tokenizer::Tokenizer tokenizer = tokenizer::load_tokenizer(dir_ / "corpus");
    fs::create_directories(dir_ / "samples");
    std::vector<bool> wanted(text.domain_names().size());
    for (size_t i = 0; i < kMostSamples; ++i) wanted[i * wanted.size() / kMostSamples] = true;
    for (int64_t document = 0; document < text.documents(); ++document) {
      const auto domain = static_cast<size_t>(text.domain(document));
      if (!wanted[domain]) continue;
      wanted[domain] = false;
      write_sample(text.domain_names()[domain], beginning_of(text, document, tokenizer));
    }
  }

  void write_sample(const std::string& name, const std::string& beginning) {
    const fs::path prompt = dir_ / "samples" / (name + ".prompt"), sample = dir_ / "samples" / (name + ".txt");
    base::write_file(prompt, beginning);
    step_for(sample,
             {"generate", "-m", dir_.string(), "-f", prompt.string(), "--echo", "-n", "120", "--temp", "0.7", "--top-p",
              "0.9", "--seed", "1"},
             true);
    std::cerr << base::read_file(sample) << "\n";
  }

  void write_page() {
    title("A page about it");
    steps_.run({{"report", dir_.string(), "-o", in("report.html"), "--force"}, ""});
  }

  void tell_what_is_there() const {
    const std::string dir = dir_.string();
    const auto line = [&](const std::vector<std::string>& words, const char* what) {
      std::string text = steps_.text({words, ""});
      text.resize(std::max<size_t>(text.size() + 2, 52), ' ');
      std::cerr << "  " << text << what << "\n";
    };
    std::cerr << "\n"
              << formats::newest_model(dir_).string() << " is the model, " << in("report.html")
              << " the page about it.\n\nNext:\n";
    line({"generate", "-m", dir, "-p", "Once upon a time"}, "let it write");
    line({"chat", "-m", dir}, "talk to it");
    line({"eval", "perplexity", "-m", dir, "FILE"}, "how well it knows a text");
    line({"quantize", "-m", dir, "--type", "q8_0", "-o", in("model.gguf")}, "one small file");
    line({"quickstart", "..."}, "more text, --minutes 60, another -o");
  }

  Options options_;
  fs::path dir_;
  QuickstartSources sources_;
  QuickstartRecord record_;
  CommandSteps steps_ = CommandSteps::as_typed();
  int titles_ = 0;
};

void act(const Options& options) {
  if (!(options.minutes > 0) || options.minutes > 60 * 24 * 365) {
    base::fail(base::ErrorKind::kUsage, "quickstart", "--minutes must be above 0, and a year at most",
               std::to_string(options.minutes));
  }
  QuickstartSources sources = find_quickstart_sources(options.given, options.output);
  training_program();  // before anything is made
  Quickstart(options, std::move(sources)).run();
}

}  // namespace

void add_quickstart(CLI::App& program) {
  const auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("quickstart", "From your own text to a trained model and a page about it");
  command
      ->add_option("SOURCES", options->given,
                   "text: files, folders, quoted patterns, or NAME=PATH to name a domain; .txt, .md, .jsonl with "
                   "\"text\", also .gz and .zst")
      ->required();
  add_real_number(*command, "--minutes", options->minutes, "how long training may take");
  command->add_option("-o,--output", options->output, "the folder to make; the same command goes on with it")
      ->capture_default_str();
  command->add_option("--preset", options->preset,
                      "the model (dsmoe plan --list), instead of one chosen by text, time and speed");
  add_threads(*command, options->threads);
  command->footer(
      "Every step is shown as the command that it is. Stopped (Ctrl-C, exit code 75) or failed, it goes on where it "
      "was when the same command is given again.");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
