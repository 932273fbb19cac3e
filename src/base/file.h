// Files: reading whole or mapped, and writing so that nothing is ever half there.
//
// All writing goes through `FileSystem`, a narrow seam of the calls that can fail, so that tests can make the k-th call
// fail for every k. What a reader may see under its final name is complete and has been fsynced, folder included:
// `write_file` for one file, `FolderWriter` for a folder of files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace dsmoe::base {

namespace fs = std::filesystem;

/// A regular file open for reading. Anything else (a pipe, a socket, a device, a folder) is refused at once: opening
/// one can wait for ever, and its size says nothing. Throws Error(kIo), with `part` for whose file it is.
class ReadableFile {
 public:
  explicit ReadableFile(const fs::path& path, std::string_view part = "file");
  ~ReadableFile();
  ReadableFile(const ReadableFile&) = delete;
  ReadableFile& operator=(const ReadableFile&) = delete;
  int fd() const { return fd_; }
  uint64_t size() const { return size_; }  ///< when it was opened

 private:
  int fd_;
  uint64_t size_ = 0;
};

/// A whole regular file in memory. Throws Error(kIo) when it cannot be read, Error(kInvalid) when longer than `longest`
/// bytes.
std::string read_file(const fs::path& path, uint64_t longest = uint64_t{1} << 31);
/// All that comes from a file, pipe or terminal until it ends, for what a person hands over by hand (a prompt); "-" is
/// standard input. Waits for a writer, as cat does. Errors as read_file.
std::string read_stream(const fs::path& path, uint64_t longest = uint64_t{1} << 28);

/// A regular file mapped for reading. Empty files map to an empty view. When the file is cut short while it is mapped,
/// touching what is gone raises SIGBUS; a program that handles it asks mapped_file_at.
class MappedFile {
 public:
  explicit MappedFile(const fs::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// The name of the MappedFile that has this address, or nullptr. Safe in a signal handler.
const char* mapped_file_at(const void* address) noexcept;

/// Lets the system take back the memory of mapped bytes that have been read; they are read again when touched. For
/// walking a file larger than memory.
void let_go(std::span<const std::byte> mapped);

/// The calls that change a disk. The base class is the real thing; every failure is an Error(kIo) naming the path.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual int create(const fs::path& path);  ///< a new or truncated file, open for writing
  virtual int append(const fs::path& path);  ///< a new or existing file, open for writing at its end
  virtual void write(int fd, const fs::path& path, std::span<const std::byte> bytes);  ///< all of it, or throws
  virtual void write_at(int fd, const fs::path& path, uint64_t offset, std::span<const std::byte> bytes);
  virtual void sync(int fd, const fs::path& path);
  virtual void close(int fd, const fs::path& path);
  virtual void rename(const fs::path& from, const fs::path& to);
  virtual void remove_all(const fs::path& path);
  virtual void create_directory(const fs::path& path);
  virtual void sync_directory(const fs::path& path);
  virtual void truncate(int fd, const fs::path& path, uint64_t size);
  virtual void create_symlink(const fs::path& target, const fs::path& link);
};
FileSystem& real_files();

/// A file being written in pieces. Without finish() the destructor closes it and leaves what is there to the caller.
class FileWriter {
 public:
  FileWriter(const fs::path& path, FileSystem& files = real_files());
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }
  /// Replaces bytes written before: what a header learns only at the end.
  void overwrite(uint64_t offset, std::string_view text);
  /// Flush, fsync, close.
  void finish();
  uint64_t size() const { return size_; }

 private:
  void flush();
  fs::path path_;
  FileSystem& files_;
  int fd_;
  std::string buffer_;
  uint64_t size_ = 0;
};

/// A file written in pieces that appears whole under its name at commit(), or not at all.
class WholeFile {
 public:
  explicit WholeFile(const fs::path& path, FileSystem& files = real_files());
  ~WholeFile();
  void write(std::span<const std::byte> bytes) { writer_.write(bytes); }
  void write(std::string_view text) { writer_.write(text); }
  void commit();

 private:
  fs::path final_, working_;
  FileSystem& files_;
  FileWriter writer_;
  bool committed_ = false;
};

/// The file appears whole under its name, or not at all.
void write_file(const fs::path& path, std::string_view text, FileSystem& files = real_files());

/// A file of whole entries, added at its end: metrics, events. When an entry cannot be written, nothing of it stays in
/// the file; it waits in memory and goes out before the next one, so a disk that is full for a while costs no entry.
class AppendLog {
 public:
  explicit AppendLog(const fs::path& path, FileSystem& files = real_files());
  ~AppendLog();
  AppendLog(const AppendLog&) = delete;
  AppendLog& operator=(const AppendLog&) = delete;
  /// False when entries are waiting; error() says why. The oldest are given up beyond 64 MB.
  bool append(std::string_view entry);
  /// What waits goes out and all is fsynced; throws Error(kIo) if that fails.
  void sync();
  const std::string& error() const { return error_; }

 private:
  void write_waiting();
  fs::path path_;
  FileSystem& files_;
  int fd_;
  uint64_t size_ = 0;  // of the whole entries in the file
  std::string waiting_, error_;
};

/// Points `link` at `target` (as it is written there), atomically where a link was before.
void replace_symlink(const fs::path& target, const fs::path& link, FileSystem& files = real_files());

/// A folder that appears whole under its name, or not at all: files are made in a hidden sibling, which commit()
/// fsyncs and renames. A folder already there is replaced only if it is empty. Destroyed uncommitted, it removes what
/// it made.
class FolderWriter {
 public:
  explicit FolderWriter(const fs::path& final_path, FileSystem& files = real_files());
  ~FolderWriter();
  FolderWriter(const FolderWriter&) = delete;
  FolderWriter& operator=(const FolderWriter&) = delete;
  /// Where to make the files.
  const fs::path& path() const { return working_; }
  void write_file(const std::string& name, std::string_view text);
  void commit();

 private:
  fs::path final_, working_;
  FileSystem& files_;
  bool committed_ = false;
};

/// Throws Error(kIo) with both figures unless `bytes` fit on the disk that holds `path` (or will hold it).
void require_free_space(const fs::path& path, uint64_t bytes, std::string_view part);

}  // namespace dsmoe::base
