// For tests: small tasks as folders, and a model of bytes to score them with.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/test_files.h"
#include "corpus/test_corpus.h"
#include "engine/engine.h"
#include "engine/testing.h"
#include "eval/task.h"

namespace dsmoe::eval {

/// A task's folder NAME in `folder` with these files.
inline base::fs::path write_task(const base::TestFolder& folder, const std::string& name, const std::string& settings,
                                 const std::vector<base::Json>& items) {
  base::fs::create_directories(folder / name);
  std::string lines;
  for (const base::Json& item : items) lines += base::dump_json(item) + "\n";
  folder.write(name + "/items.jsonl", lines);
  folder.write(name + "/task.toml", settings);
  return folder / name;
}

inline base::Json choice_item(const std::string& id, const std::string& question, std::vector<std::string> choices,
                              int answer, const std::string& pool = "") {
  base::Json item = {{"id", id}, {"question", question}, {"choices", choices}, {"answer", answer}};
  if (!pool.empty()) item["pool"] = pool;
  return item;
}

inline base::Json open_item(const std::string& id, const std::string& question, std::vector<std::string> answers) {
  return {{"id", id}, {"question", question}, {"answers", answers}};
}

/// Random weights over bytes, 256 bos and 257 eos. Rows of the head beyond ASCII are zero: the likeliest byte is then
/// an ASCII one, so that what the model writes is valid text.
inline engine::Engine byte_engine(int64_t positions = 200, int threads = 1, int64_t chunk = 512) {
  auto config = engine::testing::small_config();
  config.vocab_size = 258;
  config.max_position_embeddings = positions;
  config.bos_token_id = 256, config.eos_token_id = 257;
  auto tensors = engine::testing::random_tensors(config, 3);
  auto& head = tensors["lm_head.weight"].values;
  std::fill(head.begin() + 128 * config.hidden_size, head.end(), 0.0f);
  return engine::Engine(engine::Weights::from_tensors(config, std::move(tensors)),
                        {.threads = threads, .chunk = chunk});
}

}  // namespace dsmoe::eval
