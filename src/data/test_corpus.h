// For tests, of other rooms too: a folder that goes away, and small corpora made of given texts.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "data/dataset_builder.h"

namespace dsmoe::data {

/// The real thing without waiting for the disk: tests that build hundreds of corpora would do little else.
class UnsyncedFiles : public base::FileSystem {
 public:
  void sync(int, const base::fs::path&) override {}
  void sync_directory(const base::fs::path&) override {}
};
inline UnsyncedFiles& unsynced_files() {
  static UnsyncedFiles files;
  return files;
}

class TestFolder {
 public:
  TestFolder() {
    static std::atomic<int> made = 0;
    path_ = base::fs::temp_directory_path() /
            ("dsmoe_data_test_" + std::to_string(::getpid()) + "_" + std::to_string(made++));
    base::fs::create_directories(path_);
  }
  ~TestFolder() { base::fs::remove_all(path_); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  base::fs::path operator/(const std::string& name) const { return path_ / name; }
  const base::fs::path& path() const { return path_; }
  base::fs::path write(const std::string& name, std::string_view text) const {
    base::write_file(path_ / name, text, unsynced_files());
    return path_ / name;
  }

 private:
  base::fs::path path_;
};

/// The text of the base::Error that `action` throws.
inline std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "(no error)";
}

/// A byte is a token; 256 begins a document and 257 ends it.
inline CorpusEncoder byte_encoder() {
  return {[](std::string_view text) {
            std::vector<int32_t> ids;
            for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
            return ids;
          },
          258,
          256,
          257,
          "bytes",
          {{"tokenizer.json", "{}"}}};
}

/// A .jsonl line for each text.
inline std::string json_lines(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += base::dump_json({{"text", text}}) + "\n";
  return out;
}

using NamedTexts = std::vector<std::pair<std::string, std::vector<std::string>>>;

/// Writes a .jsonl file for each domain into `folder` and builds `folder`/out from them.
inline base::Json build_test_corpus(const TestFolder& folder, const NamedTexts& domains, const CorpusEncoder& encoder,
                                    const BuildOptions& options = {},
                                    const base::ParallelFor& parallel = base::serial_for) {
  std::vector<CorpusDomain> sources;
  for (const auto& [name, texts] : domains) {
    sources.push_back({name, {folder.write(name + ".jsonl", json_lines(texts))}});
  }
  return build_corpus(folder / "out", sources, encoder, options, parallel, unsynced_files());
}

}  // namespace dsmoe::data
