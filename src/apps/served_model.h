// For this room's tests: a small model behind a server of this process, on a real socket.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "apps/testing.h"
#include "base/test_files.h"
#include "serve/http.h"
#include "serve/service.h"

namespace dsmoe::apps {

class ServedModel {
 public:
  /// The model of write_byte_model() as "bytes", keys and values in float32, two slots.
  ServedModel(serve::ServiceOptions options, int64_t context) {
    write_byte_model(folder_ / "model", context);
    loading::ModelOptions opening;
    opening.engine.threads = 1;
    serve::BackendOptions backend{"bytes", "", {}};
    backend.scheduler.slots = 2;
    backend.scheduler.context = context;
    service_ = std::make_unique<serve::Service>(std::move(options));
    service_->open(std::make_shared<serve::Backend>(loading::open_model(folder_ / "model", opening), backend));
    serve::HttpOptions http;
    http.port = 0;
    http_ = std::make_unique<serve::HttpServer>(
        http, [this](const serve::HttpRequest& request, auto writer) { service_->handle(request, std::move(writer)); });
  }
  /// The worker lets go of its last answer before the sockets go that it was written to, as `dsmoe serve` ends.
  ~ServedModel() { service_->drain(std::chrono::seconds(10)); }
  ServedModel(const ServedModel&) = delete;
  ServedModel& operator=(const ServedModel&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(http_->port()); }
  std::string model() const { return (folder_ / "model").string(); }

 private:
  base::TestFolder folder_;
  std::unique_ptr<serve::Service> service_;
  std::unique_ptr<serve::HttpServer> http_;
};

}  // namespace dsmoe::apps
