#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <span>

#include "base/error.h"
#include "base/hash.h"
#include "base/rng.h"

namespace dsmoe::tokenizer {
namespace {

constexpr size_t kCacheLines = size_t{1} << 15;  // 2 MB
constexpr size_t kMostKept = size_t{1} << 16;    // symbols of a long piece for which a workspace keeps room

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
  if (piece.size() > out.capacity() - begin) out.reserve(std::max(begin + piece.size(), 2 * out.capacity()));
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

// The symbols stand in place: a symbol made of L bytes has its id at its first position and a negative number at every
// other, -L at the second and at the last, so that both neighbours are one step away. Beside each symbol is the rank of
// the pair that it begins. Blocks of ranks are the leaves of a tree of minima, whose root is the next merge: a merge
// changes at most three blocks, and the nodes above them.
class Bpe::LongPiece {
 public:
  LongPiece(const Bpe& bpe, std::span<int32_t> ids, BpeWorkspace& workspace)
      : bpe_(bpe), ids_(ids), ranks_(workspace.ranks_), tree_(workspace.tree_), searches_(workspace.searches) {
    const size_t blocks = (ids_.size() + kBlock - 1) / kBlock;
    leaves_ = std::bit_ceil(blocks);
    ranks_.assign(blocks * kBlock, kNoRank);
    tree_.assign(2 * leaves_, kNothing);
    for (size_t i = 0; i < ids_.size(); ++i) set_rank(i);
    for (size_t block = 0; block < blocks; ++block) tree_[leaves_ + block] = best_of(block);
    for (size_t node = leaves_ - 1; node > 0; --node) tree_[node] = std::min(tree_[2 * node], tree_[2 * node + 1]);
  }

  /// Merges all there is to merge and moves the ids to the front; gives their number.
  size_t merge() {
    while (tree_[1] != kNothing) merge_at(tree_[1] & UINT32_MAX);
    size_t count = 0;
    for (size_t i = 0; i < ids_.size();) {
      const size_t after = next(i);
      ids_[count++] = ids_[i];
      i = after;
    }
    return count;
  }

 private:
  static constexpr size_t kBlock = 64;
  static constexpr uint64_t kNothing = UINT64_MAX;  // otherwise rank and position, in order of both

  size_t next(size_t i) const {
    const bool single = i + 1 >= ids_.size() || ids_[i + 1] >= 0;
    return single ? i + 1 : i + static_cast<size_t>(-ids_[i + 1]);
  }
  size_t previous(size_t i) const { return ids_[i - 1] >= 0 ? i - 1 : i - static_cast<size_t>(-ids_[i - 1]); }

  void set_rank(size_t i) {
    const size_t right = next(i);
    ranks_[i] = right < ids_.size() ? bpe_.find(ids_[i], ids_[right]).rank : kNoRank;
  }

  uint64_t best_of(size_t block) {
    ++searches_;
    const uint32_t* ranks = ranks_.data() + block * kBlock;
    uint32_t best = kNoRank;
    for (size_t i = 0; i < kBlock; ++i) best = std::min(best, ranks[i]);
    if (best == kNoRank) return kNothing;
    return (uint64_t{best} << 32) |
           (block * kBlock + static_cast<size_t>(std::find(ranks, ranks + kBlock, best) - ranks));
  }

  void search(size_t block) {
    size_t node = leaves_ + block;
    tree_[node] = best_of(block);
    for (node /= 2; node > 0; node /= 2) {
      const uint64_t best = std::min(tree_[2 * node], tree_[2 * node + 1]);
      if (tree_[node] == best) return;
      tree_[node] = best;
    }
  }

  void merge_at(size_t left) {
    const size_t right = next(left), end = next(right);
    ids_[left] = bpe_.find(ids_[left], ids_[right]).merged;
    ids_[right] = -1;
    ids_[left + 1] = ids_[end - 1] = -static_cast<int32_t>(end - left);
    ranks_[right] = kNoRank;
    set_rank(left);
    const size_t before = left > 0 ? previous(left) : left;
    if (before != left) set_rank(before);
    search(left / kBlock);
    if (right / kBlock != left / kBlock) search(right / kBlock);
    if (before / kBlock != left / kBlock) search(before / kBlock);
  }

  const Bpe& bpe_;
  std::span<int32_t> ids_;
  std::vector<uint32_t>& ranks_;
  std::vector<uint64_t>& tree_;
  uint64_t& searches_;
  size_t leaves_ = 1;
};

void Bpe::merge_long(BpeWorkspace& workspace, std::vector<int32_t>& out, size_t begin) const {
  const size_t count = out.size() - begin;
  if (count > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    base::fail_invalid("tokenizer", "a piece of text must be shorter than 2 GB", std::to_string(count) + " bytes");
  }
  out.resize(begin + LongPiece(*this, std::span(out).subspan(begin), workspace).merge());
  if (count > kMostKept) {
    workspace.ranks_ = {};
    workspace.tree_ = {};
  }
}

}  // namespace dsmoe::tokenizer
