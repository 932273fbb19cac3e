// Manifests: whatever happens to a file of the folder has a name.
#include "formats/manifest.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/rng.h"
#include "formats/test_models.h"

namespace dsmoe::formats {
namespace {

namespace fs = base::fs;
using std::string;

string flipped(string text, uint64_t bit) {
  text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
  return text;
}

TEST(Manifest, ListsSizesAndChecksums) {
  const base::TestFolder folder("manifest");
  base::write_file(folder / "b", "two");
  base::write_file(folder / "a", "");
  fs::create_directory(folder / "inside");
  write_manifest(folder.path(), {{"step", 7}});
  const base::Json manifest = verify_manifest(folder.path());
  EXPECT_EQ(manifest["step"], 7);
  EXPECT_EQ(manifest["files"].size(), 2u);
  EXPECT_EQ(manifest["files"]["b"]["bytes"], 3);
  EXPECT_EQ(manifest["files"]["b"]["xxh3_128"], hash_file(folder / "b"));
  base::write_file(folder / "later", "nobody's promise");
  EXPECT_NO_THROW(verify_manifest(folder.path()));
  write_manifest(folder.path());
  EXPECT_EQ(verify_manifest(folder.path())["files"].size(), 3u) << "not itself";
}

TEST(Manifest, NamesTheDamage) {
  const base::TestFolder folder("manifest_damage");
  base::write_file(folder / "a", "aaaa");
  base::write_file(folder / "b", "bbbb");
  write_manifest(folder.path());
  const auto line = [&] { return base::message_of([&] { verify_manifest(folder.path()); }); };
  base::write_file(folder / "b", "bbbc");
  EXPECT_NE(line().find("/b differs from its checksum"), string::npos) << line();
  base::write_file(folder / "b", "bbb");
  EXPECT_NE(line().find("/b has 3 bytes, promised 4"), string::npos) << line();
  fs::remove(folder / "a");
  EXPECT_NE(line().find("/a is missing"), string::npos) << line();
  fs::remove(folder / string(kManifestFile));
  try {
    verify_manifest(folder.path());
    FAIL();
  } catch (const base::Error& error) {
    EXPECT_EQ(error.kind(), base::ErrorKind::kIo);
  }
}

TEST(Manifest, IsItselfValidated) {
  const base::TestFolder folder("manifest_self");
  base::write_file(folder / "a", "aaaa");
  write_manifest(folder.path(), {{"step", 7}});
  const string good = base::read_file(folder / string(kManifestFile));
  const auto refused = [&](const string& text) {
    base::write_file(folder / string(kManifestFile), text, base::unsynced_files);
    const string line = base::message_of([&] { verify_manifest(folder.path()); });
    return line != "(no error)";
  };
  for (uint64_t bit = 0; bit < good.size() * 8; ++bit) EXPECT_TRUE(refused(flipped(good, bit))) << bit;
  for (size_t length = 0; length + 1 < good.size(); ++length) EXPECT_TRUE(refused(good.substr(0, length))) << length;
  EXPECT_FALSE(refused(good));
}

// A tiny checkpoint with a manifest: 1000 bits flipped at random places of all its files, the manifest too.
TEST(Manifest, OneThousandFlippedBitsInAModelAreNoticed) {
  const base::TestFolder folder("manifest_flips");
  const fs::path model = folder / "model";
  write_model(model, small_mixture(), {.dtype = Dtype::kF32, .shard_bytes = 3000});
  write_manifest(model, {}, base::unsynced_files);
  ASSERT_TRUE(ModelFolder::open(model).verify());
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(model)) files.push_back(file.path());
  std::sort(files.begin(), files.end());
  base::Rng rng(42);
  int noticed = 0;
  for (int i = 0; i < 1000; ++i) {
    const fs::path file = files[rng.below(files.size())];
    const string good = base::read_file(file);
    const uint64_t bit = rng.below(good.size() * 8);
    base::write_file(file, flipped(good, bit), base::unsynced_files);
    try {
      ModelFolder::open(model).verify();
      ADD_FAILURE() << file << " bit " << bit;
    } catch (const base::Error& error) {
      noticed += error.kind() == base::ErrorKind::kInvalid || error.kind() == base::ErrorKind::kIo;
    }
    base::write_file(file, good, base::unsynced_files);
  }
  EXPECT_EQ(noticed, 1000);
  EXPECT_TRUE(ModelFolder::open(model).verify());
}

TEST(Manifest, NamesInItArePlain) {
  const base::TestFolder folder("manifest_names");
  fs::create_directory(folder / "in");
  base::write_file(folder / "secret", "s");
  base::write_file(folder / "in/a", "a");
  write_manifest(folder / "in");
  for (const char* name : {"../secret", "/etc/passwd", "..", ""}) {
    base::Json manifest = read_manifest(folder / "in");
    manifest["files"] = {{name, {{"bytes", 1}, {"xxh3_128", hash_file(folder / "secret")}}}};
    manifest.erase("xxh3_128");
    const string sum = base::xxh3_128_hex(base::dump_json(manifest));
    manifest["xxh3_128"] = sum;
    base::write_file(folder / "in" / string(kManifestFile), base::dump_json(manifest));
    EXPECT_NE(base::message_of([&] { verify_manifest(folder / "in"); }).find("plain names"), string::npos) << name;
    write_manifest(folder / "in");
  }
}

TEST(Manifest, EveryFailingCallLeavesOldOrNew) {
  const base::TestFolder folder("manifest_failing");
  base::write_file(folder / "a", "aaaa");
  write_manifest(folder.path(), {{"step", 1}});
  for (int k = 1;; ++k) {
    base::FailingFiles files(k);
    try {
      write_manifest(folder.path(), {{"step", 2}}, files);
    } catch (const base::Error& error) {
      EXPECT_EQ(error.kind(), base::ErrorKind::kIo);
    }
    const int64_t step = verify_manifest(folder.path())["step"].get<int64_t>();
    EXPECT_TRUE(step == 1 || step == 2);
    EXPECT_EQ(folder.count(), 2u);
    if (!files.failed()) break;
    write_manifest(folder.path(), {{"step", 1}});
  }
}

}  // namespace
}  // namespace dsmoe::formats
