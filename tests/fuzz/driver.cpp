// Feeds a fuzz target without libFuzzer: each seed as it stands, then mutations of them from a fixed random state, so
// that any compiler and sanitizer runs the same inputs. `NAME_fuzz FILE...` replays files, `NAME_fuzz -n 100000` does
// more of it.
#include <fstream>
#include <iterator>

#include "base/rng.h"
#include "fuzz.h"

namespace {

void feed(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::string mutated(std::string text, const std::vector<std::string>& seeds, dsmoe::base::Rng& rng) {
  const auto place = [&](const std::string& in) { return static_cast<size_t>(rng.below(in.size() + 1)); };
  for (uint64_t rounds = 1 + rng.below(4); rounds > 0; --rounds) {
    const size_t at = place(text);
    const std::string& other = seeds[static_cast<size_t>(rng.below(seeds.size()))];
    switch (rng.below(6)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(rng.below(256));
        break;
      case 1:
        text.insert(at, 1, static_cast<char>(rng.below(256)));
        break;
      case 2:
        text.erase(at, 1 + rng.below(8));
        break;
      case 3:
        text.insert(at, text.substr(place(text), 1 + rng.below(32)));
        break;
      case 4:
        text.insert(at, other.substr(place(other), 1 + rng.below(32)));
        break;
      case 5:
        text.resize(at);
        break;
    }
  }
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  int64_t count = 2000;
  const bool counted = argc == 3 && std::string(argv[1]) == "-n";
  if (counted) count = std::atoll(argv[2]);
  for (int i = 1; i < argc && !counted; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    feed(std::string(std::istreambuf_iterator<char>(file), {}));
  }
  if (argc > 1 && !counted) return 0;
  const std::vector<std::string> seeds = fuzz_seeds();
  for (const std::string& seed : seeds) feed(seed);
  dsmoe::base::Rng rng(1);
  for (int64_t i = 0; i < count; ++i) feed(mutated(seeds[static_cast<size_t>(rng.below(seeds.size()))], seeds, rng));
  std::cout << seeds.size() << " seeds and " << count << " mutations came back\n";
}
