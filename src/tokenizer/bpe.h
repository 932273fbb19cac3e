// Byte-pair encoding of one piece: bytes to ids, by the merge of lowest rank first, leftmost among equals.
//
// Short pieces are merged in place; from kLongPiece bytes on a tree over blocks of the piece finds the next merge, so
// that a megabyte of one letter costs O(n log n) steps like any other text, and nine bytes of memory for each of its
// own. A small cache of recent pieces sits in `BpeWorkspace`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace dsmoe::tokenizer {

/// The pair (left, right) becomes `merged`. A list of these is in order of rank.
struct BpeMerge {
  int32_t left, right, merged;
  bool operator==(const BpeMerge&) const = default;
};

/// What encoding needs to write to; one per thread. Belongs to the Bpe it was last used with.
class BpeWorkspace {
 public:
  BpeWorkspace();
  /// Blocks of long pieces searched for their best merge so far: what tests count instead of time.
  uint64_t searches = 0;

 private:
  friend class Bpe;
  // One cache line: pieces of up to 30 bytes that become up to 8 ids. Others are merged each time.
  struct alignas(64) CacheLine {
    static constexpr size_t kBytes = 30, kIds = 8;
    uint8_t length, count;
    char bytes[kBytes];
    int32_t ids[kIds];
  };
  std::vector<CacheLine> cache_;
  std::vector<uint32_t> ranks_;  // of a long piece, see bpe.cpp
  std::vector<uint64_t> tree_;
};

class Bpe {
 public:
  static constexpr size_t kLongPiece = 48;

  /// `byte_ids[b]` is the id of byte b, or -1 for a vocabulary without it: then the byte is left out, as Hugging Face
  /// does. Of merges with equal pairs the last one counts.
  Bpe(const std::vector<int32_t>& byte_ids, const std::vector<BpeMerge>& merges);

  /// Pieces equal to one of these bytes become that id without merging (tokenizer.json's ignore_merges).
  void set_whole_pieces(std::unordered_map<std::string, int32_t> pieces) { whole_ = std::move(pieces); }

  /// Appends the ids of `piece`. Safe from several threads with a workspace each.
  void encode(std::string_view piece, BpeWorkspace& workspace, std::vector<int32_t>& out) const;

 private:
  struct Slot {
    uint64_t pair;
    uint32_t rank;
    int32_t merged;
  };
  static constexpr uint32_t kNoRank = UINT32_MAX;
  static uint64_t pair_of(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
  }
  /// Where a pair is in slots_, or the empty slot (kNoRank) where it would be.
  size_t place(uint64_t pair) const;
  const Slot& find(int32_t left, int32_t right) const { return slots_[place(pair_of(left, right))]; }
  void merge(std::string_view piece, BpeWorkspace& workspace, std::vector<int32_t>& out) const;
  void merge_short(std::vector<int32_t>& out, size_t begin) const;
  void merge_long(BpeWorkspace& workspace, std::vector<int32_t>& out, size_t begin) const;
  class LongPiece;

  std::vector<int32_t> byte_ids_;
  std::vector<Slot> slots_;  // open addressing, a power of two, at most half full
  std::unordered_map<std::string, int32_t> whole_;
};

}  // namespace dsmoe::tokenizer
