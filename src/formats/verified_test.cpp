// What is read when, and that no damage is missed for having been whole once.
#include "formats/verified.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/rng.h"
#include "base/test_files.h"
#include "formats/manifest.h"

namespace dsmoe::formats {
namespace {

namespace fs = base::fs;

class Verified : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(model_);
    put("config.json", "{}");
    put("model.safetensors", std::string(1000, 'w'));
    write_manifest(model_, {{"step", 1}}, base::unsynced_files);
  }
  void put(const std::string& name, const std::string& text) {
    base::write_file(model_ / name, text, base::unsynced_files);
  }
  uint64_t verify() { return verify_once(model_, options_); }
  std::string damage() {
    return base::message_of([&] { verify(); });
  }

  base::TestFolder folder_{"verified"};
  const fs::path model_ = folder_ / "model";
  VerifyOptions options_{.memory = folder_ / "cache/dsmoe/verified", .settled = std::chrono::nanoseconds(0)};
};

TEST_F(Verified, EachFileIsReadOnce) {
  EXPECT_EQ(verify(), 1002u);
  EXPECT_EQ(verify(), 0u);
  EXPECT_EQ(verify_once(model_ / ".", options_), 0u) << "the same folder by another name";
  put("config.json", "{}");
  EXPECT_EQ(verify(), 2u) << "written again, so read again";
  EXPECT_EQ(verify(), 0u);
  fs::remove_all(options_.memory);
  EXPECT_EQ(verify(), 1002u);
}

TEST_F(Verified, NothingIsAddedToTheFolder) {
  verify();
  size_t files = 0;
  for (const auto& entry : fs::directory_iterator(model_)) files += entry.is_regular_file() ? 1 : 0;
  EXPECT_EQ(files, 3u);
}

TEST_F(Verified, DamageAfterwardsIsNoticed) {
  base::Rng rng(1);
  for (const char* name : {"config.json", "model.safetensors", "manifest.json"}) {
    const std::string whole = base::read_file(model_ / name);
    for (int round = 0; round < 50; ++round) {
      put(name, whole);
      verify();
      std::string text = whole;
      const uint64_t bit = rng.below(8 * text.size());
      text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
      put(name, text);
      EXPECT_NE(damage(), "(no error)") << name << ", bit " << bit;
    }
    put(name, whole);
  }
  fs::remove(model_ / "config.json");
  EXPECT_NE(damage().find("config.json is missing"), std::string::npos) << damage();
}

TEST_F(Verified, AFileThatMayStillChangeIsNotRemembered) {
  options_.settled = std::chrono::hours(1);
  EXPECT_EQ(verify(), 1002u);
  EXPECT_EQ(verify(), 1002u);
}

TEST_F(Verified, ABrokenOrImpossibleMemoryIsNone) {
  verify();
  for (const auto& entry : fs::directory_iterator(options_.memory)) {
    base::write_file(entry.path(), "not json", base::unsynced_files);
  }
  EXPECT_EQ(verify(), 1002u);
  EXPECT_EQ(verify(), 0u);
  options_.memory = model_ / "config.json" / "inside";
  EXPECT_EQ(verify(), 1002u);
  options_.memory.clear();
  EXPECT_EQ(verify(), 1002u);
}

TEST_F(Verified, ManifestsOfOtherProgramsAreTheirs) {
  for (const char* text : {"{}", "[]", "{\"files\": {}}", "{\"format\": \"mine\", \"files\": []}"}) {
    put("manifest.json", text);
    EXPECT_FALSE(has_manifest(model_)) << text;
    EXPECT_EQ(verify(), 0u);
  }
  fs::remove(model_ / "manifest.json");
  EXPECT_EQ(verify(), 0u);
}

TEST_F(Verified, TheCacheFolderIsTheUsers) {
  ::setenv("XDG_CACHE_HOME", "/some/cache", 1);
  EXPECT_EQ(verification_memory(), "/some/cache/dsmoe/verified");
  ::setenv("XDG_CACHE_HOME", "relative", 1);  // the specification says to ignore such a one
  ::setenv("HOME", folder_.path().c_str(), 1);
  EXPECT_EQ(verification_memory(), folder_ / ".cache/dsmoe/verified");
  ::setenv("HOME", (folder_ / "nowhere").c_str(), 1);
  EXPECT_EQ(verification_memory(), "");
  ::unsetenv("HOME");
  EXPECT_EQ(verification_memory(), "");
}

}  // namespace
}  // namespace dsmoe::formats
