// One connection, and the writer that its answers go through. Boost is in here: http.cpp alone includes it.
#pragma once

#include <algorithm>
#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "serve/http.h"
#include "serve/http_text.h"

namespace dsmoe::serve {

namespace net = boost::asio;
namespace http = boost::beast::http;
using net::ip::tcp;
using ErrorCode = boost::system::error_code;

// What a client sends ahead while its answer is made; beyond it nothing is read until the answer is done.
inline constexpr size_t kReadAhead = 64 << 10;
// How long, and how much, a connection that is being closed is still read, so that the last answer is not torn.
inline constexpr std::chrono::seconds kLinger{2};
inline constexpr size_t kLingerBytes = 64 << 20;

class Session;

// What all connections share.
struct House {
  HttpOptions options;
  Handler handler;
  std::atomic<bool> draining{false};
  std::mutex mutex;
  std::condition_variable left;
  std::set<Session*> sessions;
};

inline HttpRequest plain_request(http::request<http::string_body>& message) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  const std::string_view target(message.target().data(), message.target().size());
  request.path = percent_decoded(target.substr(0, target.find('?')));
  for (const auto& field : message) {
    std::string name(field.name_string());
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
    std::string& value = request.headers[name];
    value += (value.empty() ? "" : ", ") + std::string(field.value());
  }
  request.body = std::move(message.body());
  return request;
}

