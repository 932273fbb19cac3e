#include "corpus/byte_stream.h"

#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>

#include "base/error.h"
#include "base/hash.h"

namespace dsmoe::corpus {
namespace {

// The file itself: counts and hashes what it hands out.
class RawFile {
 public:
  explicit RawFile(const base::fs::path& path) : path_(path.string()), file_(path, "data") {}

  size_t read(std::span<char> out) {
    ssize_t got;
    do {
      got = ::read(file_.fd(), out.data(), out.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) base::fail_io("data", "cannot read", path_, errno);
    const auto count = static_cast<size_t>(got);
    hasher_.update({out.data(), count});
    bytes_ += count;
    return count;
  }

  const std::string& path() const { return path_; }
  uint64_t bytes() const { return bytes_; }
  std::string hash() const { return hasher_.hex(); }

 private:
  std::string path_;
  base::ReadableFile file_;
  base::Hasher hasher_;
  uint64_t bytes_ = 0;
};

}  // namespace

class ByteStream::Decoder {
 public:
  explicit Decoder(const base::fs::path& path) : file(path) {}
  virtual ~Decoder() = default;
  virtual size_t read(std::span<char> out) = 0;

  RawFile file;

 protected:
  // The next piece of the file in `input_`; false at its end.
  bool refill() {
    filled_ = file.read(input_);
    return filled_ > 0;
  }
  [[noreturn]] void cut_short() const {
    base::fail_invalid("data", "compressed file is cut short",
                       file.path() + " ends after " + std::to_string(file.bytes()) + " bytes",
                       "fetch or compress it again");
  }
  [[noreturn]] void damaged(std::string_view what) const {
    base::fail_invalid("data", "compressed file is damaged",
                       file.path() + " near byte " + std::to_string(file.bytes()) + " (" + std::string(what) + ")",
                       "fetch or compress it again");
  }

  std::array<char, 1 << 16> input_;
  size_t filled_ = 0;
};

namespace {

class PlainDecoder : public ByteStream::Decoder {
 public:
  using Decoder::Decoder;
  size_t read(std::span<char> out) override { return file.read(out); }
};

// One or more gzip members, with zero bytes after the last one as tapes leave them.
class GzipDecoder : public ByteStream::Decoder {
 public:
  explicit GzipDecoder(const base::fs::path& path) : Decoder(path) {
    constexpr int kGzipOnly = 16;
    if (inflateInit2(&stream_, 15 + kGzipOnly) != Z_OK) throw std::bad_alloc();
  }
  ~GzipDecoder() override { inflateEnd(&stream_); }

  size_t read(std::span<char> out) override {
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(std::min<size_t>(out.size(), 1 << 30));
    const uInt room = stream_.avail_out;
    while (stream_.avail_out == room) {
      if (stream_.avail_in == 0 && !next_input()) {
        if (!between_members_) cut_short();
        return 0;
      }
      if (between_members_ && !begin_member()) continue;
      const int result = inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_STREAM_END) {
        between_members_ = true;
        any_member_ = true;
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        damaged(stream_.msg != nullptr ? stream_.msg : "zlib error " + std::to_string(result));
      }
    }
    return room - stream_.avail_out;
  }

 private:
  bool next_input() {
    if (!refill()) return false;
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(filled_);
    return true;
  }

  // False when the input at hand was padding only.
  bool begin_member() {
    while (any_member_ && stream_.avail_in > 0 && *stream_.next_in == 0) {
      ++stream_.next_in;
      --stream_.avail_in;
    }
    if (stream_.avail_in == 0) return false;
    inflateReset(&stream_);
    between_members_ = false;
    return true;
  }

  z_stream stream_{};
  bool between_members_ = false;
  bool any_member_ = false;
};

class ZstdDecoder : public ByteStream::Decoder {
 public:
  explicit ZstdDecoder(const base::fs::path& path) : Decoder(path), stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
  }
  ~ZstdDecoder() override { ZSTD_freeDStream(stream_); }

  size_t read(std::span<char> out) override {
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    while (to.pos == 0) {
      // Held-back output may remain when all input has been taken, so try before asking for more.
      if (from_.pos == from_.size && !holding_) {
        if (!refill()) {
          if (!frame_ended_) cut_short();
          return 0;
        }
        from_ = {input_.data(), filled_, 0};
      }
      const size_t result = ZSTD_decompressStream(stream_, &to, &from_);
      if (ZSTD_isError(result) != 0) damaged(ZSTD_getErrorName(result));
      frame_ended_ = result == 0;
      holding_ = to.pos == to.size && !frame_ended_;
    }
    return to.pos;
  }

 private:
  ZSTD_DStream* stream_;
  ZSTD_inBuffer from_{nullptr, 0, 0};
  bool frame_ended_ = false;
  bool holding_ = false;
};

std::unique_ptr<ByteStream::Decoder> decoder_of(const base::fs::path& path) {
  if (path.extension() == ".gz") return std::make_unique<GzipDecoder>(path);
  if (path.extension() == ".zst") return std::make_unique<ZstdDecoder>(path);
  return std::make_unique<PlainDecoder>(path);
}

}  // namespace

ByteStream::ByteStream(const base::fs::path& path) : decoder_(decoder_of(path)) {}
ByteStream::~ByteStream() = default;
ByteStream::ByteStream(ByteStream&&) noexcept = default;
size_t ByteStream::read(std::span<char> out) {
  DSMOE_CHECK(!out.empty(), "room to read into");
  return decoder_->read(out);
}
uint64_t ByteStream::raw_bytes() const { return decoder_->file.bytes(); }
std::string ByteStream::raw_hash() const { return decoder_->file.hash(); }

base::fs::path without_compression_ending(const base::fs::path& path) {
  const bool compressed = path.extension() == ".gz" || path.extension() == ".zst";
  return compressed ? path.parent_path() / path.stem() : path;
}

}  // namespace dsmoe::corpus
