// The border for JSON bodies: members taken out with their types and ranges, each refusal naming the member.
//
// A member that is null counts as absent, as clients write it so.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace dsmoe::serve {

/// Parses a request's body; throws ApiError 400 where it is not one JSON object as base::parse_json takes it.
base::Json parse_body(std::string_view body);

class Fields {
 public:
  /// `path` stands before names in messages: "messages[2]". Throws ApiError where `object` is none.
  explicit Fields(const base::Json& object, std::string path = {});

  /// Null where absent.
  const base::Json* find(std::string_view key) const;
  /// Throws where absent.
  const base::Json& require(std::string_view key) const;
  std::string name(std::string_view key) const;

  std::optional<int64_t> integer(std::string_view key, int64_t least, int64_t most) const;
  int64_t integer(std::string_view key, int64_t least, int64_t most, int64_t otherwise) const {
    return integer(key, least, most).value_or(otherwise);
  }
  double number(std::string_view key, double least, double most, double otherwise) const;
  bool boolean(std::string_view key, bool otherwise) const;
  std::optional<std::string> text(std::string_view key) const;

  /// Throws 400 naming the member.
  [[noreturn]] void refuse(std::string_view key, const std::string& rule) const;

 private:
  const base::Json& object_;
  std::string path_;
};

/// The ids of a list. Throws ApiError naming `param` for anything but ids of the vocabulary.
std::vector<int32_t> token_ids(const base::Json& list, int64_t vocab_size, std::string_view param);

}  // namespace dsmoe::serve
