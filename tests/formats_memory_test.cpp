// No safetensors or GGUF file makes its reader allocate more than twice the file's size at once, whatever the header
// claims: sizes are judged before anything is allocated by them. Counts every allocation of the process, so it has its
// own program.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "base/error.h"
#include "formats/gguf.h"
#include "formats/safetensors_header.h"
#include "formats/test_gguf.h"

namespace {
std::atomic<size_t> largest{0};

void* counted(size_t size) {
  size_t seen = largest;
  while (size > seen && !largest.compare_exchange_weak(seen, size)) {
  }
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(size_t size) { return counted(size); }
void* operator new[](size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace dsmoe::formats {
namespace {

using std::string;

string repeated(const string& piece, size_t bytes) {
  string text;
  while (text.size() < bytes) text += piece;
  return text;
}

// `piece` with a counter in place of each '#', until there are so many bytes.
string numbered(const string& piece, size_t bytes) {
  string text;
  for (size_t i = 0; text.size() < bytes; ++i) {
    for (const char c : piece) text += c == '#' ? std::to_string(i) : string(1, c);
  }
  text.pop_back();  // the last comma
  return text;
}

TEST(SafetensorsMemory, NoAllocationBeyondTwiceTheFile) {
  constexpr size_t kBytes = 300'000;
  const string shape = "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1],\"shape\":[";
  const std::vector<std::pair<const char*, string>> headers = {
      {"a tensor of 2^60 bytes", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1152921504606846976],\"data_offsets\":[0,1]}}"},
      {"offsets of 2^60",
       "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1152921504606846975,1152921504606846976]}}"},
      {"many dimensions", shape + repeated("1,", kBytes) + "1]}}"},
      {"deep arrays", shape + repeated("[", kBytes)},
      {"deep unknown field", "{\"a\":{\"x\":" + repeated("[", kBytes)},
      {"wide unknown field", "{\"a\":{\"x\":[" + repeated("[],", kBytes) + "[]]}}"},
      {"long name", "{\"" + string(kBytes, 'n') + "\":{}}"},
      {"many empty tensors",
       "{" + numbered("\"#\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},", kBytes) + "}"},
      {"much metadata", "{\"__metadata__\":{" + numbered("\"#\":\"\",", kBytes) + "}}"},
      {"one byte of garbage after spaces", string(kBytes, ' ') + "x"},
      {"a number without end", shape + string(kBytes, '9')},
  };
  for (const auto& [name, header] : headers) {
    string file;
    for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xff);
    file += header;
    largest = 0;
    try {
      read_header(file, "f");
    } catch (const base::Error& error) {
      EXPECT_LT(string(error.what()).size(), 400u) << "a line a person can read";
    }
    const size_t most = std::max<size_t>(2 * file.size(), 4096);  // error lines and the parser itself are small
    EXPECT_LE(largest, most) << name << ", a file of " << file.size() << " bytes";
  }
}

// Refused before anything beyond the file's size is allocated.
TEST(GgufMemory, NoAllocationBeyondTheFile) {
  constexpr uint64_t kHuge = uint64_t{1} << 40;
  constexpr size_t kMany = 20'000;
  GgufText many_keys(3, 0, kMany), many_tensors(3, kMany, 0), many_strings(3, 0, 1);
  for (size_t i = 0; i < kMany; ++i) {
    many_keys.key(std::to_string(10000 + i % (kMany - 1)), 0).u8(1);  // the last one is there twice
    many_tensors.tensor(std::to_string(10000 + i), {1}, 0, 0);        // all overlap
  }
  many_strings.key("k", 9).u32(8).u64(kMany);
  for (size_t i = 0; i + 1 < kMany; ++i) many_strings.string("");
  const std::vector<std::pair<const char*, string>> files = {
      {"keys without end", GgufText(3, 0, kHuge).data(1000).text},
      {"tensors without end", GgufText(3, kHuge, 0).data(1000).text},
      {"a long string", GgufText(3, 0, 1).key("k", 8).u64(kHuge).data(1000).text},
      {"a long array", GgufText(3, 0, 1).key("k", 9).u32(4).u64(kHuge).data(1000).text},
      {"a long array of strings", GgufText(3, 0, 1).key("k", 9).u32(8).u64(kHuge).data(1000).text},
      {"strings that end too soon", many_strings.text},
      {"a large tensor", GgufText(3, 1, 0).tensor("a", {kHuge}, 0, 0).data(1000).text},
      {"many small keys", many_keys.text},
      {"many small tensors", many_tensors.data(64).text},
  };
  for (const auto& [name, file] : files) {
    largest = 0;
    EXPECT_THROW(read_gguf_header(file, "f"), base::Error) << name;
    EXPECT_LE(largest, std::max<size_t>(file.size(), 4096)) << name << ", a file of " << file.size() << " bytes";
  }
}

}  // namespace
}  // namespace dsmoe::formats
