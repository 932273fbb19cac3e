// What may be written over, what is written directly, and that everything else is whole or absent: on real folders, and
// with every call of the disk failing in its turn.
#include "base/output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "base/error.h"
#include "base/test_files.h"

namespace dsmoe::base {
namespace {

using ::testing::HasSubstr;

// The exit code and the line of what `action` throws; 0 and nothing when it does not.
std::pair<int, std::string> refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return {error.exit_code(), error.what()};
  }
  return {0, ""};
}

mode_t mode_of(const fs::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0);
  return status.st_mode & 07777;
}

FolderPolicy policy_of(bool force, bool beside_others = false) {
  FolderPolicy policy;
  policy.force = force;
  policy.beside_others = beside_others;
  policy.is_own = [](const std::string& name) { return name == "a" || name == "b" || name == "z"; };
  policy.last = "a";
  return policy;
}

TEST(OutputFile, IsRefusedForEachReasonByItsRule) {
  const TestFolder folder;
  const fs::path file = folder.write("file", "x");
  fs::create_directory(folder / "sub");
  const auto check = [&](const fs::path& path, bool force = false) {
    return refusal([&] { require_output_file(path, force, {}); });
  };
  EXPECT_EQ(check(folder / "new").first, 0);
  EXPECT_EQ(check(file, true).first, 0);
  EXPECT_EQ(check(file).first, 4);
  EXPECT_THAT(check(file).second, HasSubstr("--force"));
  EXPECT_EQ(check("").first, 2);
  EXPECT_THAT(check(folder / "sub", true).second, HasSubstr("this is a folder"));
  EXPECT_THAT(check(folder / "none/", true).second, HasSubstr("this is a folder"));
  EXPECT_THAT(check(folder / "none" / "f").second, HasSubstr("No such file"));
  EXPECT_THAT(check(file / "f").second, HasSubstr("Not a directory"));
  for (const fs::path& path : {folder / std::string(256, 'n'), folder / "none" / std::string(5000, 'n') / "f"}) {
    EXPECT_EQ(check(path).first, 4);
    EXPECT_THAT(check(path).second, HasSubstr("too long"));
    EXPECT_LT(check(path).second.size(), 1000u);
  }
  fs::create_symlink("circle", folder / "circle");
  EXPECT_THAT(check(folder / "circle").second, HasSubstr("symbolic links"));
  EXPECT_EQ(check("/proc/version-of-mine").first, 4) << "a disk that takes no files, even from root";
  EXPECT_THAT(refusal([&] { require_output_file(folder / "new", false, {}, uint64_t{1} << 60); }).second,
              HasSubstr("not enough free space"));
  EXPECT_EQ(folder.count(), 3u) << "nothing stays of the question";
}

TEST(OutputFile, IsNoInputByWhateverName) {
  const TestFolder folder;
  fs::create_directory(folder / "in");
  const fs::path input = folder.write("in/weights", "w");
  folder.write("other", "o");
  fs::create_hard_link(input, folder / "hard");
  fs::create_symlink(input, folder / "soft");
  fs::create_directory_symlink(folder / "in", folder / "door");
  for (const fs::path& inputs : {input, folder / "in", folder / "door", folder / "soft", folder / "hard"}) {
    for (const fs::path& output : {input, folder / "hard", folder / "soft", folder / "door" / "weights",
                                   folder / "in" / ".." / "in" / "weights"}) {
      const auto [code, line] = refusal([&] { require_output_file(output, true, {inputs}); });
      EXPECT_EQ(code, 2) << output << " of " << inputs;
      EXPECT_THAT(line, HasSubstr("a file that is read"));
    }
    EXPECT_EQ(refusal([&] { require_output_file(folder / "other", true, {inputs}); }).first, 0);
    EXPECT_EQ(refusal([&] { require_output_file(folder / "in" / "new", false, {inputs}); }).first, 0);
  }
}

