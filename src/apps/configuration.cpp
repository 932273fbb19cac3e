#include "apps/configuration.h"

#include "base/file.h"
#include "formats/config_json.h"

namespace dsmoe::apps {

spec::ResolvedConfig configuration_of(const std::string& name, const std::vector<std::string>& overrides,
                                      spec::Validation validation) {
  const base::fs::path path = base::fs::path(name) / "config.json";
  std::error_code ignored;
  if (!base::fs::exists(path, ignored)) return spec::resolve(name, overrides, validation);
  const base::Json file = base::parse_json(base::read_file(path, 1 << 20), path.string());
  const spec::ModelConfig model = formats::config_from_json(file, path.string());
  spec::RunConfig run;
  run.model = model;
  const base::Json document = {{"model", spec::to_json(run)["model"]},
                               {"train", {{"sequence_length", model.max_position_embeddings}}}};
  return spec::resolve_document(document, path.string(), overrides, validation);
}

base::Json token_id_lists(const std::string& name) {
  const base::fs::path path = base::fs::path(name) / "config.json";
  std::error_code ignored;
  base::Json lists = base::Json::object();
  if (!base::fs::exists(path, ignored)) return lists;
  const base::Json file = base::parse_json(base::read_file(path, 1 << 20), path.string());
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    if (file.contains(key) && file[key].is_array()) lists[key] = file[key];
  }
  return lists;
}

}  // namespace dsmoe::apps
