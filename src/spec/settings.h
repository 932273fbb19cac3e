// Configuration in layers: defaults, then a preset, then a file, then `section.key=value`; each value remembers its
// layer.
//
// A file is TOML with the sections of run_config.h, or the same as JSON. Beside the sections it may hold `extends`, the
// name of a preset (or, in a file, the path of another file beside it) to start from, and `description`. An unknown key
// is an error that names the key that is meant, where one is near; a value of the wrong type is an error; nothing is
// converted but an integer to a floating-point number. Texts are checked here once; a RunConfig that `resolve` returns
// satisfies every rule.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "spec/run_config.h"

namespace dsmoe::spec {

/// Where a value came from, by "section.key": "preset NAME", "file PATH" or "command line". Absent: the default.
using Origins = std::map<std::string, std::string>;

struct ResolvedConfig {
  RunConfig config;
  Origins origins;
  std::string description;
};

/// Which rules a resolved configuration has to satisfy: all of them, or only those of [model], for who takes a shape
/// from it and trains nothing. Types and names of keys are checked either way.
enum class Validation { kEverything, kModelOnly };

/// A preset's name, or the path of a .toml or .json file (anything with a slash or such an ending), and overrides
/// `section.key=value` of which later ones win. Throws Error(kInvalid), or Error(kIo) for an unreadable file.
ResolvedConfig resolve(const std::string& preset_or_file, const std::vector<std::string>& overrides = {},
                       Validation validation = Validation::kEverything);
/// The same for a document or text in hand; `where` names it in errors and, as "file WHERE", in origins.
ResolvedConfig resolve_document(const base::Json& document, const std::string& where,
                                const std::vector<std::string>& overrides = {},
                                Validation validation = Validation::kEverything);
ResolvedConfig resolve_toml(std::string_view text, const std::string& where,
                            const std::vector<std::string>& overrides = {});

/// The text that `resolve` reads back as the same configuration. With origins, each line ends in a comment saying
/// where its value came from.
std::string to_toml(const RunConfig& config, const Origins* origins = nullptr);
/// {"model": {...}, ..., "origins": {"model.vocab_size": "default", ...}}; `resolve` skips "origins" when it reads one.
base::Json to_json(const RunConfig& config, const Origins* origins = nullptr);

/// The key that somebody who wrote `section.name` (or `name` alone, with an empty section) most likely means: the one
/// that another system calls so (familiar_keys.h), one of this name in another section, or the nearest by spelling;
/// empty where none is near.
std::string suggested_key(const std::string& section, const std::string& name);

/// One line of --help and of docs/configuration.md.
struct SettingInfo {
  std::string key;           ///< section.name
  std::string type;          ///< integer, number, true|false, text, list of numbers, table of numbers, or the choices
  std::string default_text;  ///< as TOML spells it
  std::string help;
};
std::vector<SettingInfo> list_settings();
/// The table of docs/configuration.md, in Markdown.
std::string settings_markdown();

/// "train.seed: 1 and 2" for every field in which the two differ.
std::vector<std::string> differences(const RunConfig& a, const RunConfig& b);

}  // namespace dsmoe::spec