TEST(OutputFile, TwoOfOneCommandAreTwoFiles) {
  const TestFolder folder;
  const fs::path file = folder.write("file", "x");
  fs::create_hard_link(file, folder / "hard");
  fs::create_symlink("new", folder / "link");
  fs::create_directory(folder / "sub");
  const fs::path here = fs::current_path();
  fs::current_path(folder.path());
  const auto check = [](const fs::path& one, const fs::path& other) {
    return refusal([&] { require_different_outputs(one, other); }).first;
  };
  EXPECT_EQ(check("new", "new"), 2);
  EXPECT_EQ(check("new", "./new"), 2);
  EXPECT_EQ(check("new", folder / "new"), 2);
  EXPECT_EQ(check("sub/../new", "link"), 2) << "a link to what is not there yet";
  EXPECT_EQ(check("file", "hard"), 2);
  EXPECT_EQ(check("new", "other"), 0);
  EXPECT_EQ(check("new", "sub/new"), 0);
  EXPECT_EQ(check("file", "new"), 0);
  EXPECT_EQ(check("/dev/null", "/dev/null"), 0);
  fs::current_path(here);
}

TEST(WholeFile, FollowsLinksAndKeepsModes) {
  const TestFolder folder;
  const fs::path file = folder.write("file", "old");
  fs::permissions(file, fs::perms(0640));
  fs::create_symlink("file", folder / "link");
  fs::create_symlink("link", folder / "second");
  fs::create_symlink("later", folder / "dangling");
  write_file(folder / "second", "new");
  write_file(folder / "dangling", "made");
  EXPECT_EQ(read_file(file), "new");
  EXPECT_EQ(mode_of(file), 0640u);
  EXPECT_TRUE(fs::is_symlink(folder / "link") && fs::is_symlink(folder / "second"));
  EXPECT_EQ(read_file(folder / "later"), "made");
  EXPECT_EQ(folder.count(), 5u);
}

TEST(WholeFile, OfALongNameIsMadeUnderAShorterOne) {
  const TestFolder folder;
  std::string name;
  while (name.size() + 2 <= 254) name += "\xc3\xa9";
  for (const std::string& each : {name + "1", name + "2"}) write_file(folder / each, each);
  EXPECT_EQ(read_file(folder / (name + "1")), name + "1");
  EXPECT_EQ(folder.count(), 2u);
}

TEST(WholeFile, IsWrittenDirectlyIntoWhatIsNoFile) {
  const TestFolder folder;
  const fs::path fifo = folder / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_NO_THROW(require_output_file(fifo, false, {}));
  std::string got(16, '\0');
  std::thread reader([&] {
    const int fd = ::open(fifo.c_str(), O_RDONLY);
    got.resize(static_cast<size_t>(std::max<ssize_t>(::read(fd, got.data(), got.size()), 0)));
    ::close(fd);
  });
  write_file(fifo, "through");
  reader.join();
  EXPECT_EQ(got, "through");
  EXPECT_TRUE(fs::is_fifo(fifo));
  EXPECT_NO_THROW(require_output_file("/dev/null", false, {}));
  write_file("/dev/null", "gone");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_THAT(message_of([] { write_file("/dev/full", "x"); }), HasSubstr("No space left"));
  EXPECT_EQ(folder.count(), 1u);
}

TEST(WholeFile, GoesToAnOpenFileOfThisProcessWhereThatStands) {
  const TestFolder folder;
  const int fd = ::open((folder / "log").c_str(), O_WRONLY | O_CREAT, 0600);
  ASSERT_EQ(::write(fd, "before ", 7), 7);
  const std::string name = "/dev/fd/" + std::to_string(fd);
  EXPECT_NO_THROW(require_output_file(name, false, {}));
  write_file(name, "after");
  EXPECT_EQ(read_file(folder / "log"), "before after");
  ::close(fd);
  const int reading = ::open((folder / "log").c_str(), O_RDONLY);
  EXPECT_EQ(refusal([&] { require_output_file("/dev/fd/" + std::to_string(reading), false, {}); }).first, 4);
  ::close(reading);
}

