// A server's address, and plain questions to it.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "base/json.h"

namespace dsmoe::traffic {

class Server {
 public:
  /// `url` is http://HOST[:PORT], with or without /v1 behind it; `key` may be empty. Throws Error(kUsage) for another
  /// kind of URL and Error(kIo) for a host that is not known.
  Server(const std::string& url, std::string key);

  /// A request's bytes, for a connection of its own.
  std::string request(const std::string& method, const std::string& path, const std::string& body) const;
  /// A socket that is connecting and never blocks. Throws Error(kIo).
  int connect() const;

  struct Answer {
    int status = 0;
    std::string body;
  };
  /// Asks and waits for the answer. Throws Error(kIo) where none comes within so many seconds.
  Answer ask(const std::string& method, const std::string& path, const std::string& body, double seconds = 60) const;

  /// The one model's name, or the first one's. Throws Error where the server says none.
  std::string model() const;
  /// The ids of a text, without anything before it; empty where the server does not tell.
  std::vector<int32_t> tokenize(const std::string& text) const;

 private:
  std::string url_, host_, key_;
  sockaddr_storage address_{};
  socklen_t address_size_ = 0;
};

}  // namespace dsmoe::traffic