// One connection. Everything but the constructor runs on its strand.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, std::shared_ptr<House> house)
      : house_(std::move(house)),
        socket_(std::move(socket)),
        read_timer_(socket_.get_executor()),
        write_timer_(socket_.get_executor()),
        buffer_(kReadAhead + house_->options.header_bytes) {}
  ~Session() {
    const std::lock_guard lock(house_->mutex);
    house_->sessions.erase(this);
    house_->left.notify_all();
  }
  net::any_io_executor executor() { return socket_.get_executor(); }

  void start() { read_request(house_->options.header_time); }
  void close_if_idle() {
    if (phase_ == Phase::kIdle) close();
  }
  void close() {
    ErrorCode ignored;
    read_timer_.cancel();
    write_timer_.cancel();
    socket_.close(ignored);
    tell_gone();
  }

  // What a ResponseWriter asks for, of the exchange of this number.
  void respond(uint64_t exchange, HttpResponse response) {
    if (!is_open(exchange)) return;
    response.headers.emplace_back("Content-Length", std::to_string(response.body.size()));
    outbox_ += head_of(response, keeps_alive()) + "\r\n";
    if (!is_head_) outbox_ += response.body;
    complete_ = true;
    write_on();
  }
  void begin(uint64_t exchange, HttpResponse head) {
    if (!is_open(exchange)) return;
    if (chunked_) {
      head.headers.emplace_back("Transfer-Encoding", "chunked");
    } else {
      keep_alive_ = false;  // the end of the connection is the end of the answer
    }
    outbox_ += head_of(head, keeps_alive()) + "\r\n";
    write(exchange, head.body);
  }
  void write(uint64_t exchange, const std::string& piece) {
    if (!is_open(exchange)) return;
    if (!piece.empty() && chunked_) {
      char size[20];
      std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
      outbox_.append(size).append(piece).append("\r\n");
    } else {
      outbox_ += piece;
    }
    if (outbox_.size() > house_->options.unsent_bytes) return close();
    write_on();
  }
  void end(uint64_t exchange, bool whole) {
    if (!is_open(exchange)) return;
    if (!whole) return close();
    if (chunked_) outbox_ += "0\r\n\r\n";
    complete_ = true;
    write_on();
  }
  void on_gone(uint64_t exchange, std::function<void()> gone) {
    if (exchange != exchange_ || phase_ != Phase::kAnswering) return;
    gone_ = std::move(gone);
    if (!socket_.is_open()) tell_gone();
  }

 private:
  enum class Phase { kIdle, kHeader, kBody, kAnswering, kClosing };

  bool is_open(uint64_t exchange) const {
    return exchange == exchange_ && phase_ == Phase::kAnswering && !complete_ && socket_.is_open();
  }
  bool keeps_alive() const { return keep_alive_ && !house_->draining; }
  void tell_gone() {
    if (const auto gone = std::exchange(gone_, nullptr); gone && !complete_) gone();
  }

  // A read that is not over by then is cut off; on_read_error says what that means.
  void set_deadline(std::chrono::milliseconds time) {
    timed_out_ = false;
    read_timer_.expires_after(time);
    read_timer_.async_wait([self = shared_from_this()](const ErrorCode& error) {
      if (error || self->read_timer_.expiry() > net::steady_timer::clock_type::now()) return;
      self->timed_out_ = true;
      ErrorCode ignored;
      self->socket_.cancel(ignored);
    });
  }

  void read_request(std::chrono::milliseconds time) {
    phase_ = Phase::kIdle;
    if (buffer_.size() > 0) return read_header();
    set_deadline(time);
    if (!watching_) watch();
  }

  // Reads what comes while nothing is expected: the first bytes of a request, or that the client has left.
  void watch() {
    if (buffer_.size() >= kReadAhead) return;
    watching_ = true;
    socket_.async_read_some(buffer_.prepare(4096), [self = shared_from_this()](const ErrorCode& error, size_t bytes) {
      self->watching_ = false;
      if (error) return self->close();
      self->buffer_.commit(bytes);
      if (self->phase_ == Phase::kAnswering) self->watch();
      if (self->phase_ == Phase::kIdle) self->read_header();
      if (self->phase_ == Phase::kClosing) self->linger();
    });
  }

  void read_header() {
    phase_ = Phase::kHeader;
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(house_->options.header_bytes));
    parser_->body_limit(house_->options.body_bytes);
    set_deadline(house_->options.header_time);
    http::async_read_header(socket_, buffer_, *parser_, [self = shared_from_this()](const ErrorCode& error, size_t) {
      if (error) return self->on_read_error(error);
      self->on_header();
    });
  }

  void on_header() {
    const auto& message = parser_->get();
    keep_alive_ = message.keep_alive();
    if (message.target().size() > house_->options.target_bytes) return refuse(414, "the target is too long");
    const auto fields = static_cast<size_t>(std::distance(message.begin(), message.end()));
    if (fields > house_->options.header_fields) return refuse(431, "a request may have at most 100 header fields");
    if (message.version() != 10 && message.version() != 11) return refuse(400, "HTTP/1.1 is spoken here");
    if (message["Expect"] == "100-continue") {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      ErrorCode ignored;
      socket_.write_some(net::buffer(kContinue), ignored);
    }
    phase_ = Phase::kBody;
    set_deadline(house_->options.body_time);
    http::async_read(socket_, buffer_, *parser_, [self = shared_from_this()](const ErrorCode& error, size_t) {
      if (error) return self->on_read_error(error);
      self->answer();
    });
  }

  void on_read_error(const ErrorCode& error) {
    if (timed_out_) return refuse(408, "the request did not come in time");
    if (error == http::error::header_limit || error == http::error::buffer_overflow) {
      return refuse(431, "the header is too long");
    }
    if (error == http::error::body_limit) return refuse(413, "the body is too long");
    const bool is_broken = &error.category() == &make_error_code(http::error::bad_value).category();
    if (!is_broken || error == http::error::end_of_stream || error == http::error::partial_message) return close();
    refuse(400, "not valid HTTP: " + error.message());
  }

  void refuse(int status, const std::string& message) {
    begin_exchange();
    keep_alive_ = false;
    respond(exchange_, refusal(status, message));
  }

  void begin_exchange() {
    read_timer_.cancel();
    phase_ = Phase::kAnswering;
    ++exchange_;
    complete_ = false;
    gone_ = nullptr;
    is_head_ = false;
    chunked_ = true;
  }

  void answer();  // below, where a writer can be made

  // Pieces of what is to be sent go one after another; what comes meanwhile waits in the outbox.
  void write_on() {
    if (writing_) return;
    if (sent_ == sending_.size()) {
      sending_ = std::exchange(outbox_, {});
      sent_ = 0;
    }
    if (sending_.empty()) return;
    writing_ = true;
    write_timer_.expires_after(house_->options.write_time);
    write_timer_.async_wait([self = shared_from_this()](const ErrorCode& error) {
      if (!error && self->write_timer_.expiry() <= net::steady_timer::clock_type::now()) self->close();
    });
    const auto rest = net::buffer(std::string_view(sending_).substr(sent_));
    socket_.async_write_some(
        rest, [self = shared_from_this()](const ErrorCode& error, size_t bytes) { self->on_written(error, bytes); });
  }

  void on_written(const ErrorCode& error, size_t bytes) {
    writing_ = false;
    write_timer_.cancel();
    if (error) return close();
    sent_ += bytes;
    write_on();
    if (!writing_ && complete_ && phase_ == Phase::kAnswering) answered();
  }

  void answered() {
    gone_ = nullptr;
    if (keeps_alive()) return read_request(house_->options.idle_time);
    phase_ = Phase::kClosing;
    ErrorCode ignored;
    socket_.shutdown(tcp::socket::shutdown_send, ignored);
    set_deadline(kLinger);
    if (!watching_) linger();
  }

  // What the client still sends is read and dropped: closing over it would take back the answer.
  void linger() {
    buffer_.clear();
    socket_.async_read_some(buffer_.prepare(kReadAhead),
                            [self = shared_from_this()](const ErrorCode& error, size_t bytes) {
                              self->dropped_ += bytes;
                              if (error || self->dropped_ > kLingerBytes) return self->close();
                              self->linger();
                            });
  }

  std::shared_ptr<House> house_;
  tcp::socket socket_;
  net::steady_timer read_timer_, write_timer_;
  boost::beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  Phase phase_ = Phase::kIdle;
  bool timed_out_ = false, watching_ = false, writing_ = false;
  bool keep_alive_ = true, chunked_ = true, is_head_ = false, complete_ = false;
  uint64_t exchange_ = 0;
  std::function<void()> gone_;
  std::string outbox_, sending_;
  size_t sent_ = 0, dropped_ = 0;  // of sending_, and of what came after the answer
};

