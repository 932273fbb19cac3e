// The routes: from an HTTP request to what answers it. Knows no sockets; safe from any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/admission.h"
#include "serve/api_error.h"
#include "serve/backend.h"
#include "serve/exchange.h"
#include "serve/gatekeeper.h"
#include "serve/metrics.h"

namespace dsmoe::serve {

struct ServiceOptions {
  GatekeeperOptions gate;
  AdmissionLimits admission;
  RequestLimits limits;
  std::chrono::seconds longest_wait{60};   ///< in the queue
  std::chrono::seconds longest_work{600};  ///< from a request's arrival to its end
  std::string version;
  std::function<void(const std::string& line)> log;  ///< a line of JSON for each generation; none: no log
};

class Service {
 public:
  explicit Service(ServiceOptions options);

  /// Until then the server is alive and answers 503.
  void open(std::shared_ptr<Backend> backend);
  void handle(const HttpRequest& request, std::shared_ptr<ResponseWriter> writer);
  /// From now on nobody comes in. Waits until all that was let in is answered, or for this long; then ends it.
  void drain(std::chrono::milliseconds longest);

  struct Route {
    std::string method, path;
    bool open = false;  ///< asks for no key
    void (Service::*answer)(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);
  };
  /// All there are. A path that ends with * stands for all that begin so.
  static const std::vector<Route>& routes();

 private:
  const Route& route_of(const HttpRequest& request) const;
  void health(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);
  void file(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);
  void version(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);
  void metrics(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);
  void models(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);
  void model(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);
  void completions(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);
  void chat_completions(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);
  void tokenize(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);
  void detokenize(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);
  void tokenizer_info(const HttpRequest&, const std::shared_ptr<ResponseWriter>&);

  /// Throws ApiError 503 before open().
  std::shared_ptr<Backend> backend() const;
  RequestContext context_of(const Backend& backend) const;
  base::Json model_object(Backend& backend) const;
  void generate(GenerationRequest request, const std::shared_ptr<Backend>& backend,
                std::shared_ptr<Admission::Ticket> ticket, const std::shared_ptr<ResponseWriter>& writer);

  ServiceOptions options_;
  Gatekeeper gate_;
  std::shared_ptr<Admission> admission_;
  std::shared_ptr<Metrics> metrics_ = std::make_shared<Metrics>();
  mutable std::mutex mutex_;
  std::shared_ptr<Backend> backend_;
  int64_t opened_ = 0;  // seconds since 1970
  bool draining_ = false;
  std::atomic<uint64_t> next_id_{1};
};

}  // namespace dsmoe::serve
