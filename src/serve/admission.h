// How much a server takes in: a bound on requests and on their prompts' tokens, so that overload is refused at once and
// in constant time rather than queued. Safe to use from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

namespace dsmoe::serve {

struct AdmissionLimits {
  int64_t requests = 64;   ///< in the house: waiting and running
  int64_t tokens = 65536;  ///< of their prompts
  int64_t slots = 4;       ///< how many are computed at a time, for the estimate of when to come again
};

class Admission : public std::enable_shared_from_this<Admission> {
 public:
  explicit Admission(const AdmissionLimits& limits) : limits_(limits) {}

  /// A request's place in the house, from before its prompt is looked at until it goes.
  class Ticket {
   public:
    explicit Ticket(std::shared_ptr<Admission> house) : house_(std::move(house)) {}
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    /// Takes room for a prompt's tokens; throws ApiError 429. Alone in the house a request of any length has room.
    void add_tokens(int64_t tokens);
    std::chrono::steady_clock::time_point since() const { return since_; }  ///< when the request came

   private:
    friend class Admission;
    std::shared_ptr<Admission> house_;
    int64_t tokens_ = 0;
    std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  };

  /// Throws ApiError: 429 where the house is full, 503 where it is closed.
  std::shared_ptr<Ticket> enter();
  /// Nobody comes in any more.
  void close();
  int64_t requests() const;

 private:
  int retry_after() const;  // seconds; under the lock
  const AdmissionLimits limits_;
  mutable std::mutex mutex_;
  int64_t requests_ = 0, tokens_ = 0;
  bool closed_ = false;
  double mean_seconds_ = 1;  // that a request stays, the latest counting most
};

}  // namespace dsmoe::serve