// Hands what is asked for over to the session's strand. A session that is gone drops it.
class SessionWriter : public ResponseWriter {
 public:
  SessionWriter(std::shared_ptr<Session> session, uint64_t exchange)
      : session_(std::move(session)), exchange_(exchange) {}
  // An answer that was never given: the client shall not wait for it.
  ~SessionWriter() override {
    post([](Session& session, uint64_t exchange) { session.end(exchange, false); });
  }
  void respond(HttpResponse response) override {
    post([response = std::move(response)](Session& session, uint64_t exchange) mutable {
      session.respond(exchange, std::move(response));
    });
  }
  void begin(HttpResponse head) override {
    post([head = std::move(head)](Session& session, uint64_t exchange) mutable {
      session.begin(exchange, std::move(head));
    });
  }
  void write(std::string piece) override {
    post([piece = std::move(piece)](Session& session, uint64_t exchange) { session.write(exchange, piece); });
  }
  void end(bool whole) override {
    post([whole](Session& session, uint64_t exchange) { session.end(exchange, whole); });
  }
  void on_gone(std::function<void()> gone) override {
    post([gone = std::move(gone)](Session& session, uint64_t exchange) mutable {
      session.on_gone(exchange, std::move(gone));
    });
  }

 private:
  template <class Action>
  void post(Action action) {
    net::post(session_->executor(), [session = session_, exchange = exchange_, action = std::move(action)]() mutable {
      action(*session, exchange);
    });
  }
  std::shared_ptr<Session> session_;
  uint64_t exchange_;
};

inline void Session::answer() {
  begin_exchange();
  auto& message = parser_->get();
  is_head_ = message.method() == http::verb::head;
  chunked_ = message.version() == 11;
  if (is_head_) keep_alive_ = false;
  const HttpRequest request = plain_request(message);
  parser_.reset();
  watch();
  house_->handler(request, std::make_shared<SessionWriter>(shared_from_this(), exchange_));
}

}  // namespace dsmoe::serve
