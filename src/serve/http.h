// HTTP/1.1 on a socket: connections, their limits and deadlines, and answers written whole or in pieces.
//
// The one unit that knows Boost. It reads requests whole, hands them to a handler, and notices a client that leaves
// while its answer is being made.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "serve/exchange.h"

namespace dsmoe::serve {

struct HttpOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;  ///< 0: any that is free
  int threads = 2;
  size_t connections = 512;        ///< one more is told 503 and closed
  size_t header_bytes = 16 << 10;  ///< beyond it 431
  size_t target_bytes = 8 << 10;   ///< beyond it 414
  size_t header_fields = 100;      ///< beyond it 431
  uint64_t body_bytes = 4 << 20;   ///< beyond it 413
  size_t unsent_bytes = 8 << 20;   ///< of a client that does not read: beyond it the connection is closed
  std::chrono::milliseconds header_time{10000}, body_time{30000};  ///< beyond it 408
  std::chrono::milliseconds idle_time{60000};                      ///< between requests; then the connection is closed
  std::chrono::milliseconds write_time{30000};  ///< that a client may take nothing of what is written to it
};

class HttpServer {
 public:
  /// Listens from now on. Throws base::Error(kIo) where the address cannot be had, the port is in use, say.
  HttpServer(const HttpOptions& options, Handler handler);
  /// Closes all connections, answered or not.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  uint16_t port() const;
  /// From now on a connection ends with its answer. Waits until none is left, or for this long.
  void drain(std::chrono::milliseconds longest);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dsmoe::serve
