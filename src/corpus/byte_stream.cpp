#include "corpus/byte_stream.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <istream>
#include <new>
#include <optional>

#include "base/error.h"
#include "base/hash.h"
#include "corpus/not_text.h"

namespace dsmoe::corpus {
namespace {

// What tells two states of a file apart without reading it.
struct FileState {
  explicit FileState(const struct stat& status)
      : device(status.st_dev),
        inode(status.st_ino),
        size(status.st_size),
        seconds(status.st_mtim.tv_sec),
        nanoseconds(status.st_mtim.tv_nsec) {}
  bool operator==(const FileState&) const = default;
  dev_t device;
  ino_t inode;
  off_t size;
  time_t seconds;
  long nanoseconds;
};

// Where the bytes come from, before decompression.
class RawInput {
 public:
  virtual ~RawInput() = default;
  virtual size_t read(std::span<char> out) = 0;
};

class StreamInput : public RawInput {
 public:
  explicit StreamInput(std::istream& in) : in_(in) {}
  size_t read(std::span<char> out) override {
    in_.read(out.data(), static_cast<std::streamsize>(out.size()));
    return static_cast<size_t>(in_.gcount());
  }

 private:
  std::istream& in_;
};

class FileInput : public RawInput {
 public:
  explicit FileInput(const base::fs::path& path) : path_(path.string()), file_(path, "data") {
    struct stat status {};
    if (::fstat(file_.fd(), &status) != 0) base::fail_io("data", "cannot stat", path_, errno);
    opened_.emplace(status);
  }

  size_t read(std::span<char> out) override {
    ssize_t got;
    do {
      got = ::read(file_.fd(), out.data(), out.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) base::fail_io("data", "cannot read", path_, errno);
    if (got == 0) require_unchanged();
    return static_cast<size_t>(got);
  }

 private:
  // At the end of the file: a text that was half old and half new would be nobody's.
  void require_unchanged() const {
    struct stat now {};
    if (::stat(path_.c_str(), &now) == 0 && FileState(now) == *opened_) return;
    base::fail(base::ErrorKind::kIo, "data", "a source changed while it was read", path_,
               "try again when nothing writes to it");
  }

  std::string path_;
  base::ReadableFile file_;
  std::optional<FileState> opened_;
};

struct Source {
  std::unique_ptr<RawInput> input;
  std::string name;
};

// Counts and hashes what it hands out.
class RawBytes {
 public:
  explicit RawBytes(Source source) : source_(std::move(source)) {}

  size_t read(std::span<char> out) {
    const size_t count = source_.input->read(out);
    hasher_.update({out.data(), count});
    bytes_ += count;
    return count;
  }

  const std::string& name() const { return source_.name; }
  uint64_t bytes() const { return bytes_; }
  std::string hash() const { return hasher_.hex(); }

 private:
  Source source_;
  base::Hasher hasher_;
  uint64_t bytes_ = 0;
};

}  // namespace

class ByteStream::Decoder {
 public:
  explicit Decoder(Source source) : raw(std::move(source)) {}
  virtual ~Decoder() = default;
  virtual size_t read(std::span<char> out) = 0;

  RawBytes raw;

 protected:
  // The next piece of the file in `input_`; false at its end.
  bool refill() {
    filled_ = raw.read(input_);
    return filled_ > 0;
  }
  [[noreturn]] void cut_short() const {
    base::fail_invalid("data", "compressed file is cut short",
                       raw.name() + " ends after " + std::to_string(raw.bytes()) + " bytes",
                       "fetch or compress it again");
  }
  [[noreturn]] void damaged(std::string_view what) const {
    base::fail_invalid("data", "compressed file is damaged",
                       raw.name() + " near byte " + std::to_string(raw.bytes()) + " (" + std::string(what) + ")",
                       "fetch or compress it again");
  }

  std::array<char, 1 << 16> input_;
  size_t filled_ = 0;
};

namespace {

class PlainDecoder : public ByteStream::Decoder {
 public:
  using Decoder::Decoder;
  size_t read(std::span<char> out) override { return raw.read(out); }
};

// A file that says by its name that it is not compressed.
class TextFileDecoder : public PlainDecoder {
 public:
  using PlainDecoder::PlainDecoder;
  size_t read(std::span<char> out) override {
    const bool first = raw.bytes() == 0;
    const size_t count = PlainDecoder::read(out);
    if (first) require_plain_text(out.first(count), raw.name());
    return count;
  }
};

// One or more gzip members, with zero bytes after the last one as tapes leave them.
class GzipDecoder : public ByteStream::Decoder {
 public:
  explicit GzipDecoder(Source source) : Decoder(std::move(source)) {
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
  explicit ZstdDecoder(Source source) : Decoder(std::move(source)), stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kLargestWindowLog);
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
      if (ZSTD_isError(result) != 0) fail(result);
      frame_ended_ = result == 0;
      holding_ = to.pos == to.size && !frame_ended_;
    }
    return to.pos;
  }

 private:
  static constexpr int kLargestWindowLog = 31;  // the library's own bound

  [[noreturn]] void fail(size_t result) const {
    const ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
    if (code == ZSTD_error_frameParameter_windowTooLarge) {
      base::fail_invalid("data", "a .zst window is larger than 2 GiB", raw.name(), "compress it again with --long=31");
    }
    if (code == ZSTD_error_memory_allocation) {
      base::fail(base::ErrorKind::kFailure, "data", "not enough memory for a .zst window", raw.name(),
                 "compress it again without --long");
    }
    damaged(ZSTD_getErrorString(code));
  }

  ZSTD_DStream* stream_;
  ZSTD_inBuffer from_{nullptr, 0, 0};
  bool frame_ended_ = false;
  bool holding_ = false;
};

enum class Compression { kNone, kGzip, kZstd };

Compression compression_of(const base::fs::path& name) {
  const std::string ending = ending_of(name);
  return ending == ".gz" ? Compression::kGzip : ending == ".zst" ? Compression::kZstd : Compression::kNone;
}

std::unique_ptr<ByteStream::Decoder> decoder_of(const base::fs::path& path) {
  Source source{std::make_unique<FileInput>(path), path.string()};
  switch (compression_of(path)) {
    case Compression::kGzip:
      return std::make_unique<GzipDecoder>(std::move(source));
    case Compression::kZstd:
      return std::make_unique<ZstdDecoder>(std::move(source));
    case Compression::kNone:
      return std::make_unique<TextFileDecoder>(std::move(source));
  }
  return nullptr;
}

}  // namespace

ByteStream::ByteStream(const base::fs::path& path) : decoder_(decoder_of(path)) {}
ByteStream::ByteStream(std::istream& in, std::string name)
    : decoder_(std::make_unique<PlainDecoder>(Source{std::make_unique<StreamInput>(in), std::move(name)})) {}
ByteStream::~ByteStream() = default;
ByteStream::ByteStream(ByteStream&&) noexcept = default;
size_t ByteStream::read(std::span<char> out) {
  DSMOE_CHECK(!out.empty(), "room to read into");
  return decoder_->read(out);
}
const std::string& ByteStream::name() const { return decoder_->raw.name(); }
uint64_t ByteStream::raw_bytes() const { return decoder_->raw.bytes(); }
std::string ByteStream::raw_hash() const { return decoder_->raw.hash(); }

std::string ending_of(const base::fs::path& path) {
  std::string ending = path.extension().string();
  for (char& c : ending) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return ending;
}

base::fs::path without_compression_ending(const base::fs::path& path) {
  return compression_of(path) == Compression::kNone ? path : path.parent_path() / path.stem();
}

}  // namespace dsmoe::corpus
