#include "traffic/load.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <ctime>
#include <list>
#include <memory>

#include "base/error.h"
#include "base/rng.h"
#include "traffic/answer_reader.h"

namespace dsmoe::traffic {
namespace {

using Clock = std::chrono::steady_clock;

// One request on its connection.
class Stream {
 public:
  Stream(const Server& server, std::string bytes, double due)
      : bytes_(std::move(bytes)), reader_([this](std::string_view data) { hear(data); }), fd_(server.connect()) {
    served_.due = due;
  }
  ~Stream() { ::close(fd_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  pollfd waits_for() const { return {fd_, static_cast<short>(sent_ < bytes_.size() ? POLLIN | POLLOUT : POLLIN), 0}; }
  double due() const { return served_.due; }
  /// Goes on with what the socket is ready for; true once it has ended.
  bool go_on(short ready, double now) {
    now_ = now;
    try {
      if ((ready & POLLOUT) != 0) send();
      if ((ready & (POLLIN | POLLERR | POLLHUP)) != 0) receive();
    } catch (const base::Error& error) {
      return fail(error.what());
    }
    if (reader_.complete()) settle();
    return reader_.complete();
  }
  Served take(double now) {
    served_.end = now;
    if (served_.tokens == 0) served_.tokens = std::ssize(served_.texts);
    return std::move(served_);
  }

 private:
  void send() {
    const ssize_t count = ::send(fd_, bytes_.data() + sent_, bytes_.size() - sent_, MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) base::fail_io("server", "cannot be asked", "", errno);
    if (count > 0) sent_ += static_cast<size_t>(count);
  }
  void receive() {
    char piece[65536];
    const ssize_t count = ::recv(fd_, piece, sizeof piece, 0);
    if (count < 0 && errno != EAGAIN) base::fail_io("server", "cannot be read", "", errno);
    if (count == 0) reader_.close();
    if (count > 0) reader_.take({piece, static_cast<size_t>(count)});
  }
  bool fail(const std::string& why) {
    served_.outcome = Outcome::kFailed;
    served_.status = reader_.status();
    served_.fault = why;
    return true;
  }
  void settle() {
    served_.status = reader_.status();
    if (served_.status == 429 || served_.status == 503) {
      served_.outcome = Outcome::kRefused;
    } else if (served_.status != 200) {
      fail("status " + std::to_string(served_.status) + ": " + reader_.body().substr(0, 300));
    } else if (!served_.fault.empty() || !done_) {
      fail(served_.fault.empty() ? "the stream ended without [DONE]" : served_.fault);
    } else {
      served_.outcome = Outcome::kComplete;
    }
  }
  // An event of a completion or of a chat.
  void hear(std::string_view data) {
    if (data == "[DONE]") {
      done_ = true;
      return;
    }
    if (says_text_alone(data)) {
      served_.texts.push_back(now_);
      return;
    }
    const base::Json event = base::parse_json(data, "event");
    if (event.contains("error")) served_.fault = base::dump_json(event["error"]);
    if (const auto usage = event.find("usage"); usage != event.end() && usage->is_object()) {
      served_.tokens = base::require_int(*usage, "completion_tokens", 0, INT32_MAX, "usage");
    }
    const auto choices = event.find("choices");
    if (choices == event.end() || !choices->is_array() || choices->empty()) return;
    const base::Json& choice = (*choices)[0];
    const base::Json& holder = choice.contains("delta") ? choice["delta"] : choice;
    for (const char* key : {"text", "content"}) {
      const auto text = holder.find(key);
      if (text == holder.end() || !text->is_string() || text->get_ref<const std::string&>().empty()) continue;
      served_.texts.push_back(now_);
    }
  }

  std::string bytes_;
  size_t sent_ = 0;
  AnswerReader reader_;
  int fd_;
  Served served_;
  double now_ = 0;
  bool done_ = false;
};

class Drive {
 public:
  Drive(const Server& server, const std::string& path, const LoadPlan& plan, const std::function<std::string()>& body)
      : server_(server), path_(path), plan_(plan), next_body_(body), rng_(plan.seed) {
    if (plan.rate > 0) next_due_ = gap();
  }

  std::vector<Served> run() {
    for (;;) {
      start_due();
      leave_late();
      if (streams_.empty() && !more_to_come()) break;
      wait();
    }
    std::stable_sort(all_.begin(), all_.end(), [](const Served& a, const Served& b) { return a.due < b.due; });
    return std::move(all_);
  }

 private:
  double now() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }
  double gap() { return -std::log(1 - rng_.uniform()) / plan_.rate; }
  bool more_to_come() const {
    const double next = plan_.rate > 0 ? next_due_ : now();
    return next < plan_.seconds && (plan_.requests == 0 || asked_ < plan_.requests);
  }

  void start_due() {
    while (more_to_come()) {
      if (plan_.rate > 0 ? next_due_ > now() : std::ssize(streams_) >= plan_.streams) return;
      const double due = plan_.rate > 0 ? next_due_ : now();
      ++asked_;
      try {
        streams_.push_back(std::make_unique<Stream>(server_, server_.request("POST", path_, next_body_()), due));
      } catch (const base::Error& error) {  // too many open files, say
        all_.push_back({due, now(), {}, 0, 0, Outcome::kFailed, error.what()});
      }
      if (plan_.rate > 0) next_due_ += gap();
    }
  }

  void leave_late() {
    const double time = now();
    std::erase_if(streams_, [&](const auto& stream) {
      if (time < stream->due() + plan_.deadline) return false;
      all_.push_back(stream->take(time));
      return true;
    });
  }

  // For whatever comes first: bytes, the next departure, a deadline.
  void wait() {
    double until = plan_.rate > 0 && more_to_come() ? next_due_ : now() + 1;
    for (const auto& stream : streams_) until = std::min(until, stream->due() + plan_.deadline);
    const double left = std::max(0.0, until - now());
    const timespec time{static_cast<time_t>(left), static_cast<long>((left - std::floor(left)) * 1e9)};
    polled_.clear();
    for (const auto& stream : streams_) polled_.push_back(stream->waits_for());
    if (::ppoll(polled_.data(), polled_.size(), &time, nullptr) <= 0) return;
    const double came = now();
    size_t i = 0;
    std::erase_if(streams_, [&](const auto& stream) {
      const short ready = polled_[i++].revents;
      if (ready == 0 || !stream->go_on(ready, came)) return false;
      all_.push_back(stream->take(came));
      return true;
    });
  }

  const Server& server_;
  const std::string& path_;
  const LoadPlan& plan_;
  const std::function<std::string()>& next_body_;
  base::Rng rng_;
  const Clock::time_point begun_ = Clock::now();
  double next_due_ = 0;
  int64_t asked_ = 0;
  std::list<std::unique_ptr<Stream>> streams_;
  std::vector<pollfd> polled_;
  std::vector<Served> all_;
};

}  // namespace

bool says_text_alone(std::string_view data) {
  const size_t text = data.find("\"text\":\"");
  if (text == std::string_view::npos || data.find("\"error\":") != std::string_view::npos) return false;
  constexpr size_t kNameLength = 8;
  if (data.size() <= text + kNameLength || data[text + kNameLength] == '"') return false;
  const size_t usage = data.find("\"usage\":");
  return usage == std::string_view::npos || data.substr(usage).starts_with("\"usage\":null");
}

std::vector<Served> drive(const Server& server, const std::string& path, const LoadPlan& plan,
                          const std::function<std::string()>& next_body) {
  return Drive(server, path, plan, next_body).run();
}

}  // namespace dsmoe::traffic
