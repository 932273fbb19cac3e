// No safetensors file makes its reader allocate more than twice the file's size at once, whatever the header claims:
// sizes are judged before anything is allocated by them. Counts every allocation of the process, so it has its own
// program.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "base/error.h"
#include "data/safetensors_header.h"

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

namespace dsmoe::data {
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

}  // namespace
}  // namespace dsmoe::data
