// What a fuzz target offers: an entry that takes any bytes and must come back (or throw nothing), and seeds to mutate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

/// Inputs that get deep: valid ones, and ones broken in an interesting place.
std::vector<std::string> fuzz_seeds();

/// A law that must hold for every input; aborting is how libFuzzer learns.
inline void fuzz_check(bool holds, const char* law) {
  if (holds) return;
  std::cerr << "broken: " << law << "\n";
  std::abort();
}
