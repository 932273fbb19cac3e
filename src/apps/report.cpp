#include <filesystem>
#include <iostream>

#include "apps/commands.h"
#include "apps/output_arguments.h"
#include "base/output.h"
#include "study/report.h"

namespace dsmoe::apps {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string title = "Training runs";
  OutputArguments output;
};

void act(const Options& options) {
  std::vector<base::fs::path> read;
  for (const std::string& folder : options.runs) {
    for (base::fs::path& file : study::run_files(folder)) read.push_back(std::move(file));
  }
  base::require_output_file(options.output.path, options.output.force, read);
  const std::vector<study::RunReport> runs = study::read_runs({options.runs.begin(), options.runs.end()});
  base::write_file(options.output.path, study::render_report(runs, options.title, "dsmoe " + version_text()));
  std::cout << study::evaluation_table(runs);
  std::cerr << "report written to " << options.output.path << "\n";
}

}  // namespace

void add_report(CLI::App& program) {
  auto options = std::make_shared<Options>();
  CLI::App* command = program.add_subcommand("report", "One page about training runs: loss, experts, samples");
  command
      ->add_option("RUN", options->runs,
                   "folders that `dsmoe train` wrote; eval.json, routing.json, plan.json and "
                   "samples/*.txt in them join the page")
      ->required();
  add_output(*command, options->output, "-o,--output", "the HTML file to write")->required();
  command->add_option("--title", options->title, "heads the page");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
