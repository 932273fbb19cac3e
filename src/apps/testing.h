// For this room's tests: the program as a user meets it, and a model to run it on.
#pragma once

#include <gtest/gtest.h>

#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "apps/commands.h"
#include "corpus/test_corpus.h"
#include "engine/testing.h"
#include "formats/model_folder_writer.h"
#include "tokenizer/tokenizer_json.h"

namespace dsmoe::apps {

struct Outcome {
  int exit_code;
  std::string out, err;
};

/// `dsmoe` with these words, and `input` on its standard input.
inline Outcome run(std::vector<std::string> words, const std::string& input = "") {
  words.insert(words.begin(), "dsmoe");
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  CLI::App program("", "dsmoe");
  std::istringstream typed(input);
  std::streambuf* const keyboard = std::cin.rdbuf(typed.rdbuf());
  std::cin.clear();
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int exit_code = run_program(program, kCommands, static_cast<int>(arguments.size()), arguments.data());
  std::cin.rdbuf(keyboard);
  const std::string out = ::testing::internal::GetCapturedStdout();
  return {exit_code, out, ::testing::internal::GetCapturedStderr()};
}

/// A folder of a model of bytes with random weights, and its tokenizer unless it is to be `bare`.
inline void write_byte_model(const base::fs::path& folder, int64_t positions, bool bare = false) {
  spec::ModelConfig config = engine::testing::small_config();
  config.vocab_size = 260;
  config.max_position_embeddings = positions;
  config.bos_token_id = 256, config.eos_token_id = 257;
  const auto tensors = engine::testing::random_tensors(config, 1);
  base::fs::create_directories(folder);
  formats::ModelFolderWriter writer(folder, config, {.dtype = formats::Dtype::kF32}, base::unsynced_files);
  for (const auto& tensor : spec::tensors_of(config)) writer.append_f32(tensors.at(tensor.name).values);
  writer.finish();
  if (!bare) tokenizer::save_tokenizer(corpus::byte_tokenizer(), folder);
}

}  // namespace dsmoe::apps
