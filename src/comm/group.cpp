#include "comm/group.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

namespace dsmoe::comm {
namespace {

constexpr int64_t kRoundBytes = int64_t{1} << 20;  // to each rank

[[noreturn]] void fail_lost(const char* operation, int rank, const std::string& what) {
  base::fail(kRankLost, "comm", "rank " + std::to_string(rank) + " does not take part in " + operation, what,
             "what that rank says comes first; the run goes on from its last checkpoint with --resume auto");
}

ConstBytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// How the shares of a vector travel: in rounds, in each of which every rank has a stretch of its share.
class Rounds {
 public:
  Rounds(const std::vector<Stretch>& shares, size_t element) : shares_(shares) {
    int64_t longest = 1;
    for (const Stretch& share : shares) longest = std::max(longest, share.size());
    most_ = std::min(kRoundBytes / static_cast<int64_t>(element), longest);
    count_ = (longest + most_ - 1) / most_;
  }

  int64_t count() const { return count_; }
  Stretch of(int rank, int64_t round) const {
    const Stretch& share = shares_[static_cast<size_t>(rank)];
    const int64_t begin = std::min(share.end, share.begin + round * most_);
    return {begin, std::min(share.end, begin + most_)};
  }
  /// Where rank r's elements lie in a buffer of one round of all ranks.
  size_t place(int rank) const { return static_cast<size_t>(rank * most_); }

 private:
  const std::vector<Stretch>& shares_;
  int64_t most_, count_;
};

// What a rank is about to do with another one, as `check` compares it.
struct Intent {
  char operation[24] = {};
  int64_t gives = 0, takes = 0;

  Intent() = default;
  Intent(const char* name, size_t out, size_t in) : gives(static_cast<int64_t>(out)), takes(static_cast<int64_t>(in)) {
    std::snprintf(operation, sizeof operation, "%s", name);
  }
  std::string text() const {
    return std::string(operation) + " with " + std::to_string(gives) + " bytes to give and " + std::to_string(takes) +
           " to take";
  }
};

std::vector<Bytes> each(auto& values) {
  std::vector<Bytes> spans;
  for (auto& value : values) spans.push_back(std::as_writable_bytes(std::span(&value, 1)));
  return spans;
}

}  // namespace

std::string in_seconds(std::chrono::milliseconds time) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g s", static_cast<double>(time.count()) / 1e3);
  return text;
}

Group::Group(std::shared_ptr<Transport> transport, bool check)
    : transport_(std::move(transport)),
      check_(check),
      members_(static_cast<size_t>(transport_->size())),
      rank_(transport_->rank()) {
  std::iota(members_.begin(), members_.end(), 0);
}

Group Group::part(const std::vector<int>& ranks) const {
  const auto self = std::find(ranks.begin(), ranks.end(), rank_);
  DSMOE_CHECK(self != ranks.end() && std::is_sorted(ranks.begin(), ranks.end()), "this rank's own group, in order");
  Group group = *this;
  group.members_.clear();
  for (const int rank : ranks) group.members_.push_back(members_.at(static_cast<size_t>(rank)));
  group.rank_ = static_cast<int>(self - ranks.begin());
  return group;
}

std::vector<Stretch> Group::shares(int64_t n) const {
  std::vector<Stretch> all;
  for (int r = 0; r < size(); ++r) all.push_back(share_of(n, r, size()));
  return all;
}

void Group::compare(const char* operation, const std::vector<ConstBytes>& out, const std::vector<Bytes>& in) const {
  std::vector<Intent> mine, theirs(out.size());
  for (size_t r = 0; r < out.size(); ++r) mine.emplace_back(operation, out[r].size(), in[r].size());
  const std::vector<Bytes> giving = each(mine);
  transport_->exchange(members_, {giving.begin(), giving.end()}, each(theirs));
  for (size_t r = 0; r < out.size(); ++r) {
    const bool same = std::strcmp(mine[r].operation, theirs[r].operation) == 0 && mine[r].gives == theirs[r].takes &&
                      mine[r].takes == theirs[r].gives;
    if (same) continue;
    fail_lost(operation, members_[r],
              "it is in " + theirs[r].text() + ", rank " + std::to_string(members_[static_cast<size_t>(rank_)]) +
                  " in " + mine[r].text());
  }
}

void Group::exchange(const char* operation, const std::vector<ConstBytes>& out, const std::vector<Bytes>& in) const {
  try {
    if (check_) compare(operation, out, in);
    transport_->exchange(members_, out, in);
  } catch (const LostRank& lost) {
    fail_lost(operation, lost.rank, lost.what);
  }
}

