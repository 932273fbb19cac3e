#include <filesystem>
#include <iostream>
#include <memory>

#include "apps/command.h"
#include "apps/open_model.h"
#include "apps/output_arguments.h"
#include "apps/progress.h"
#include "apps/study.h"
#include "apps/whole_number.h"
#include "base/output.h"
#include "formats/model_files.h"
#include "study/routing_study.h"

namespace dsmoe::apps {
namespace {

struct Options {
  ModelArguments model;
  std::string data, split = "valid";
  OutputArguments output;
  int64_t tokens = 0;
  bool json = false;
};

void print_table(const study::RoutingCounts& counts) {
  std::cout << "layer   MaxVio   bits an expert tells of the domain\n";
  for (size_t l = 0; l < counts.layers.size(); ++l) {
    char line[80];
    std::snprintf(line, sizeof line, "%5lld %8.3f %8.3f\n", static_cast<long long>(counts.layers[l]),
                  counts.max_violation(l), counts.domain_information(l));
    std::cout << line;
  }
}

constexpr const char* kRoutingFile = "routing.json";

base::FolderPolicy routing_policy(const Options& options) {
  base::FolderPolicy policy;
  policy.force = options.output.force;
  policy.beside_others = true;
  policy.is_own = [](const std::string& name) { return name == kRoutingFile; };
  return policy;
}

void act_routing(const Options& options) {
  if (!options.output.path.empty()) {
    std::vector<base::fs::path> read = formats::model_files(options.model.path);
    read.push_back(options.data);
    base::require_output_folder(options.output.path, routing_policy(options), read);
  }
  const corpus::TokenDataset dataset = corpus::TokenDataset::open(options.data, options.split);
  loading::Model model = open_model(options.model);
  model.require_same_tokens(dataset);

  std::unique_ptr<Progress> progress;
  study::RoutingStudyOptions study_options;
  study_options.token_limit = options.tokens;
  study_options.progress = [&](int64_t done, int64_t all) {
    if (!progress) progress = std::make_unique<Progress>("routing", static_cast<uint64_t>(all), count_text);
    progress->update(static_cast<uint64_t>(done));
  };
  const study::RoutingCounts counts = study::study_routing(model.engine(), dataset, study_options);
  if (progress) progress->finish();

  base::Json json = study::to_json(counts);
  json["provenance"] = {{"program", "dsmoe " + version_text()},
                        {"model", options.model.path},
                        {"data", options.data},
                        {"split", options.split},
                        {"data_hash", dataset.hash()}};
  if (!options.output.path.empty()) {
    base::FolderOutput folder(options.output.path, routing_policy(options));
    folder.write_file(kRoutingFile, base::dump_json(json) + "\n");
    folder.commit();
  }
  if (options.json) {
    std::cout << base::dump_json(json) << "\n";
  } else {
    print_table(counts);
  }
}

}  // namespace

void add_study_routing(CLI::App& group) {
  auto options = std::make_shared<Options>();
  CLI::App* routing = group.add_subcommand("routing", "Count which experts each layer uses for which domain of text");
  options->model.add_to(*routing);
  routing->add_option("--data", options->data, "folder that `dsmoe data build` made")->required();
  routing->add_option("--split", options->split, "train or valid")->capture_default_str();
  add_whole_number(*routing, "--tokens", options->tokens, "tokens to look at over all domains; 0: all",
                   {0, int64_t{1} << 40});
  add_output(*routing, options->output, "-o,--output",
             "folder that gets routing.json (a run's folder joins its report)");
  routing->add_flag("--json", options->json, "print the counts as one JSON object");
  routing->callback([options] { act_routing(*options); });
}

}  // namespace dsmoe::apps
