#include "comm/gloo.h"

#include <signal.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace dsmoe::comm {
namespace {

constexpr size_t kMessage = size_t{4} << 20;  // one message's bytes at most: Gloo fails on some that are very large

using Works = std::vector<c10::intrusive_ptr<c10d::Work>>;

// The first line of what Gloo or c10d say, without the place in their source.
std::string first_line(const std::exception& error) {
  std::string text = error.what();
  text = text.substr(0, text.find('\n'));
  const size_t source = text.rfind("] ");
  return source == std::string::npos ? text : text.substr(source + 2);
}

class GlooTransport final : public Transport {
 public:
  GlooTransport(const Meeting& meeting, c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo)
      : meeting_(meeting), gloo_(std::move(gloo)), exchanges_(static_cast<size_t>(meeting.size)) {}
  int rank() const override { return meeting_.rank; }
  int size() const override { return meeting_.size; }

  void exchange(const std::vector<int>& members, const std::vector<ConstBytes>& out,
                const std::vector<Bytes>& in) override {
    const size_t count = members.size();
    const auto self = static_cast<size_t>(std::find(members.begin(), members.end(), rank()) - members.begin());
    std::vector<Works> coming(count), going(count);
    for (size_t step = 1; step < count; ++step) {  // not all to the same rank at once
      const size_t to = (self + step) % count, from = (self + count - step) % count;
      start(members[from], in[from], coming[from], [&](std::vector<at::Tensor>& message) {
        return gloo_->recv(message, members[from], tag_of(members[from]));
      });
      start(members[to], out[to], going[to],
            [&](std::vector<at::Tensor>& message) { return gloo_->send(message, members[to], tag_of(members[to])); });
    }
    if (!out[self].empty()) std::memcpy(in[self].data(), out[self].data(), out[self].size());
    for (size_t i = 0; i < count; ++i) finish(members[i], coming[i]);
    for (size_t i = 0; i < count; ++i) finish(members[i], going[i]);
    for (const int other : members) ++exchanges_[static_cast<size_t>(other)];
  }

 private:
  // Counted for each pair: two ranks are together in exchanges of several groups, always in the same order.
  int tag_of(int other) const { return static_cast<int>(exchanges_[static_cast<size_t>(other)] % (1 << 30)); }

  // In messages, at least one: a rank that has nothing to give shows that it is there.
  template <class Span, class Begin>
  void start(int other, const Span& bytes, Works& works, const Begin& begin) {
    size_t at = 0;
    do {
      const size_t count = std::min(kMessage, bytes.size() - at);
      void* memory = count == 0 ? &nothing_ : const_cast<std::byte*>(bytes.data()) + at;
      std::vector<at::Tensor> message = {
          at::from_blob(memory, {static_cast<int64_t>(std::max<size_t>(1, count))}, at::kByte)};
      try {
        works.push_back(begin(message));
      } catch (const std::exception& error) {
        throw LostRank{other, first_line(error)};
      }
      at += count;
    } while (at < bytes.size());
  }

  void finish(int other, const Works& works) {
    for (const auto& work : works) {
      try {
        if (!work->wait(meeting_.timeout)) throw std::runtime_error("given up");
      } catch (const std::exception& error) {
        const bool late = std::strstr(error.what(), "imed out") != nullptr;
        throw LostRank{other, late ? "no word of it for " + in_seconds(meeting_.timeout) : first_line(error)};
      }
    }
  }

  Meeting meeting_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
  std::vector<uint64_t> exchanges_;  // with each rank
  std::byte nothing_{};
};

// Gloo writes to sockets whose other end may have gone, which by default ends the process before there is an error.
void survive_closed_sockets() {
  struct sigaction action {};
  ::sigaction(SIGPIPE, nullptr, &action);
  if (action.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

Group gloo_group(const Meeting& meeting) {
  if (meeting.size == 1) return {};
  if (!base::fs::is_directory(meeting.folder)) {
    base::fail_io("comm", "ranks meet in a folder", meeting.folder.string(), ENOENT);
  }
  survive_closed_sockets();
  try {
    const auto store = c10::make_intrusive<c10d::FileStore>((meeting.folder / "ranks").string(), meeting.size);
    store->setTimeout(meeting.timeout);
    const auto options = c10d::ProcessGroupGloo::Options::create(meeting.timeout);
    options->devices = {c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")};
    options->threads = 1;
    auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(store, meeting.rank, meeting.size, options);
    return Group(std::make_shared<GlooTransport>(meeting, std::move(gloo)), meeting.check);
  } catch (const std::exception& error) {
    base::fail(kRankLost, "comm", "all " + std::to_string(meeting.size) + " ranks of a world must meet",
               "rank " + std::to_string(meeting.rank) + " waited for " + in_seconds(meeting.timeout) + ": " +
                   first_line(error),
               "another rank has ended, or was not started; what it says comes first");
  }
}

}  // namespace dsmoe::comm
