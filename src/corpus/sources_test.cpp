// What counts as a document, in every container, and every way in which a source can be wrong.
#include "corpus/sources.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <numeric>
#include <sstream>

#include "base/hash.h"
#include "base/utf8.h"
#include "corpus/test_corpus.h"

namespace dsmoe::corpus {
namespace {

std::string gzip(std::string_view text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, static_cast<uLong>(text.size())) + 32, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

std::vector<std::string> read_all(const base::fs::path& path, InvalidUtf8 policy = InvalidUtf8::kRefuse,
                                  ReadLimits limits = {}) {
  std::vector<std::string> out;
  for_each_document(
      path, policy, [&](std::string&& text) { out.push_back(std::move(text)); }, limits);
  return out;
}

using Texts = std::vector<std::string>;

// Valid UTF-8 with line breaks, form feeds, quotes and characters of every length.
rc::Gen<std::string> any_text() {
  const auto character = rc::gen::weightedElement<char32_t>({{8, U'a'},
                                                             {3, U'\n'},
                                                             {1, U'\f'},
                                                             {1, U'\r'},
                                                             {1, U'"'},
                                                             {1, U'\\'},
                                                             {1, U'\0'},
                                                             {1, U'\u00e9'},
                                                             {1, U'\u4e2d'},
                                                             {1, U'\U0001f600'}});
  return rc::gen::map(rc::gen::container<std::vector<char32_t>>(character), [](const std::vector<char32_t>& points) {
    std::string out;
    for (const char32_t c : points) base::append_utf8(out, c);
    return out;
  });
}

TEST(Sources, FormatIsInTheName) {
  EXPECT_EQ(source_format("a/b.jsonl"), SourceFormat::kJsonLines);
  EXPECT_EQ(source_format("b.ndjson.gz"), SourceFormat::kJsonLines);
  EXPECT_EQ(source_format("b.txt.zst"), SourceFormat::kFormFeeds);
  EXPECT_EQ(source_format("b.cpp"), SourceFormat::kWholeFile);
  EXPECT_EQ(source_format("jsonl"), SourceFormat::kWholeFile);
  EXPECT_EQ(source_format("A.JSONL"), SourceFormat::kJsonLines);
  EXPECT_EQ(source_format("a.NdJson.GZ"), SourceFormat::kJsonLines);
  EXPECT_EQ(source_format("A.TXT.Zst"), SourceFormat::kFormFeeds);
  EXPECT_EQ(without_compression_ending("a/B.TXT.GZ"), "a/B.TXT");
}

TEST(Sources, CompressionIsInTheNameInAnyCase) {
  const base::TestFolder folder;
  EXPECT_EQ(read_all(folder.write("A.JSONL.GZ", gzip("{\"text\":\"x\"}\n"))), Texts{"x"});
  EXPECT_EQ(read_all(folder.write("a.Txt.Zst", zstd("one\n\f\ntwo"))), (Texts{"one\n", "two"}));
}

// A frame as --long makes it: a window of 2^log bytes, whatever the text's length.
std::string zstd_frame(std::string_view text, int window_log) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string out(ZSTD_compressBound(text.size()), '\0');
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  ZSTD_inBuffer from{text.data(), text.size(), 0};
  // without knowing the length the compressor keeps the window that was asked for
  EXPECT_EQ(ZSTD_isError(ZSTD_compressStream2(context, &to, &from, ZSTD_e_flush)), 0U);
  EXPECT_EQ(ZSTD_compressStream2(context, &to, &from, ZSTD_e_end), 0U);
  ZSTD_freeCCtx(context);
  out.resize(to.pos);
  return out;
}

// The header of a frame that asks for a window of 2^log bytes and holds one block, `text` as it is.
std::string raw_zstd_frame(std::string_view text, int window_log) {
  const auto block = static_cast<uint32_t>(text.size()) << 3 | 1;
  std::string out = "\x28\xb5\x2f\xfd";
  out += '\0';
  out += static_cast<char>((window_log - 10) << 3);
  for (int i = 0; i < 3; ++i) out += static_cast<char>(block >> (8 * i) & 0xff);
  return out.append(text);
}

TEST(Sources, EveryZstdWindowAndSkippableFramesAreRead) {
  const base::TestFolder folder;
  for (const int log : {10, 20, 27}) {
    EXPECT_EQ(read_all(folder.write("a.md.zst", zstd_frame("text", log))), Texts{"text"}) << log;
  }
  for (const int log : {10, 27, 28, 30, 31}) {
    EXPECT_EQ(read_all(folder.write("a.md.zst", raw_zstd_frame("text", log))), Texts{"text"}) << log;
  }
  const std::string error = base::message_of([&] { read_all(folder.write("a.md.zst", raw_zstd_frame("text", 35))); });
  EXPECT_NE(error.find("window is larger than 2 GiB"), std::string::npos) << error;
  const std::string skipped = std::string("\x50\x2a\x4d\x18\x03\0\0\0abc", 11);
  EXPECT_EQ(read_all(folder.write("a.md.zst", skipped + zstd("one ") + skipped + zstd_frame("two", 24) + skipped)),
            Texts{"one two"});
}

RC_GTEST_PROP(Sources, JsonLinesRoundTripInEveryContainerAndChunk, ()) {
  const auto texts = *rc::gen::container<Texts>(any_text());
  const size_t chunk = *rc::gen::element<size_t>(1, 2, 3, 7, 64, 1 << 20);
  const base::TestFolder folder;
  const std::string lines = json_lines(texts);
  for (const auto& path : {folder.write("a.jsonl", lines), folder.write("a.jsonl.gz", gzip(lines)),
                           folder.write("a.jsonl.zst", zstd(lines))}) {
    RC_ASSERT(read_all(path, InvalidUtf8::kRefuse, {.chunk = chunk}) == texts);
  }
}

RC_GTEST_PROP(Sources, FormFeedLinesSeparateAndNothingElseIsLost, ()) {
  const std::string file = *any_text();
  const size_t chunk = *rc::gen::element<size_t>(1, 2, 5, 1 << 20);
  // the naive reading: cut into lines, start anew at each line that is a form feed
  Texts wanted(1);
  for (size_t at = 0; at < file.size();) {
    const size_t next = std::min(file.find('\n', at), file.size() - 1) + 1;
    const std::string line = file.substr(at, next - at);
    const bool separator = line == "\f" || line == "\f\n" || line == "\f\r\n";
    separator ? wanted.emplace_back() : wanted.back().append(line);
    at = next;
  }
  std::erase(wanted, "");
  const base::TestFolder folder;
  const base::fs::path path = folder.write("a.txt", file);
  RC_ASSERT(read_all(path, InvalidUtf8::kRefuse, {.chunk = chunk}) == wanted);
  RC_ASSERT(read_all(folder.write("a.md", file)) == (file.empty() ? Texts{} : Texts{file}));
  // lines and offsets are those of the record's first byte
  RecordReader reader(path, {.chunk = chunk});
  for (Record record; reader.next(record);) {
    const auto offset = static_cast<size_t>(record.offset);
    RC_ASSERT(file.compare(offset, record.bytes.size(), record.bytes) == 0);
    RC_ASSERT(record.line == 1 + std::count(file.begin(), file.begin() + record.offset, '\n'));
  }
  RC_ASSERT(reader.raw_bytes() == file.size());
  RC_ASSERT(reader.raw_hash() == base::xxh3_128_hex(file));
}

TEST(Sources, MembersFramesAndPaddingFollowEachOther) {
  const base::TestFolder folder;
  EXPECT_EQ(read_all(folder.write("a.md.gz", gzip("one ") + gzip("") + gzip("two") + std::string(700, '\0'))),
            Texts{"one two"});
  EXPECT_EQ(read_all(folder.write("a.md.zst", zstd("one ") + zstd("") + zstd("two"))), Texts{"one two"});
  EXPECT_EQ(read_all(folder.write("empty.jsonl", "")), Texts{});
  EXPECT_EQ(read_all(folder.write("blank.jsonl", "\n \r\n{\"text\":\"x\",\"id\":7}\r\n\n")), Texts{"x"});
  std::string large(300'000, 'x');
  for (size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>('a' + i * i % 23);
  EXPECT_EQ(read_all(folder.write("l.md.gz", gzip(large))), Texts{large});
  EXPECT_EQ(read_all(folder.write("l.md.zst", zstd(large)), InvalidUtf8::kRefuse, {.chunk = 1000}), Texts{large});
}

TEST(Sources, ByteOrderMarkIsDroppedOnlyInFront) {
  const base::TestFolder folder;
  EXPECT_EQ(read_all(folder.write("a.txt", "\xef\xbb\xbfx\xef\xbb\xbf"), InvalidUtf8::kRefuse, {.chunk = 1}),
            Texts{"x\xef\xbb\xbf"});
  EXPECT_EQ(read_all(folder.write("a.jsonl", "\xef\xbb\xbf{\"text\":\"x\"}")), Texts{"x"});
  EXPECT_EQ(read_all(folder.write("b.txt", "\xef\xbb\xbf")), Texts{});
}

TEST(Sources, EveryTruncationOfCompressedFilesIsNoticed) {
  const base::TestFolder folder;
  const std::string text = json_lines({"some text", "more text, and more"});
  for (const auto& [name, whole] : {std::pair{"a.jsonl.gz", gzip(text)}, std::pair{"a.jsonl.zst", zstd(text)}}) {
    for (size_t length = 0; length < whole.size(); ++length) {
      const auto path = folder.write(name, whole.substr(0, length));
      EXPECT_NE(base::message_of([&] { read_all(path); }).find("cut short"), std::string::npos)
          << name << " " << length;
    }
  }
}

TEST(Sources, DamageAndTrailingBytesAreNoticed) {
  const base::TestFolder folder;
  std::string damaged = gzip("the same text, the same text");
  damaged[damaged.size() - 6] ^= 1;  // the checksum at the end
  EXPECT_NE(base::message_of([&] { read_all(folder.write("a.txt.gz", damaged)); }).find("damaged"), std::string::npos);
  EXPECT_NE(base::message_of([&] { read_all(folder.write("a.txt.gz", gzip("x") + "junk")); }).find("damaged"),
            std::string::npos);
  EXPECT_NE(base::message_of([&] { read_all(folder.write("a.txt.zst", zstd("x") + "junk!")); }).find("damaged"),
            std::string::npos);
  EXPECT_NE(base::message_of([&] { read_all(folder.write("a.txt.gz", "plain text")); }).find("damaged"),
            std::string::npos);
}

TEST(Sources, InvalidUtf8IsNamedWithLineAndByte) {
  const base::TestFolder folder;
  const auto text = folder.write("a.txt", "one\n\f\ntwo\nthr\xffree\n");
  const std::string error = base::message_of([&] { read_all(text); });
  EXPECT_NE(error.find("a.txt line 4, byte 13 holds \"\\xff\""), std::string::npos) << error;
  EXPECT_NE(error.find("--invalid-utf8 replace"), std::string::npos) << error;
  const auto lines = folder.write("a.jsonl", "{\"text\":\"ok\"}\n{\"text\":\"\xc0\xaf\xe4\xb8\"}\n");
  EXPECT_NE(base::message_of([&] { read_all(lines); }).find("line 2, byte 23 holds \"\\xc0\""), std::string::npos);

  EXPECT_EQ(read_all(text, InvalidUtf8::kReplace), (Texts{"one\n", "two\nthr\ufffdree\n"}));
  TextRepairs repairs;
  const Record record{"{\"text\":\"\xc0\xaf\xe4\xb8\"}", 1, 0};
  EXPECT_EQ(document_text(record, SourceFormat::kJsonLines, "f", InvalidUtf8::kReplace, repairs),
            "\ufffd\ufffd\ufffd\ufffd");
  EXPECT_EQ(repairs.replaced_bytes, 4);
}

TEST(Sources, HalfASurrogatePairIsNamedOrReplaced) {
  const base::TestFolder folder;
  const auto path = folder.write("a.jsonl", R"({"text":"fine \ud83d\ude00"})"
                                            "\n"
                                            R"({"text":"x\uD83d y"})"
                                            "\n");
  const std::string error = base::message_of([&] { read_all(path); });
  EXPECT_NE(error.find("half of a surrogate pair: " + path.string() + " line 2, byte 39 holds"), std::string::npos)
      << error;
  EXPECT_NE(error.find("--invalid-utf8 replace"), std::string::npos) << error;
  EXPECT_EQ(read_all(path, InvalidUtf8::kReplace), (Texts{"fine \U0001f600", "x\ufffd y"}));

  const auto replaced = [](const std::string& escapes, int64_t count) {
    TextRepairs repairs;
    const Record record{"{\"text\":\"" + escapes + "\"}", 1, 0};
    const std::string text = document_text(record, SourceFormat::kJsonLines, "f", InvalidUtf8::kReplace, repairs);
    EXPECT_EQ(repairs.replaced_escapes, count) << escapes;
    return text;
  };
  EXPECT_EQ(replaced(R"(\udc00)", 1), "\ufffd");
  EXPECT_EQ(replaced(R"(\udc00\ud83d\ude00)", 1), "\ufffd\U0001f600");
  EXPECT_EQ(replaced(R"(\ud83d\ud83d\ude00)", 1), "\ufffd\U0001f600");
  EXPECT_EQ(replaced(R"(\ude00\ud83d)", 2), "\ufffd\ufffd");
  EXPECT_EQ(replaced(R"(\ud83d\n\ude00)", 2), "\ufffd\n\ufffd");
  EXPECT_EQ(replaced(R"(\\ud83d \\\ud83d)", 1), "\\ud83d \\\ufffd") << "a backslash that is escaped itself";
  EXPECT_EQ(replaced(R"(\ud83dude00)", 1), "\ufffdude00");
}

TEST(Sources, ALineMayBeAJsonString) {
  const base::TestFolder folder;
  EXPECT_EQ(read_all(folder.write("a.jsonl", "\"one\"\n{\"text\":\"two\"}\n")), (Texts{"one", "two"}));
}

TEST(Sources, AStreamIsReadAsAFileIs) {
  std::istringstream in("\xef\xbb\xbf\n\"one\"\r\n  \n{\"text\":\"two\"}");
  RecordReader reader(ByteStream(in, "pipe"), SourceFormat::kJsonLines, {.chunk = 5});
  TextRepairs repairs;
  Texts texts;
  for (Record record; reader.next(record);) {
    texts.push_back(document_text(record, reader.format(), reader.name(), InvalidUtf8::kRefuse, repairs));
  }
  EXPECT_EQ(texts, (Texts{"one", "two"}));
}

RC_GTEST_PROP(Sources, ReplacedTextIsValidAndValidTextUntouched, (const std::string& bytes)) {
  TextRepairs repairs;
  const std::string out = document_text({bytes, 1, 0}, SourceFormat::kWholeFile, "f", InvalidUtf8::kReplace, repairs);
  RC_ASSERT(base::first_invalid_utf8(out) == std::string::npos);
  RC_ASSERT((repairs.replaced_bytes == 0) == (out == bytes));
  RC_ASSERT(out.size() == bytes.size() + 2 * static_cast<size_t>(repairs.replaced_bytes));
}

TEST(Sources, BadJsonLinesAreNamed) {
  const base::TestFolder folder;
  const std::string good = "{\"text\":\"x\"}\n";
  for (const auto& [line, rule] :
       std::vector<std::pair<std::string, std::string>>{{"{\"text\":\"x\"", "not valid JSON"},
                                                        {"{\"text\":\"x\"} {}", "not valid JSON"},
                                                        {"{\"text\":\"\\ud800\"}", "half of a surrogate pair"},
                                                        {"{\"text\":\"x\",\"text\":\"y\"}", "key twice"},
                                                        {"[\"x\"]", "must be a JSON object"},
                                                        {"7", "must be a JSON object"},
                                                        {"{\"txt\":\"x\"}", "lacks the key \"text\""},
                                                        {"{\"text\":7}", "text must be a string"},
                                                        {"\xff\xfe{", "not valid UTF-8"}}) {
    const std::string error =
        base::message_of([&, line = line] { read_all(folder.write("a.jsonl", good + good + line)); });
    EXPECT_NE(error.find("a.jsonl line 3"), std::string::npos) << error;
    EXPECT_NE(error.find(rule), std::string::npos) << error;
  }
}

TEST(Sources, LongDocumentsAreRefusedBeforeTheyFillTheMemory) {
  const base::TestFolder folder;
  const ReadLimits limits{.longest_document = 1000, .chunk = 100};
  EXPECT_EQ(read_all(folder.write("a.txt", std::string(1000, 'x')), InvalidUtf8::kRefuse, limits).size(), 1U);
  for (const auto& path :
       {folder.write("b.txt", "\f\n" + std::string(1001, 'x')), folder.write("c.md", std::string(100'000, '\n')),
        folder.write("d.jsonl", "\n" + std::string(100'000, 'x')),
        folder.write("bomb.txt.gz", gzip(std::string(10'000'000, 'x')))}) {
    const std::string error = base::message_of([&] { read_all(path, InvalidUtf8::kRefuse, limits); });
    EXPECT_NE(error.find("longer than 1000 bytes: " + path.string() + " line "), std::string::npos) << error;
  }
}

TEST(Sources, AFileThatIsNotThereIsNamed) {
  const base::TestFolder folder;
  EXPECT_NE(base::message_of([&] { read_all(folder / "none.txt"); }).find("No such file"), std::string::npos);
}

// Reads the first of two records, then lets `change` happen, then reads on.
std::string message_after(const base::fs::path& path, const std::function<void()>& change) {
  return base::message_of([&] {
    RecordReader reader(path, {.chunk = 4});
    Record record;
    reader.next(record);
    change();
    while (reader.next(record)) {
    }
  });
}

TEST(Sources, AFileThatChangesWhileItIsReadIsToldSo) {
  const base::TestFolder folder;
  const std::string text = "one\n\f\ntwo\n";
  const auto path = folder.write("a.txt", text);
  EXPECT_EQ(message_after(path, [] {}), "(no error)");
  const auto write = [&](const std::string& content) { std::ofstream(path, std::ios::binary) << content; };
  const std::vector<std::pair<const char*, std::function<void()>>> changes = {
      {"grown", [&] { write(text + "three"); }},
      {"cut", [&] { write("one\n\f"); }},
      {"touched",
       [&] { base::fs::last_write_time(path, base::fs::file_time_type::clock::now() + std::chrono::hours(1)); }},
      {"replaced", [&] { base::fs::rename(folder.write("other", text), path); }},
      {"removed", [&] { base::fs::remove(path); }}};
  for (const auto& [name, change] : changes) {
    folder.write("a.txt", text);
    EXPECT_NE(message_after(path, change).find("changed while it was read: " + path.string()), std::string::npos)
        << name;
  }
  const auto packed = folder.write("b.txt.gz", gzip(text));
  EXPECT_NE(message_after(packed, [&] { folder.write("b.txt.gz", gzip(text)); }).find("changed while"),
            std::string::npos);
}

}  // namespace
}  // namespace dsmoe::corpus
