#include "train/tensor_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include "base/error.h"

namespace dsmoe::train {
namespace {

constexpr size_t kSmall = size_t{1} << 16;     // below, the system's allocator is as good
constexpr size_t kHugePage = size_t{1} << 21;  // blocks from here on are aligned to huge pages
constexpr size_t kAlignment = 64;

// Sizes in steps of an eighth of their power of two, so that nearly equal tensors share blocks.
size_t rounded(size_t bytes) {
  size_t step = kAlignment;
  while (step * 8 < bytes) step *= 2;
  return (bytes + step - 1) / step * step;
}

class KeptMemory final : public c10::Allocator {
 public:
  // LibTorch 1.13's virtual is const and later ones' is not, and those ask for copy_data too: without `override` each
  // version takes what it knows.
  c10::DataPtr allocate(size_t bytes) { return std::as_const(*this).allocate(bytes); }
  void copy_data(void* to, const void* from, size_t bytes) const { std::memcpy(to, from, bytes); }
  c10::DataPtr allocate(size_t bytes) const {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::Device(c10::DeviceType::CPU)};
    void* data = take(bytes);
    return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }

 private:
  struct State {
    std::mutex mutex;
    std::multimap<size_t, void*> idle;  // by size
    std::map<void*, size_t> in_use;
  };
  // Never destroyed: tensors of static lifetime may outlive everything else.
  static State& state() {
    static auto* state = new State;
    return *state;
  }

  static void* take(size_t bytes) {
    State& s = state();
    const size_t size = rounded(bytes);
    const std::lock_guard lock(s.mutex);
    if (size >= kSmall) {
      // a block up to an eighth larger does as well
      const auto found = s.idle.lower_bound(size);
      if (found != s.idle.end() && found->first <= size + size / 8) {
        void* data = found->second;
        s.in_use[data] = found->first;
        s.idle.erase(found);
        return data;
      }
    }
    void* data = fresh(size);
    if (!data && !s.idle.empty()) {  // what waits may be what is missing
      for (const auto& [idle_size, block] : s.idle) std::free(block);
      s.idle.clear();
      data = fresh(size);
    }
    if (!data) throw std::bad_alloc();
    if (size >= kSmall) s.in_use[data] = size;
    return data;
  }

  static void* fresh(size_t size) {
    const bool huge = size >= kHugePage;
    void* data = nullptr;
    if (::posix_memalign(&data, huge ? kHugePage : kAlignment, size) != 0) return nullptr;
    if (huge) ::madvise(data, size, MADV_HUGEPAGE);  // a wish: a kernel without it gives small pages
    return data;
  }

  static void release(void* data) {
    if (!data) return;
    State& s = state();
    const std::lock_guard lock(s.mutex);
    const auto found = s.in_use.find(data);
    if (found == s.in_use.end()) return std::free(data);
    s.idle.emplace(found->second, data);
    s.in_use.erase(found);
  }
};

}  // namespace

void keep_tensor_memory() {
  static KeptMemory memory;
  c10::SetCPUAllocator(&memory, /*priority=*/1);
}

}  // namespace dsmoe::train
