// Files of other formats are refused by name, also where bytes that are not UTF-8 would be replaced.
#include "corpus/not_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/file.h"
#include "base/test_files.h"
#include "corpus/sources.h"

namespace dsmoe::corpus {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal_of(const std::string& name, std::string_view bytes) {
  const base::TestFolder folder;
  const base::fs::path file = folder.write(name, bytes);
  try {
    for_each_document(file, InvalidUtf8::kReplace, [](std::string&&) {});
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kInvalid);
    return error.what();
  }
  return "";
}

TEST(NotText, FormatsAreNamedWithWhatToDo) {
  const std::string rest(100, '\x80');
  EXPECT_THAT(refusal_of("a.xz", std::string("\xFD"
                                             "7zXZ\0",
                                             6) +
                                     rest),
              AllOf(HasSubstr("a.xz is a xz file"), HasSubstr("unxz")));
  EXPECT_THAT(refusal_of("a.bz2", "BZh91AY&SY" + rest), AllOf(HasSubstr("bzip2"), HasSubstr("bunzip2")));
  EXPECT_THAT(refusal_of("a.parquet", "PAR1" + rest), HasSubstr("Parquet"));
  EXPECT_THAT(refusal_of("a.txt", "\x1F\x8B\b" + rest), HasSubstr("let its name end in .gz"));
  EXPECT_THAT(refusal_of("a.jsonl", "\x28\xB5\x2F\xFD" + rest), HasSubstr("let its name end in .zst"));
  EXPECT_THAT(refusal_of("a.zip", "PK\x03\x04" + rest), HasSubstr("zip"));
  EXPECT_THAT(refusal_of("a.pdf", "%PDF-1.7\n" + rest), HasSubstr("pdftotext"));
}

TEST(NotText, TextThatBeginsAlikeIsText) {
  for (const char* text : {"BZh9 is how bzip2 begins", "PARIS", "PK", "7zip", "%PDF", "\xFDmere latin-1", ""}) {
    EXPECT_EQ(refusal_of("a.txt", text), "") << text;
  }
}

}  // namespace
}  // namespace dsmoe::corpus
