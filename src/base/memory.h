// How much memory there is, and on which pages things lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <span>

namespace dsmoe::base {

/// In bytes: what the machine has, or what control groups let this process have of it (limits.h).
uint64_t physical_memory();
/// What this process may still take: as the kernel estimates it without others being swapped out (all of it where the
/// kernel does not say), and at most what control groups leave.
uint64_t available_memory();

/// What one entry of the page table can map at most. With pages of 4 kB, reading a model's weights here and there costs
/// a walk through the table at each, and a third of memory's bandwidth.
inline constexpr size_t kLargePage = size_t{2} << 20;
/// Asks for large pages where this memory is at least one; best where it begins at a multiple of kLargePage. A wish:
/// nothing depends on it.
void prefer_large_pages(void* memory, size_t bytes);
/// Moves what lies there onto large pages at once, where the system can (Linux 6.1, memory that is not a disk's file).
void gather_into_large_pages(std::span<const std::byte> memory);
/// Maps all pages now and reads those from their file that are not in memory; else each costs its first reader a
/// fault. Returns whether the system can (Linux 5.14) and has.
bool map_at_once(std::span<const std::byte> memory);

/// For small things that are read as one stretch after another: what an arena above it
/// (std::pmr::monotonic_buffer_resource, at least a large page at once) hands out lies on large pages.
std::pmr::memory_resource* large_page_memory();

}  // namespace dsmoe::base
