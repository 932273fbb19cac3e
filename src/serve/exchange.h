// One HTTP exchange as the rest of the room sees it: a request that has been read whole, and where its answer goes.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dsmoe::serve {

struct HttpRequest {
  std::string method;
  std::string path;                            ///< of the target, without its query
  std::map<std::string, std::string> headers;  ///< by names in lower case; what came twice is joined by ", "
  std::string body;
  /// Null where absent.
  const std::string* header(std::string_view name) const {
    const auto found = headers.find(std::string(name));
    return found == headers.end() ? nullptr : &found->second;
  }
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};  ///< the first of a stream
};

/// Where an answer goes. Every call is safe from any thread and none waits; what comes after the client has left goes
/// nowhere.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  /// The whole answer.
  virtual void respond(HttpResponse response) = 0;
  /// The beginning of an answer that comes in pieces.
  virtual void begin(HttpResponse head) = 0;
  virtual void write(std::string piece) = 0;
  /// `whole`: false breaks the connection off, so that nobody takes the answer for complete.
  virtual void end(bool whole = true) = 0;
  /// `gone` is called once, where the client leaves before the answer is complete. At most one is set.
  virtual void on_gone(std::function<void()> gone) = 0;
};

/// What answers requests. Called from any of the threads of the network; must not throw.
using Handler = std::function<void(const HttpRequest& request, std::shared_ptr<ResponseWriter> writer)>;

}  // namespace dsmoe::serve
