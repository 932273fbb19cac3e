// Builds a corpus folder from documents: drops duplicates, splits off validation, encodes on all threads, writes
// shards.
//
// A document is kept if its text, byte for byte, has not come before in any domain; the first one stays. Texts of white
// space only are dropped too. Which split a document goes to depends on nothing but its text and the seed:
// XXH3-64(text, seed) / 2^64 < valid_share. So adding, removing or reordering documents moves no other across the
// split. A domain whose documents would all go to one split has the last of them cut in two, where that is long enough
// (held_out_tail.h): what comes first is trained on, the tail is validated on. Documents keep the order of the input. A
// document's tokens are [bos] text [eos], as DeepSeek packs them, with each of the two that the tokenizer has; where
// both are one token, it stands at the end only.
//
// The folder appears whole or not at all, and its bytes do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/folder_output.h"
#include "base/parallel.h"
#include "corpus/dataset.h"
#include "corpus/sources.h"

namespace dsmoe::corpus {

/// What the builder needs of a tokenizer.
struct CorpusEncoder {
  /// Text to ids in [0, vocab_size), nothing added before or after; called from several threads at once.
  std::function<std::vector<int32_t>(std::string_view text)> encode;
  int64_t vocab_size = 0;
  int32_t bos_id = -1, eos_id = -1;  ///< -1: the tokenizer has none
  std::string hash;                  ///< names the tokenizer
  /// Files copied into the folder, name and content: tokenizer.json and what belongs to it.
  std::vector<std::pair<std::string, std::string>> files;
};

struct CorpusDomain {
  std::string name;  ///< letters, digits, _ and -
  std::vector<base::fs::path> files;
};

struct BuildProgress {
  uint64_t raw_bytes = 0, total_raw_bytes = 0;  ///< of the source files, as they lie on disk
  int64_t documents = 0, tokens = 0;
};

struct BuildOptions {
  double valid_share = 0.02;
  uint64_t seed = 0;
  bool force = false;  ///< a corpus that is there already is replaced
  InvalidUtf8 invalid_utf8 = InvalidUtf8::kRefuse;
  ReadLimits limits;
  uint64_t batch_bytes = uint64_t{8} << 20;               ///< text held in memory at once, plus one document
  std::string program_version;                            ///< for the manifest
  std::function<void(const BuildProgress&)> on_progress;  ///< first at 0, then after each batch; may throw to stop
};

/// What may happen to what a corpus' folder holds: nothing, or with `force` the files of a corpus are replaced and
/// others stay.
base::FolderPolicy corpus_folder_policy(bool force);

/// Writes the folder `out` and returns its manifest. Throws base::Error; then nothing is left under `out`.
base::Json build_corpus(const base::fs::path& out, const std::vector<CorpusDomain>& domains,
                        const CorpusEncoder& encoder, const BuildOptions& options, const base::ParallelFor& parallel,
                        base::FileSystem& files = base::real_files());

}  // namespace dsmoe::corpus
