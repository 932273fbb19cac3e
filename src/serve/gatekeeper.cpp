#include "serve/gatekeeper.h"

#include <sys/stat.h>

#include <algorithm>
#include <sstream>

#include "base/error.h"
#include "serve/api_error.h"

namespace dsmoe::serve {
namespace {

// "name" of "name:port" and of "[::1]:port".
std::string_view host_of(std::string_view authority) {
  if (authority.starts_with('[')) return authority.substr(0, authority.find(']') + 1);
  return authority.substr(0, authority.find(':'));
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// No name server can make an address lead elsewhere.
bool is_address(std::string_view host) {
  if (host.starts_with('[')) return host.ends_with(']');
  return !host.empty() && host.find_first_not_of("0123456789.") == host.npos;
}

}  // namespace

void Gatekeeper::check_way(const HttpRequest& request) const {
  const std::string* authority = request.header("host");
  if (authority == nullptr) throw ApiError(400, "a request needs a Host header");
  const std::string host = lower(host_of(*authority));
  const bool known = host == "localhost" || is_address(host) ||
                     std::find(options_.hosts.begin(), options_.hosts.end(), host) != options_.hosts.end();
  if (!known) {
    throw ApiError(403, "this server does not go by the name " + base::in_quotes(host) + " (--allow-host adds one)")
        .code("unknown_host");
  }
  const std::string* origin = request.header("origin");
  if (origin != nullptr && *origin != "http://" + *authority && *origin != "https://" + *authority) {
    throw ApiError(403, "requests from pages of " + base::in_quotes(*origin) + " are not answered")
        .code("foreign_origin");
  }
}

void Gatekeeper::check_key(const HttpRequest& request) const {
  if (options_.keys.empty()) return;
  constexpr std::string_view kBearer = "Bearer ";
  const std::string* header = request.header("authorization");
  const std::string_view offered =
      header != nullptr && header->starts_with(kBearer) ? std::string_view(*header).substr(kBearer.size()) : "";
  bool known = false;
  for (const std::string& key : options_.keys) known = equal_in_constant_time(key, offered) || known;
  if (!known) throw ApiError(401, "a valid key is needed: Authorization: Bearer KEY").code("invalid_api_key");
}

bool equal_in_constant_time(std::string_view secret, std::string_view offered) {
  size_t differing = secret.size() ^ offered.size();
  for (size_t i = 0; i < offered.size(); ++i) {
    const char other = secret.empty() ? '\0' : secret[i % secret.size()];
    differing |= static_cast<size_t>(static_cast<unsigned char>(offered[i] ^ other));
  }
  const volatile size_t result = differing;  // the compiler shall not leave the loop early
  return result == 0;
}

std::vector<std::string> read_key_file(const base::fs::path& path) {
  const std::string text = base::read_file(path, 1 << 20);
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && (status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    base::fail_invalid("key file", "only its owner may have access to it", path.string(), "chmod 600");
  }
  std::vector<std::string> keys;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty() && !line.starts_with('#')) keys.push_back(line);
  }
  if (keys.empty()) base::fail_invalid("key file", "it must hold a key, one a line", path.string());
  return keys;
}

}  // namespace dsmoe::serve
