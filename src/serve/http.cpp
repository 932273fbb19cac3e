#include "serve/http.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <future>
#include <thread>
#include <vector>

#include "base/error.h"
#include "serve/http_session.h"

namespace dsmoe::serve {

struct HttpServer::Impl {
  explicit Impl(const HttpOptions& options) : context(options.threads), acceptor(net::make_strand(context)) {}

  void listen() {
    const HttpOptions& options = house->options;
    ErrorCode error;
    const auto address = net::ip::make_address(options.host == "localhost" ? "127.0.0.1" : options.host, error);
    if (error) {
      base::fail(base::ErrorKind::kUsage, "serve", "a host is an address of this machine",
                 base::in_quotes(options.host));
    }
    const tcp::endpoint endpoint(address, options.port);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(net::socket_base::max_listen_connections, error);
    if (error) {
      base::fail_io("serve", "cannot listen at", options.host + ":" + std::to_string(options.port), error.value(),
                    "is another server there? --port chooses another");
    }
    port = acceptor.local_endpoint().port();
  }

  void accept() {
    acceptor.async_accept(net::make_strand(context), [this](const ErrorCode& error, tcp::socket socket) {
      if (error == net::error::operation_aborted || !acceptor.is_open()) return;
      if (error) return accept_later();
      welcome(std::move(socket));
      accept();
    });
  }

  // Most likely there are too many open files.
  void accept_later() {
    pause.expires_after(std::chrono::milliseconds(100));
    pause.async_wait([this](const ErrorCode& error) {
      if (!error) accept();
    });
  }

  void welcome(tcp::socket socket) {
    ErrorCode ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    size_t there = 0;
    {
      const std::lock_guard lock(house->mutex);
      there = house->sessions.size();
    }
    if (there >= house->options.connections) {
      HttpResponse response = refusal(503, "too many connections");
      response.headers.emplace_back("Retry-After", "1");
      response.headers.emplace_back("Content-Length", std::to_string(response.body.size()));
      socket.non_blocking(true, ignored);
      socket.write_some(net::buffer(head_of(response, false) + "\r\n" + response.body), ignored);
      return;
    }
    const auto session = std::make_shared<Session>(std::move(socket), house);
    {
      const std::lock_guard lock(house->mutex);
      house->sessions.insert(session.get());
    }
    net::post(session->executor(), [session] { session->start(); });
  }

  template <class Action>
  void for_each_session(Action action) {
    std::vector<std::shared_ptr<Session>> alive;  // let go of outside the lock, which a session's end takes
    {
      const std::lock_guard lock(house->mutex);
      for (Session* session : house->sessions) {
        if (auto held = session->weak_from_this().lock()) alive.push_back(std::move(held));
      }
    }
    for (const auto& session : alive) {
      net::post(session->executor(), [session, action] { action(*session); });
    }
  }

  // What one connection throws (memory that is not to be had) ends no other.
  void run() {
    for (;;) {
      try {
        context.run();
        return;
      } catch (const std::exception&) {
      }
    }
  }

  // When it returns nobody comes in any more.
  void stop_accepting() {
    std::promise<void> done;
    net::post(acceptor.get_executor(), [&] {
      ErrorCode ignored;
      acceptor.close(ignored);
      pause.cancel();
      done.set_value();
    });
    done.get_future().wait();
  }

  std::shared_ptr<House> house = std::make_shared<House>();
  net::io_context context;
  tcp::acceptor acceptor;
  uint16_t port = 0;
  net::steady_timer pause{acceptor.get_executor()};
  std::vector<std::thread> threads;
};

HttpServer::HttpServer(const HttpOptions& options, Handler handler) : impl_(std::make_unique<Impl>(options)) {
  impl_->house->options = options;
  impl_->house->handler = std::move(handler);
  impl_->listen();
  impl_->accept();
  for (int i = 0; i < options.threads; ++i) {
    impl_->threads.emplace_back([this] { impl_->run(); });
  }
}

HttpServer::~HttpServer() {
  impl_->house->draining = true;
  impl_->stop_accepting();
  impl_->for_each_session([](Session& session) { session.close(); });
  for (std::thread& thread : impl_->threads) thread.join();
}

uint16_t HttpServer::port() const { return impl_->port; }

void HttpServer::drain(std::chrono::milliseconds longest) {
  impl_->house->draining = true;
  impl_->for_each_session([](Session& session) { session.close_if_idle(); });
  std::unique_lock lock(impl_->house->mutex);
  impl_->house->left.wait_for(lock, longest, [this] { return impl_->house->sessions.empty(); });
}

}  // namespace dsmoe::serve
