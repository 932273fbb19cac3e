#include "traffic/server.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "traffic/answer_reader.h"

namespace dsmoe::traffic {
namespace {

using Clock = std::chrono::steady_clock;

struct Closing {
  int fd;
  ~Closing() { ::close(fd); }
};

}  // namespace

Server::Server(const std::string& url, std::string key) : url_(url), key_(std::move(key)) {
  constexpr std::string_view kScheme = "http://";
  const auto refuse = [&] {
    base::fail(base::ErrorKind::kUsage, "server", "a server is written http://HOST:PORT", base::in_quotes(url));
  };
  if (!url.starts_with(kScheme)) refuse();
  host_ = url.substr(kScheme.size());
  while (host_.ends_with('/')) host_.pop_back();
  if (host_.ends_with("/v1")) host_.resize(host_.size() - 3);
  if (host_.empty() || host_.find_first_of("/?#@ \r\n") != std::string::npos) refuse();
  const size_t colon = host_.rfind(':');
  const bool has_port = colon != std::string::npos && host_.find(']', colon) == std::string::npos;
  std::string name = host_.substr(0, has_port ? colon : std::string::npos);
  const std::string port = has_port ? host_.substr(colon + 1) : "80";
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  const int fault = ::getaddrinfo(name.c_str(), port.c_str(), &hints, &found);
  if (fault != 0) {
    base::fail(base::ErrorKind::kIo, "server", std::string("cannot find its host: ") + ::gai_strerror(fault),
               base::in_quotes(host_));
  }
  std::memcpy(&address_, found->ai_addr, found->ai_addrlen);
  address_size_ = found->ai_addrlen;
  ::freeaddrinfo(found);
}

std::string Server::request(const std::string& method, const std::string& path, const std::string& body) const {
  std::string bytes = method + " " + path + " HTTP/1.1\r\nHost: " + host_ + "\r\nConnection: close\r\n";
  if (!key_.empty()) bytes += "Authorization: Bearer " + key_ + "\r\n";
  if (method == "POST") {
    bytes += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  return bytes + "\r\n" + body;
}

int Server::connect() const {
  const int fd = ::socket(address_.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) base::fail_io("server", "cannot open a socket", url_, errno);
  const int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address_), address_size_) != 0 && errno != EINPROGRESS) {
    const int fault = errno;
    ::close(fd);
    base::fail_io("server", "cannot connect to", url_, fault);
  }
  return fd;
}

Server::Answer Server::ask(const std::string& method, const std::string& path, const std::string& body,
                           double seconds) const {
  const Closing socket{connect()};
  const auto until = Clock::now() + std::chrono::duration<double>(seconds);
  const std::string bytes = request(method, path, body);
  AnswerReader reader;
  size_t sent = 0;
  while (!reader.complete()) {
    const double left = std::chrono::duration<double>(until - Clock::now()).count();
    pollfd waiting{socket.fd, static_cast<short>(sent < bytes.size() ? POLLIN | POLLOUT : POLLIN), 0};
    if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left * 1e3) + 1) == 0) {
      base::fail(base::ErrorKind::kIo, "server", "does not answer", url_ + path);
    }
    if ((waiting.revents & POLLOUT) != 0) {
      const ssize_t count = ::send(socket.fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count < 0 && errno != EAGAIN) base::fail_io("server", "cannot be asked", url_ + path, errno);
      if (count > 0) sent += static_cast<size_t>(count);
    }
    if ((waiting.revents & (POLLIN | POLLERR | POLLHUP)) != 0) {
      char piece[16384];
      const ssize_t count = ::recv(socket.fd, piece, sizeof piece, 0);
      if (count < 0 && errno != EAGAIN) base::fail_io("server", "cannot be read", url_ + path, errno);
      if (count == 0) reader.close();
      if (count > 0) reader.take({piece, static_cast<size_t>(count)});
    }
  }
  return {reader.status(), reader.body()};
}

std::string Server::model() const {
  const Answer answer = ask("GET", "/v1/models", "");
  if (answer.status != 200) {
    base::fail_invalid("server", "must tell its model at /v1/models",
                       "status " + std::to_string(answer.status) + ", " + base::in_quotes(answer.body, 200));
  }
  const base::Json models = base::parse_json(answer.body, "/v1/models");
  const base::Json& list = base::require_member(models, "data", "/v1/models");
  if (!list.is_array() || list.empty()) base::fail_invalid("server", "must have a model", base::dump_json(list));
  return base::require_string(list[0], "id", "/v1/models");
}

// Servers differ in the name: `content` or `prompt`.
std::vector<int32_t> Server::tokenize(const std::string& text) const {
  const Answer answer =
      ask("POST", "/tokenize", base::dump_json({{"content", text}, {"prompt", text}, {"add_special_tokens", false}}));
  std::vector<int32_t> ids;
  if (answer.status != 200) return ids;
  const base::Json json = base::parse_json(answer.body, "/tokenize");
  const base::Json& list = base::require_member(json, "tokens", "/tokenize");
  for (const base::Json& id : list) {
    if (!id.is_number_integer()) base::fail_invalid("server", "tokens must be ids", base::dump_json(id));
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

}  // namespace dsmoe::traffic
