// Feeds a fuzz target without libFuzzer, so that any compiler and sanitizer runs the same inputs.
//
//   NAME_fuzz [-n COUNT] FOLDER...   every file of the folders, the seeds, then COUNT mutations of the seeds from a
//                                    fixed random state
//   NAME_fuzz FILE...                replays files
//   NAME_fuzz --write-seeds FOLDER   the seeds as files, for libFuzzer to start a corpus from
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/rng.h"
#include "fuzz.h"

namespace fs = std::filesystem;

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

void feed_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string input(std::istreambuf_iterator<char>(file), {});
  if (!file) throw std::runtime_error("cannot read " + path.string());
  feed(input);
}

// A folder that is not there, or empty, is a mistake in who calls, and must not pass for a run without findings.
size_t feed_folder(const fs::path& folder) {
  std::vector<fs::path> files(fs::directory_iterator(folder), {});
  if (files.empty()) throw std::runtime_error("no files in " + folder.string());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) feed_file(file);
  return files.size();
}

void write_seeds(const fs::path& folder) {
  fs::create_directories(folder);
  int number = 0;
  for (const std::string& seed : fuzz_seeds()) {
    std::ofstream file(folder / ("seed" + std::to_string(number++)), std::ios::binary);
    if (!(file << seed).flush()) throw std::runtime_error("cannot write to " + folder.string());
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 2 && arguments[0] == "--write-seeds") {
    write_seeds(arguments[1]);
    return 0;
  }
  int64_t count = 2000;
  if (arguments.size() >= 2 && arguments[0] == "-n") {
    count = std::stoll(arguments[1]);
    arguments.erase(arguments.begin(), arguments.begin() + 2);
  } else if (!arguments.empty() && !fs::is_directory(arguments[0])) {
    for (const std::string& file : arguments) feed_file(file);
    return 0;
  }
  size_t files = 0;
  for (const std::string& folder : arguments) files += feed_folder(folder);
  const std::vector<std::string> seeds = fuzz_seeds();
  for (const std::string& seed : seeds) feed(seed);
  dsmoe::base::Rng rng(1);
  for (int64_t i = 0; i < count; ++i) feed(mutated(seeds[static_cast<size_t>(rng.below(seeds.size()))], seeds, rng));
  std::cout << files << " files, " << seeds.size() << " seeds and " << count << " mutations came back\n";
}