template <class T>
void Group::reduce_scatter(const Pieces<T>& values) const {
  if (alone()) return;
  const std::vector<Stretch> all = shares(values.size());
  const Rounds rounds(all, sizeof(T));
  std::vector<T> giving(rounds.place(size())), taken(giving.size());
  for (int64_t round = 0; round < rounds.count(); ++round) {
    const Stretch own = rounds.of(rank(), round);
    const auto count = static_cast<size_t>(own.size());
    std::vector<ConstBytes> out;
    std::vector<Bytes> in;
    for (int r = 0; r < size(); ++r) {
      const Stretch theirs = rounds.of(r, round);
      values.read(theirs, &giving[rounds.place(r)]);
      out.push_back(std::as_bytes(std::span(&giving[rounds.place(r)], static_cast<size_t>(theirs.size()))));
      in.push_back(std::as_writable_bytes(std::span(&taken[rounds.place(r)], count)));
    }
    exchange("reduce_scatter", out, in);
    for (int r = 1; r < size(); ++r) {
      const T* from = &taken[rounds.place(r)];
      for (size_t i = 0; i < count; ++i) taken[i] += from[i];
    }
    values.write(own, taken.data());
  }
}

template <class T>
void Group::collect(const char* operation, const Pieces<T>& values, const std::vector<Stretch>& shares,
                    bool everybody) const {
  if (alone()) return;
  const Rounds rounds(shares, sizeof(T));
  std::vector<T> giving(rounds.place(1)), taken(rounds.place(size()));
  for (int64_t round = 0; round < rounds.count(); ++round) {
    const Stretch own = rounds.of(rank(), round);
    values.read(own, giving.data());
    std::vector<ConstBytes> out;
    std::vector<Bytes> in;
    for (int r = 0; r < size(); ++r) {
      const bool gives = everybody || r == 0, takes = everybody || first();
      const int64_t theirs = takes ? rounds.of(r, round).size() : 0;
      out.push_back(std::as_bytes(std::span(giving.data(), gives ? static_cast<size_t>(own.size()) : 0)));
      in.push_back(std::as_writable_bytes(std::span(&taken[rounds.place(r)], static_cast<size_t>(theirs))));
    }
    exchange(operation, out, in);
    for (int r = 0; r < size() && (everybody || first()); ++r) {
      values.write(rounds.of(r, round), &taken[rounds.place(r)]);
    }
  }
}

template <class T>
void Group::all_gather(const Pieces<T>& values) const {
  collect("all_gather", values, shares(values.size()), true);
}

template <class T>
void Group::gather(const Pieces<T>& values, const std::vector<Stretch>& shares) const {
  collect("gather", values, shares, false);
}

std::vector<std::string> Group::exchange_texts(const char* operation, const std::vector<ConstBytes>& to) const {
  std::vector<int64_t> giving, taking(to.size());
  for (const ConstBytes text : to) giving.push_back(std::ssize(text));
  const std::vector<Bytes> lengths = each(giving);
  exchange(operation, {lengths.begin(), lengths.end()}, each(taking));
  std::vector<std::string> texts;
  std::vector<Bytes> in;
  for (const int64_t length : taking) texts.emplace_back(static_cast<size_t>(length), '\0');
  for (std::string& text : texts) in.push_back(std::as_writable_bytes(std::span(text)));
  exchange(operation, to, in);
  return texts;
}

std::vector<std::string> Group::all_to_all(const std::vector<std::string>& to) const {
  DSMOE_CHECK(std::ssize(to) == size(), "something for every rank");
  if (alone()) return to;
  std::vector<ConstBytes> out;
  for (const std::string& text : to) out.push_back(bytes_of(text));
  return exchange_texts("all_to_all", out);
}

void Group::all_to_all(const std::vector<ConstBytes>& out, const std::vector<Bytes>& in) const {
  if (!alone()) return exchange("all_to_all", out, in);
  std::copy(out.front().begin(), out.front().end(), in.front().begin());
}

std::vector<std::string> Group::all_gather(const std::string& text) const {
  if (alone()) return {text};
  return exchange_texts("all_gather", std::vector<ConstBytes>(static_cast<size_t>(size()), bytes_of(text)));
}

std::string Group::broadcast(const std::string& text) const {
  if (alone()) return text;
  const ConstBytes mine = first() ? bytes_of(text) : ConstBytes();
  return exchange_texts("broadcast", std::vector<ConstBytes>(static_cast<size_t>(size()), mine)).front();
}

bool Group::any(bool mine) const {
  if (alone()) return mine;
  std::vector<char> giving(static_cast<size_t>(size()), mine ? 1 : 0), taking(giving.size());
  const std::vector<Bytes> out = each(giving);
  exchange("any", {out.begin(), out.end()}, each(taking));
  return std::find(taking.begin(), taking.end(), 1) != taking.end();
}

void Group::barrier() const { any(false); }

template void Group::reduce_scatter(const Pieces<float>&) const;
template void Group::reduce_scatter(const Pieces<double>&) const;
template void Group::all_gather(const Pieces<float>&) const;
template void Group::all_gather(const Pieces<double>&) const;
template void Group::gather(const Pieces<float>&, const std::vector<Stretch>&) const;
template void Group::gather(const Pieces<double>&, const std::vector<Stretch>&) const;

}  // namespace dsmoe::comm
