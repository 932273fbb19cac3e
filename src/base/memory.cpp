#include "base/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <new>
#include <string>

#include "base/limits.h"

namespace dsmoe::base {
namespace {

class LargePages : public std::pmr::memory_resource {
  void* do_allocate(size_t bytes, size_t alignment) override {
    void* memory = ::operator new(bytes, of(bytes, alignment));
    prefer_large_pages(memory, bytes);
    return memory;
  }
  void do_deallocate(void* memory, size_t bytes, size_t alignment) override {
    ::operator delete(memory, of(bytes, alignment));
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
  static std::align_val_t of(size_t bytes, size_t alignment) {
    return std::align_val_t{bytes >= kLargePage ? std::max(kLargePage, alignment) : alignment};
  }
};

}  // namespace

uint64_t physical_memory() {
  const auto pages = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES));
  return std::min(pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)), group_limits().memory.value_or(UINT64_MAX));
}

uint64_t available_memory() {
  const uint64_t left = group_limits().memory_left.value_or(UINT64_MAX);
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  for (uint64_t kilobytes = 0; file >> key >> kilobytes; std::getline(file, unit)) {
    if (key == "MemAvailable:") return std::min(left, kilobytes * 1024);
  }
  return std::min(left, physical_memory());
}

void prefer_large_pages(void* memory, size_t bytes) {
#ifdef MADV_HUGEPAGE
  if (bytes >= kLargePage) ::madvise(memory, bytes, MADV_HUGEPAGE);
#endif
}

void gather_into_large_pages(std::span<const std::byte> memory) {
  // Debian 12's headers are older than the call.
  constexpr int kCollapse = 25;
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  const uintptr_t begin = (address + kLargePage - 1) / kLargePage * kLargePage;
  const uintptr_t end = (address + memory.size()) / kLargePage * kLargePage;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, kCollapse);
}

bool map_at_once(std::span<const std::byte> memory) {
#ifdef MADV_POPULATE_READ
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(memory.data()), begin = address / page * page;
  return ::madvise(reinterpret_cast<void*>(begin), address + memory.size() - begin, MADV_POPULATE_READ) == 0;
#else
  return memory.empty();
#endif
}

std::pmr::memory_resource* large_page_memory() {
  static LargePages pages;
  return &pages;
}

}  // namespace dsmoe::base
