#include "apps/model_option.h"

#include <iostream>

#include "formats/checkpoint_folders.h"

namespace dsmoe::apps {

CLI::Option* add_model(CLI::App& command, std::string& path, const std::string& names, const std::string& help) {
  const auto take_newest = [](std::string& named) {
    const std::string newest = formats::newest_model(named).string();
    if (newest != named) std::cerr << "model: " << newest << ", the newest checkpoint\n";
    named = newest;
    return std::string();
  };
  return command.add_option(names, path, help)->transform(CLI::Validator(take_newest, ""));
}

}  // namespace dsmoe::apps
