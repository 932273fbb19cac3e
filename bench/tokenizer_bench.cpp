// How fast text becomes ids, on one core: tokenizer_bench [FOLDER FILE...]
//
// FOLDER has a tokenizer.json, FILEs are text (.jsonl with "text", or anything). Without arguments: the demo's
// tokenizer on the demo's corpus, if both are there. Times are of the processor, not of the clock, so that other work
// on the machine does not count; tools/tokenizer_oracle/speed.mjs measures Hugging Face's library the same way.
#include <ctime>
#include <iomanip>
#include <iostream>

#include "base/error.h"
#include "corpus/source_files.h"
#include "corpus/sources.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_json.h"

using namespace dsmoe;

namespace {

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void print(const std::string& name, double bytes, double ids, double seconds) {
  std::cout << std::left << std::setw(28) << name << std::right << std::fixed << std::setprecision(1) << std::setw(9)
            << bytes / 1e6 << std::setw(9) << bytes / seconds / 1e6 << std::setw(9) << ids / seconds / 1e6
            << std::setw(9) << std::setprecision(2) << bytes / ids << "\n";
}

void run(const std::string& folder, const std::vector<base::fs::path>& files) {
  const double begin = processor_seconds();
  const tokenizer::Tokenizer tokenizer = tokenizer::load_tokenizer(folder);
  std::cout << folder << ": " << tokenizer.vocab_size() << " tokens, loaded in " << std::setprecision(3)
            << processor_seconds() - begin << " s\n"
            << std::left << std::setw(28) << "file" << std::right << std::setw(9) << "MB" << std::setw(9) << "MB/s"
            << std::setw(9) << "Mtok/s" << std::setw(9) << "B/tok"
            << "\n";
  double all_bytes = 0, all_ids = 0, all_seconds = 0;
  for (const auto& file : files) {
    std::vector<std::string> documents;
    corpus::for_each_document(file, corpus::InvalidUtf8::kReplace,
                              [&](std::string&& text) { documents.push_back(text); });
    double bytes = 0, ids = 0;
    std::vector<int32_t> out;
    const double start = processor_seconds();
    for (const std::string& document : documents) {
      out.clear();
      tokenizer.encode(document, false, out);
      bytes += static_cast<double>(document.size());
      ids += static_cast<double>(out.size());
    }
    const double seconds = processor_seconds() - start;
    print(file.filename().string(), bytes, ids, seconds);
    all_bytes += bytes;
    all_ids += ids;
    all_seconds += seconds;
  }
  print("all", all_bytes, all_ids, all_seconds);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc == 1) {
    const std::string folder = "corpus/tokenizer-8k";
    if (!base::fs::exists(folder)) {
      std::cout << "tokenizer_bench: skipped, no corpus/tokenizer-8k here (make demo makes it)\n";
      return 0;
    }
    run(folder, corpus::find_sources({"corpus/text/*.jsonl"}).files);
    return 0;
  }
  run(argv[1], {argv + 2, argv + argc});
  return 0;
} catch (const base::Error& error) {
  std::cerr << "error: " << error.what() << "\n";
  return error.exit_code();
}
