// Names in a corpus folder, for the code that writes one and the code that reads one. docs/formats.md explains them.
#pragma once

#include <string>

namespace dsmoe::corpus {

inline constexpr const char* kCorpusFormat = "dsmoe-corpus";
// Version 1 had no checksum of the manifest itself; it is still read.
inline constexpr int kCorpusVersion = 2;
inline constexpr int kOldestCorpusVersion = 1;
inline constexpr const char* kCorpusManifest = "manifest.json";
inline constexpr const char* kCorpusDomains = "domains.json";
inline constexpr const char* kCorpusSplits[] = {"train", "valid"};

inline std::string corpus_bin(const std::string& split) { return split + ".bin"; }
inline std::string corpus_idx(const std::string& split) { return split + ".idx"; }

}  // namespace dsmoe::corpus
