// How much memory reading and encoding documents takes at most, counted byte by byte: a few times the longest document,
// whatever it is made of; and no more than the limit on a document's length where a small file grows without end.
// Counts every allocation of the process, so it has its own program.
#include <gtest/gtest.h>
#include <malloc.h>
#include <zlib.h>
#include <zstd.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "base/parallel.h"
#include "corpus/test_corpus.h"
#include "tokenizer/bpe_trainer.h"

namespace {
std::atomic<size_t> live{0}, peak{0};

void* counted(size_t size) {
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  const size_t now = live += ::malloc_usable_size(memory);
  size_t seen = peak;
  while (now > seen && !peak.compare_exchange_weak(seen, now)) {
  }
  return memory;
}
void uncount(void* memory) {
  if (memory != nullptr) live -= ::malloc_usable_size(memory);
  std::free(memory);
}
}  // namespace

void* operator new(size_t size) { return counted(size); }
void* operator new[](size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { uncount(memory); }
void operator delete[](void* memory) noexcept { uncount(memory); }
void operator delete(void* memory, size_t) noexcept { uncount(memory); }
void operator delete[](void* memory, size_t) noexcept { uncount(memory); }

namespace dsmoe::corpus {
namespace {

constexpr size_t kBytes = size_t{2} << 20;
// Chunk, batch, the tokenizer's cache and everything else that does not grow with the document.
constexpr size_t kFixed = size_t{6} << 20;

size_t peak_of(const std::function<void()>& action) {
  const size_t before = live;
  peak = before;
  action();
  return peak - before;
}

std::string words(size_t bytes) {
  std::string text;
  for (size_t i = 0; text.size() < bytes; ++i) text += "word" + std::to_string(i * i % 997) + " ";
  return text;
}

tokenizer::Tokenizer small_tokenizer() {
  tokenizer::BpeTrainOptions options;
  options.vocab_size = 300;
  options.pre_tokenizer = *tokenizer::pretokenizer_steps("deepseek-v3");
  tokenizer::WordCounter counter(options.pre_tokenizer);
  counter.add(words(10'000) + std::string(1000, 'a'));
  return tokenizer::Tokenizer(tokenizer::train_bpe(counter.take(), options));
}

TEST(CorpusMemory, OneLongLineTakesTwelveTimesItsBytes) {
  const base::TestFolder folder;
  const tokenizer::Tokenizer tokenizer = small_tokenizer();
  CorpusEncoder encoder = byte_encoder();
  encoder.encode = [&](std::string_view text) { return tokenizer.encode_document(text); };
  encoder.vocab_size = tokenizer.vocab_size();
  encoder.bos_id = encoder.eos_id = -1;
  BuildOptions options;
  options.valid_share = 0;
  for (const std::string& line : {std::string(kBytes, 'a'), words(kBytes)}) {
    for (const char* name : {"a.txt", "a.jsonl"}) {
      const bool json = std::string(name) == "a.jsonl";
      const auto path = folder.write(name, json ? "{\"text\":\"" + line + "\"}\n" : line);
      const size_t taken = peak_of([&] {
        build_corpus(folder / "out", {{"a", {path}}}, encoder, options, base::serial_for, base::unsynced_files);
      });
      EXPECT_LE(taken, 12 * kBytes + kFixed) << name << " " << line.substr(0, 5);
      base::fs::remove_all(folder / "out");
    }
  }
}

std::string gzip_of_one_letter(size_t megabytes) {
  z_stream stream{};
  deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
  std::string text(size_t{1} << 20, 'x'), out(megabytes * 6000 + 1000, '\0');
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  for (size_t i = 0; i < megabytes; ++i) {
    stream.next_in = reinterpret_cast<Bytef*>(text.data());
    stream.avail_in = static_cast<uInt>(text.size());
    EXPECT_EQ(deflate(&stream, i + 1 == megabytes ? Z_FINISH : Z_NO_FLUSH), i + 1 == megabytes ? Z_STREAM_END : Z_OK);
  }
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// A frame of blocks that each repeat one byte 128 KB long: 4 bytes for each.
std::string zstd_of_one_letter(size_t megabytes) {
  std::string out = "\x28\xb5\x2f\xfd";
  out += std::string({'\0', static_cast<char>((17 - 10) << 3)});
  const uint32_t block = uint32_t{128} << 10 << 3 | 1 << 1;
  for (size_t i = 0; i < 8 * megabytes; ++i) {
    const uint32_t header = block | (i + 1 == 8 * megabytes);
    for (int byte = 0; byte < 3; ++byte) out += static_cast<char>(header >> (8 * byte) & 0xff);
    out += 'x';
  }
  return out;
}

TEST(CorpusMemory, ASmallFileThatGrowsIsRefusedAtTheLimit) {
  const base::TestFolder folder;
  const ReadLimits limits{.longest_document = kBytes};
  const std::string zst = zstd_of_one_letter(2048), gz = gzip_of_one_letter(32);
  EXPECT_LT(zst.size(), 70'000U) << "2 GB when it is read";
  for (const char* format : {"a.txt", "a.jsonl", "a.md"}) {
    for (const auto& [ending, content] : {std::pair{".zst", &zst}, std::pair{".gz", &gz}}) {
      const auto path = folder.write(std::string(format) + ending, *content);
      std::string error;
      const size_t taken = peak_of([&] {
        error = base::message_of([&] {
          for_each_document(
              path, InvalidUtf8::kRefuse, [](std::string&&) {}, limits);
        });
      });
      EXPECT_NE(error.find("longer than " + std::to_string(kBytes) + " bytes: " + path.string() + " line 1"),
                std::string::npos)
          << error;
      EXPECT_NE(error.find("--longest-document"), std::string::npos) << error;
      EXPECT_LE(taken, 3 * kBytes + kFixed) << path;
    }
  }
}

}  // namespace
}  // namespace dsmoe::corpus
