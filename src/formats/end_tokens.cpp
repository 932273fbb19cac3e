#include "formats/end_tokens.h"

#include <algorithm>

#include "base/error.h"
#include "base/json.h"

namespace dsmoe::formats {
namespace {

constexpr uint64_t kLongestConfig = 1 << 20;
constexpr std::string_view kOwnList = "dsmoe.tokenizer.end_token_ids";
constexpr const char* kKey = "eos_token_id";

/// Ids in the order in which they come, each once, none that the vocabulary does not have.
class Ids {
 public:
  explicit Ids(int64_t vocab_size) : vocab_size_(vocab_size) {}

  void add(int64_t id) {
    if (id < 0 || id >= vocab_size_) return;
    const auto narrow = static_cast<int32_t>(id);
    if (std::find(ids_.begin(), ids_.end(), narrow) == ids_.end()) ids_.push_back(narrow);
  }
  bool empty() const { return ids_.empty(); }
  std::vector<int32_t> take() { return std::move(ids_); }

 private:
  int64_t vocab_size_;
  std::vector<int32_t> ids_;
};

/// eos_token_id of one file; false where the file or the key is not there.
bool add_from_json(const base::fs::path& path, Ids& ids) {
  std::error_code ignored;
  if (!base::fs::exists(path, ignored)) return false;
  const std::string where = path.string();
  const base::Json json = base::parse_json(base::read_file(path, kLongestConfig), where);
  const auto found = json.find(kKey);
  if (found == json.end()) return false;
  if (found->is_null()) return true;
  for (const base::Json& id : found->is_array() ? *found : base::Json::array({*found})) {
    ids.add(base::require_int(base::Json{{kKey, id}}, kKey, INT64_MIN, INT64_MAX, where));
  }
  return true;
}

}  // namespace

std::vector<int32_t> end_tokens(const base::fs::path& folder, const spec::ModelConfig& config,
                                std::optional<int32_t> tokenizer_eos) {
  Ids ids(config.vocab_size);
  if (tokenizer_eos) ids.add(*tokenizer_eos);
  const bool in_config = add_from_json(folder / "config.json", ids);
  const bool in_generation = add_from_json(folder / "generation_config.json", ids);
  if (!in_config && !in_generation && ids.empty()) ids.add(config.eos_token_id);
  return ids.take();
}

std::vector<int32_t> end_tokens(const GgufFile& file, const spec::ModelConfig& config) {
  Ids ids(config.vocab_size);
  for (const char* key : {"eos", "eot", "eom"}) {
    ids.add(gguf_token_id(file, "tokenizer.ggml." + std::string(key) + "_token_id").value_or(-1));
  }
  for (const int64_t id : file.integers(kOwnList).value_or(std::vector<int64_t>{})) ids.add(id);
  if (ids.empty()) ids.add(config.eos_token_id);  // a file of dsmoe's architecture without a tokenizer's keys
  return ids.take();
}

void add_end_token_keys(GgufMetadata& metadata, const std::vector<int32_t>& ends, std::optional<int32_t> eos) {
  std::vector<int32_t> more = ends;
  if (eos) std::erase(more, *eos);
  if (more.empty()) return;
  metadata.add_u32("tokenizer.ggml.eot_token_id", more[0]);
  if (more.size() > 1) metadata.add_u32("tokenizer.ggml.eom_token_id", more[1]);
  metadata.add_i32s(kOwnList, ends);
}

std::optional<int64_t> gguf_token_id(const GgufFile& file, std::string_view key) {
  const auto id = file.integer(key);
  if (!id || *id == -1 || *id == int64_t{UINT32_MAX}) return std::nullopt;
  return id;
}

}  // namespace dsmoe::formats
