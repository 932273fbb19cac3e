#include "quantize/in_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/memory.h"

namespace dsmoe::quantize {
namespace {

// One anonymous file that lives as long as somebody has it open or mapped.
class MemoryFile : public base::FileSystem {
 public:
  ~MemoryFile() override {
    if (fd_ >= 0) ::close(fd_);
  }
  /// Where it can be opened again.
  base::fs::path path() const { return "/proc/self/fd/" + std::to_string(fd_); }

  int create(const base::fs::path& path) override {
    fd_ = ::memfd_create("dsmoe-weights", MFD_CLOEXEC);
    if (fd_ < 0) base::fail_io("quantize", "cannot make a file in memory for", path.string(), errno);
    return fd_;
  }
  void sync(int, const base::fs::path&) override {}
  void close(int, const base::fs::path&) override {}  // kept, to be opened again
  void rename(const base::fs::path&, const base::fs::path&) override {}
  void sync_directory(const base::fs::path&) override {}

 private:
  int fd_ = -1;
};

void require_memory(uint64_t bytes, uint64_t available) {
  if (bytes <= available) return;
  base::fail_invalid("quantize", "the quantised model must fit memory",
                     std::to_string(bytes) + " bytes needed, " + std::to_string(available) + " available",
                     "a type of fewer bits may fit");
}

}  // namespace

formats::GgufModel quantised_in_memory(const formats::ModelFolder& folder, const ExportOptions& options) {
  MemoryFile memory;
  ExportOptions watched = options;
  watched.progress = [&, checked = false](uint64_t written, uint64_t total) mutable {
    if (!std::exchange(checked, true)) require_memory(total, base::available_memory());
    options.progress(written, total);
  };
  export_gguf(folder, "weights.gguf", watched, memory);
  formats::GgufModel model = formats::GgufModel::open(memory.path());
  base::gather_into_large_pages(model.file().bytes());
  return model;
}

}  // namespace dsmoe::quantize
