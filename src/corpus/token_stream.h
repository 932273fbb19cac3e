// Documents of a dataset laid one after another, read as one run of tokens.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "corpus/dataset.h"

namespace dsmoe::corpus {

struct TokenStream {
  std::vector<int64_t> documents;
  std::vector<int64_t> begins{0};  ///< token of the stream with which each document begins, then the total

  void add(const TokenDataset& dataset, int64_t document) {
    documents.push_back(document);
    begins.push_back(begins.back() + dataset.tokens_in(document));
  }
  int64_t tokens() const { return begins.back(); }

  /// The document of each of the tokens [at, at + out.size()) of the stream.
  void read_documents(int64_t at, std::span<int64_t> out) const {
    const auto next = std::upper_bound(begins.begin(), begins.end(), at);
    for (auto document = static_cast<size_t>(next - begins.begin()) - 1; !out.empty(); ++document) {
      const auto count = std::min(out.size(), static_cast<size_t>(begins[document + 1] - at));
      std::fill_n(out.begin(), count, documents[document]);
      out = out.subspan(count);
      at += static_cast<int64_t>(count);
    }
  }

  /// Tokens [at, at + out.size()) of the stream.
  void read(const TokenDataset& dataset, int64_t at, std::span<int32_t> out) const {
    const auto next = std::upper_bound(begins.begin(), begins.end(), at);
    for (auto document = static_cast<size_t>(next - begins.begin()) - 1; !out.empty(); ++document) {
      const auto count = std::min(out.size(), static_cast<size_t>(begins[document + 1] - at));
      dataset.read(documents[document], at - begins[document], out.first(count));
      out = out.subspan(count);
      at += static_cast<int64_t>(count);
    }
  }
};

}  // namespace dsmoe::corpus
