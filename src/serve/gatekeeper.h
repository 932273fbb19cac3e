// Who may ask: keys, and which names and pages a request may come through.
//
// A page from elsewhere that a browser shows must not reach a server on this machine: its requests carry an Origin that
// is not the server's own, or, after it has made its own name lead here, a Host that the server does not go by.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "serve/exchange.h"

namespace dsmoe::serve {

struct GatekeeperOptions {
  std::vector<std::string> keys;   ///< none: no key is asked for
  std::vector<std::string> hosts;  ///< names that the server goes by, beside localhost and plain addresses
};

class Gatekeeper {
 public:
  explicit Gatekeeper(GatekeeperOptions options) : options_(std::move(options)) {}
  /// Throws ApiError 403 for a Host or an Origin that is not the server's own, 400 for a request without a Host.
  void check_way(const HttpRequest& request) const;
  /// Throws ApiError 401 where a key is asked for and `Authorization: Bearer KEY` has none of them.
  void check_key(const HttpRequest& request) const;

 private:
  GatekeeperOptions options_;
};

/// Whether they are equal, in a time that does not depend on where they differ.
bool equal_in_constant_time(std::string_view secret, std::string_view offered);

/// The keys of a file, one a line; empty lines and those that begin with # are none. Throws base::Error where it cannot
/// be read, others than its owner may read it, or it has no key.
std::vector<std::string> read_key_file(const base::fs::path& path);

}  // namespace dsmoe::serve
