#include "serve/admission.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "serve/api_error.h"

namespace dsmoe::serve {

std::shared_ptr<Admission::Ticket> Admission::enter() {
  const std::lock_guard lock(mutex_);
  if (closed_) throw shutting_down();
  if (requests_ >= limits_.requests) {
    throw ApiError(429, "the server has " + std::to_string(requests_) + " requests, as many as it takes")
        .code("queue_full")
        .retry_after(retry_after());
  }
  ++requests_;
  return std::make_shared<Ticket>(shared_from_this());
}

void Admission::Ticket::add_tokens(int64_t tokens) {
  const std::lock_guard lock(house_->mutex_);
  if (house_->requests_ > 1 && house_->tokens_ + tokens > house_->limits_.tokens) {
    throw ApiError(429, "the server has prompts of " + std::to_string(house_->tokens_) + " tokens, and takes " +
                            std::to_string(house_->limits_.tokens) + " together")
        .code("queue_full")
        .retry_after(house_->retry_after());
  }
  house_->tokens_ += tokens;
  tokens_ += tokens;
}

Admission::Ticket::~Ticket() {
  const std::lock_guard lock(house_->mutex_);
  --house_->requests_;
  house_->tokens_ -= tokens_;
  const double stayed = std::chrono::duration<double>(std::chrono::steady_clock::now() - since_).count();
  house_->mean_seconds_ += 0.1 * (stayed - house_->mean_seconds_);
}

void Admission::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

int64_t Admission::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

// When a slot is likely to come free for one more.
int Admission::retry_after() const {
  const double rounds = static_cast<double>(requests_) / static_cast<double>(std::max<int64_t>(1, limits_.slots));
  return static_cast<int>(std::clamp(std::ceil(mean_seconds_ * std::max(1.0, rounds / 4)), 1.0, 60.0));
}

}  // namespace dsmoe::serve