TEST(WholeFile, LeavesNothingAtALimitOfTheFilesSize) {
  const TestFolder folder;
  folder.write("file", "old");
  auto* const before = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit old {};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const struct rlimit small = {4096, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  const auto [code, line] = refusal([&] { write_file(folder / "file", std::string(100000, 'x')); });
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, before);
  EXPECT_EQ(code, 4) << line;
  EXPECT_EQ(read_file(folder / "file"), "old");
  EXPECT_EQ(folder.count(), 1u);
}

TEST(FolderOutput, MakesWhatIsNotThereAndRemovesItsWayOnFailure) {
  const TestFolder folder;
  { FolderOutput(folder / "x" / "y" / "out").write_file("a", "1"); }
  EXPECT_EQ(folder.count(), 0u);
  FolderOutput made(folder / "x" / "y" / "out/");
  made.write_file("a", "1");
  made.commit();
  EXPECT_EQ(read_file(folder / "x" / "y" / "out" / "a"), "1");
  folder.write("file", "");
  EXPECT_THAT(message_of([&] { FolderOutput(folder / "file"); }), HasSubstr("something else is there"));
  EXPECT_EQ(refusal([&] { require_output_folder("", {}, {}); }).first, 2);
}

TEST(FolderOutput, FillsAnEmptyFolderWhateverLeadsToIt) {
  const TestFolder folder;
  for (const char* name : {"plain", "dot", "linked"}) fs::create_directory(folder / name);
  fs::create_directory(folder / "plain" / "lost+found");
  fs::create_directory_symlink("linked", folder / "link");
  for (const fs::path& path : {folder / "plain", folder / "dot" / ".", folder / "link"}) {
    EXPECT_NO_THROW(require_output_folder(path, {}, {})) << path;
    FolderOutput made(path);
    made.write_file("a", "1");
    made.write_file("b", "2");
    made.commit();
    EXPECT_EQ(read_file(path / "a") + read_file(path / "b"), "12");
    EXPECT_EQ(refusal([&] { FolderOutput again(path); }).first, 4);
  }
  EXPECT_EQ(folder.count(), 4u);
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
}

TEST(FolderOutput, FillsAMountPoint) {
  const TestFolder folder;
  const fs::path mount = folder / "mount";
  fs::create_directory(mount);
  if (::mount("none", mount.c_str(), "tmpfs", 0, "size=1m") != 0) GTEST_SKIP() << "mounting is not allowed here";
  {
    FolderOutput made(mount);
    made.write_file("a", "1");
    made.commit();
  }
  EXPECT_EQ(read_file(mount / "a"), "1");
  ASSERT_EQ(::mount("none", mount.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), 0);
  EXPECT_THAT(message_of([&] { require_output_file(mount / "f", false, {}); }), HasSubstr("Read-only"));
  EXPECT_THAT(message_of([&] { require_output_folder(mount / "out" / "deep", {}, {}); }), HasSubstr("Read-only"));
  EXPECT_EQ(::umount(mount.c_str()), 0);
}

TEST(WholeFile, IsWrittenDirectlyIntoAFileMountedOnItsOwn) {
  const TestFolder folder;
  const fs::path inner = folder.write("inner", "old and longer"), outer = folder.write("outer", "");
  if (::mount(inner.c_str(), outer.c_str(), nullptr, MS_BIND, nullptr) != 0) GTEST_SKIP() << "mounting is not allowed";
  EXPECT_EQ(refusal([&] { require_output_file(outer, false, {}); }).first, 4) << "it is there already";
  EXPECT_NO_THROW(require_output_file(outer, true, {}));
  write_file(outer, "new");
  EXPECT_EQ(read_file(inner), "new");
  { WholeFile(outer).write("half"); }
  EXPECT_EQ(read_file(inner), "") << "no half of it";
  EXPECT_EQ(::umount(outer.c_str()), 0);
}

