#include <filesystem>
#include <iostream>

#include "apps/commands.h"
#include "base/error.h"
#include "base/file.h"
#include "study/report.h"

namespace dsmoe::apps {
namespace {

struct Options {
  std::vector<std::string> runs;
  std::string output, title = "Training runs";
};

void act(const Options& options) {
  std::vector<study::RunReport> runs;
  for (const std::string& folder : options.runs) runs.push_back(study::read_run(folder));
  base::write_file(options.output, study::render_report(runs, options.title));
  std::cout << study::evaluation_table(runs);
  std::cerr << "report written to " << options.output << "\n";
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
  command->add_option("-o,--output", options->output, "the HTML file to write")->required();
  command->add_option("--title", options->title, "heads the page");
  command->callback([options] { act(*options); });
}

}  // namespace dsmoe::apps
