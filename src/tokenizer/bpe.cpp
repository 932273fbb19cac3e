#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"

namespace dsmoe::tokenizer {
namespace {

constexpr size_t kCacheLines = size_t{1} << 15;  // 2 MB
constexpr uint32_t kNowhere = UINT32_MAX;

}  // namespace

BpeWorkspace::BpeWorkspace() : cache_(kCacheLines) {}

Bpe::Bpe(const std::vector<int32_t>& byte_ids, const std::vector<BpeMerge>& merges) : byte_ids_(byte_ids) {
  DSMOE_CHECK(byte_ids_.size() == 256, "one id per byte");
  DSMOE_CHECK(merges.size() < kNoRank / 4, "ranks fit");
  slots_.assign(std::bit_ceil(merges.size() * 2 + 2), Slot{0, kNoRank, 0});
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const BpeMerge& m = merges[rank];
    const uint64_t pair = pair_of(m.left, m.right);
    slots_[place(pair)] = {pair, static_cast<uint32_t>(rank), m.merged};
  }
}

size_t Bpe::place(uint64_t pair) const {
  const size_t mask = slots_.size() - 1;
  size_t at = base::mix64(pair) & mask;
  while (slots_[at].rank != kNoRank && slots_[at].pair != pair) at = (at + 1) & mask;
  return at;
}

void Bpe::encode(std::string_view piece, BpeWorkspace& workspace, std::vector<int32_t>& out) const {
  using Line = BpeWorkspace::CacheLine;
  if (piece.size() > Line::kBytes) return merge(piece, workspace, out);
  Line& line = workspace.cache_[base::xxh3_64(piece) & (kCacheLines - 1)];
  if (line.length == piece.size() && std::memcmp(line.bytes, piece.data(), piece.size()) == 0) {
    out.insert(out.end(), line.ids, line.ids + line.count);
    return;
  }
  const size_t begin = out.size();
  merge(piece, workspace, out);
  const size_t count = out.size() - begin;
  if (count > Line::kIds) return;
  line.length = static_cast<uint8_t>(piece.size());
  line.count = static_cast<uint8_t>(count);
  std::memcpy(line.bytes, piece.data(), piece.size());
  std::copy(out.begin() + static_cast<ptrdiff_t>(begin), out.end(), line.ids);
}

void Bpe::merge(std::string_view piece, BpeWorkspace& workspace, std::vector<int32_t>& out) const {
  if (!whole_.empty()) {
    if (const auto found = whole_.find(std::string(piece)); found != whole_.end()) {
      out.push_back(found->second);
      return;
    }
  }
  const size_t begin = out.size();
  for (const char byte : piece) {
    const int32_t id = byte_ids_[static_cast<unsigned char>(byte)];
    if (id >= 0) out.push_back(id);
  }
  if (out.size() - begin < kLongPiece) return merge_short(out, begin);
  merge_long(workspace, out, begin);
}

// Ranks of neighbours beside the symbols; the smallest is searched for again after each merge. Quadratic, but over less
// than kLongPiece symbols, where it is faster than a queue.
void Bpe::merge_short(std::vector<int32_t>& out, size_t begin) const {
  size_t count = out.size() - begin;
  if (count < 2) return;
  int32_t* ids = out.data() + begin;
  uint32_t ranks[kLongPiece];
  const auto rank_at = [&](size_t i) { return find(ids[i], ids[i + 1]).rank; };
  for (size_t i = 0; i + 1 < count; ++i) ranks[i] = rank_at(i);
  while (count > 1) {
    const auto best = static_cast<size_t>(std::min_element(ranks, ranks + count - 1) - ranks);
    if (ranks[best] == kNoRank) break;
    ids[best] = find(ids[best], ids[best + 1]).merged;
    std::copy(ids + best + 2, ids + count, ids + best + 1);
    std::copy(ranks + best + 1, ranks + count - 1, ranks + best);
    --count;
    if (best + 1 < count) ranks[best] = rank_at(best);
    if (best > 0) ranks[best - 1] = rank_at(best - 1);
  }
  out.resize(begin + count);
}

// A heap of candidate merges over a doubly linked list. Every merge takes one candidate out and puts at most two in, so
// at most 3n candidates ever exist; those overtaken by another merge are noticed when they come up.
void Bpe::merge_long(BpeWorkspace& workspace, std::vector<int32_t>& out, size_t begin) const {
  const size_t count = out.size() - begin;
  if (count >= kNowhere) {
    base::fail_invalid("tokenizer", "a piece of text must be shorter than 4 GB", std::to_string(count) + " bytes");
  }
  auto& nodes = workspace.nodes_;
  auto& queue = workspace.queue_;
  nodes.resize(count);
  queue.clear();
  const auto later = [](const auto& a, const auto& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  const auto candidate = [&](uint32_t left) {
    const uint32_t right = nodes[left].next;
    if (right == kNowhere) return false;
    const uint32_t rank = find(nodes[left].id, nodes[right].id).rank;
    if (rank == kNoRank) return false;
    queue.push_back({rank, left, nodes[left].id, nodes[right].id});
    ++workspace.queue_operations;
    return true;
  };
  for (uint32_t i = 0; i < count; ++i) {
    nodes[i] = {out[begin + i], i == 0 ? kNowhere : i - 1, i + 1 == count ? kNowhere : i + 1};
  }
  for (uint32_t i = 0; i < count; ++i) candidate(i);
  std::make_heap(queue.begin(), queue.end(), later);

  while (!queue.empty()) {
    std::pop_heap(queue.begin(), queue.end(), later);
    const auto top = queue.back();
    queue.pop_back();
    ++workspace.queue_operations;
    auto& left = nodes[top.position];
    // a node swallowed by its neighbour has id -1
    if (left.id != top.left || left.next == kNowhere || nodes[left.next].id != top.right) continue;
    auto& right = nodes[left.next];
    left.id = find(top.left, top.right).merged;
    right.id = -1;
    left.next = right.next;
    if (left.next != kNowhere) nodes[left.next].previous = top.position;
    if (candidate(top.position)) std::push_heap(queue.begin(), queue.end(), later);
    if (left.previous != kNowhere && candidate(left.previous)) std::push_heap(queue.begin(), queue.end(), later);
  }
  out.resize(begin);
  for (uint32_t i = 0; i != kNowhere; i = nodes[i].next) out.push_back(nodes[i].id);
}

}  // namespace dsmoe::tokenizer