TEST(FolderOutput, ReplacesItsOwnFilesOnlyAndOnlyWhenForced) {
  const TestFolder folder;
  const auto fill = [&] {
    for (const char* name : {"a", "b"}) folder.write(name, "old");
    fs::permissions(folder / "a", fs::perms(0600));
  };
  fill();
  EXPECT_THAT(message_of([&] { FolderOutput(folder.path(), policy_of(false)); }), HasSubstr("--force"));
  folder.write("thesis", "a stranger's");
  EXPECT_THAT(message_of([&] { FolderOutput(folder.path(), policy_of(true)); }), HasSubstr("holds \"thesis\""));
  FolderOutput made(folder.path(), policy_of(true, true));
  made.write_file("a", "new");
  made.write_file("z", "new");
  made.commit();
  EXPECT_EQ(read_file(folder / "a") + read_file(folder / "z") + read_file(folder / "thesis"), "newnewa stranger's");
  EXPECT_EQ(mode_of(folder / "a"), 0600u);
  EXPECT_FALSE(fs::exists(folder / "b")) << "a file of the older output does not mix with the new";
  EXPECT_EQ(folder.count(), 3u);
  fs::create_symlink("a", folder / "b");
  EXPECT_THAT(message_of([&] { FolderOutput(folder.path(), policy_of(true, true)); }), HasSubstr("no plain file"));
}

TEST(FolderOutput, ReplacesNoInput) {
  const TestFolder folder;
  fs::create_directory(folder / "out");
  const fs::path input = folder.write("out/a", "x");
  const auto check = [&](const fs::path& read) {
    return refusal([&] { require_output_folder(folder / "out", policy_of(true), {read}); }).first;
  };
  EXPECT_EQ(check(folder / "other"), 0);
  EXPECT_EQ(check(input), 2);
  EXPECT_EQ(check(folder / "out"), 2);
}

TEST(FolderOutput, LeavesAStrangersFileThatCameMeanwhile) {
  const TestFolder folder;
  FolderOutput made(folder.path());
  made.write_file("a", "mine");
  made.write_file("b", "mine");
  folder.write("b", "a stranger's");
  EXPECT_EQ(refusal([&] { made.commit(); }).first, 4);
  EXPECT_EQ(read_file(folder / "b"), "a stranger's");
  EXPECT_FALSE(fs::exists(folder / "a"));
}

TEST(FolderOutput, EveryFailingCallLeavesAllOldOrAllNew) {
  int failures = 0;
  for (int k = 1;; ++k) {
    const TestFolder folder;
    for (const char* name : {"a", "b", "thesis"}) folder.write(name, "old");
    FailingFiles files(k, true);
    bool done = false;
    try {
      FolderOutput made(folder.path(), policy_of(true, true), files);
      made.write_file("a", "new");
      made.write_file("z", "new");
      made.commit();
      done = true;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kIo);
    }
    EXPECT_EQ(folder.count(), 3u) << k;
    EXPECT_EQ(read_file(folder / "a"), done ? "new" : "old") << k;
    EXPECT_TRUE(fs::exists(folder / (done ? "z" : "b"))) << k;
    EXPECT_EQ(read_file(folder / "thesis"), "old");
    if (!files.failed()) break;
    ++failures;
  }
  EXPECT_GE(failures, 12) << "creation, writing, syncing and every move had their turn";
}

TEST(Error, LongValuesAreCutAndWhatIsSaidOfThemStays) {
  const std::string line = message_of([] { fail_io("file", "cannot open", std::string(100000, 'x'), ENOENT); });
  EXPECT_LT(line.size(), 800u);
  EXPECT_THAT(line, HasSubstr("(No such file or directory)"));
  const std::string hint = message_of([] { fail_invalid("p", std::string(5000, 'r'), "v", std::string(5000, 'h')); });
  EXPECT_LT(hint.size(), 1500u);
}

}  // namespace
}  // namespace dsmoe::base
