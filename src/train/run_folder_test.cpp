// Output folders: locks, leftovers, finding the newest whole checkpoint, retention.
#include "train/run_folder.h"

#include <gtest/gtest.h>

#include "base/write_target.h"
#include "formats/manifest.h"
#include "train/test_support.h"

namespace dsmoe::train {
namespace {

namespace fs = base::fs;
using testing::error_of;
using testing::overwrite;

void make_checkpoint(const RunFolder& folder, int64_t step) {
  base::FolderWriter writer(folder.checkpoint_path(step), base::unsynced_files);
  writer.write_file("weights", "of step " + std::to_string(step));
  formats::write_manifest(writer.path(), {{"step", step}}, base::unsynced_files);
  writer.commit();
}

std::vector<int64_t> steps_of(const RunFolder& folder) {
  std::vector<int64_t> steps;
  for (const CheckpointPlace& place : folder.checkpoints()) steps.push_back(place.step);
  return steps;
}

TEST(RunFolder, OnlyOneTrainsInIt) {
  const base::TestFolder temp("lock");
  const RunFolder first(temp.path() / "run");
  const base::Error error = error_of([&] { RunFolder second(temp.path() / "run"); });
  EXPECT_EQ(error.kind(), base::ErrorKind::kIo);
  EXPECT_NE(std::string(error.what()).find("another process"), std::string::npos);
}

constexpr const char* kTag = "123-0123456789ab";

TEST(RunFolder, LeftoversOfTheProcessThatDiedGoAndNobodyElses) {
  const base::TestFolder temp("leftovers");
  const std::string tag = kTag;
  overwrite(temp.path() / ".lock", "dsmoe train " + tag);
  fs::create_directories(temp.path() / (".step-00000004.tmp-" + tag + "-7") / "deep");
  overwrite(temp.path() / (".run.toml.tmp-" + tag + "-8"), "x");
  const std::vector<std::string> others = {".keep", ".thesis.tmp-1", ".step-00000002.tmp-124-0123456789ab-1",
                                           "run.toml.tmp-" + tag};
  for (const std::string& name : others) overwrite(temp.path() / name, "somebody's own");
  {
    const RunFolder folder(temp.path(), base::unsynced_files);
    EXPECT_FALSE(folder.in_use());
    EXPECT_EQ(temp.count(), others.size() + 1);
    for (const std::string& name : others) EXPECT_TRUE(fs::exists(temp.path() / name)) << name;
    EXPECT_EQ(base::read_file(temp.path() / ".lock"), "dsmoe train " + base::process_tag());
  }
  // What the process at hand leaves would be known by the same sign.
  const fs::path made = base::working_name(temp.path() / "metrics.jsonl");
  EXPECT_NE(made.string().find(".metrics.jsonl.tmp-" + base::process_tag()), std::string::npos);
  overwrite(made, "x");
  const RunFolder again(temp.path(), base::unsynced_files);
  EXPECT_FALSE(fs::exists(made));
}

TEST(RunFolder, ALockWithSomebodysTextIsLeftAsItIs) {
  const base::TestFolder temp("lock_text");
  overwrite(temp.path() / ".lock", "my own");
  overwrite(temp.path() / ".a.tmp-my own", "x");
  const RunFolder folder(temp.path(), base::unsynced_files);
  EXPECT_EQ(base::read_file(temp.path() / ".lock"), "my own");
  EXPECT_EQ(temp.count(), 2U);
}

TEST(RunFolder, FilesThatNoRunMadeAreNotWrittenOver) {
  for (const char* name : {"run.toml", "metrics.jsonl", "latest", "report.html", "tensorboard"}) {
    const base::TestFolder temp("strangers");
    overwrite(temp.path() / name, "precious");
    const base::Error error = error_of([&] { RunFolder folder(temp.path(), base::unsynced_files); });
    EXPECT_EQ(error.exit_code(), 4);
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos);
    EXPECT_EQ(base::read_file(temp.path() / name), "precious");
    EXPECT_EQ(temp.count(), 1U) << "no lock either";
  }
  const base::TestFolder temp("copied");  // a run's folder copied without its hidden files
  overwrite(temp.path() / "run.toml", "of the run");
  fs::create_directory(temp.path() / "step-00000002");
  EXPECT_TRUE(RunFolder(temp.path(), base::unsynced_files).in_use());
}

TEST(RunFolder, ARunThatNeverBeganLeavesNothing) {
  const base::TestFolder temp("unused");
  { const RunFolder folder(temp.path() / "run", base::unsynced_files); }
  EXPECT_EQ(temp.count(), 0U);
  { const RunFolder folder(temp.path() / "a/b/run", base::unsynced_files); }
  EXPECT_EQ(temp.count(), 0U) << "nor the folders on the way";
  {
    const RunFolder folder(temp.path() / "a/b/run", base::unsynced_files);
    overwrite(temp.path() / "a" / "somebodys", "x");
  }
  EXPECT_EQ(base::fs::remove_all(temp.path() / "a"), 2U) << "what somebody has put something into stays";
  overwrite(temp.path() / "notes", "x");
  { const RunFolder folder(temp.path(), base::unsynced_files); }
  EXPECT_EQ(temp.count(), 1U);
  {
    const RunFolder folder(temp.path() / "run", base::unsynced_files);
    overwrite(temp.path() / "run" / "run.toml", "x");
  }
  EXPECT_TRUE(fs::exists(temp.path() / "run" / ".lock"));
}

TEST(RunFolder, NamesThatAreNoCheckpointsAreLeftAlone) {
  const base::TestFolder temp("names");
  for (const char* name : {"step-1", "step-0000000x", "step-00000001-copy", "aside-step-00000001", "steps"}) {
    fs::create_directories(temp.path() / name);
  }
  overwrite(temp.path() / "step-00000002", "a file");
  RunFolder folder(temp.path(), base::unsynced_files);
  EXPECT_TRUE(steps_of(folder).empty());
  make_checkpoint(folder, 123456789);
  EXPECT_EQ(steps_of(folder), (std::vector<int64_t>{123456789})) << "more digits than eight are fine";
  EXPECT_NO_THROW(folder.require_checkpoint_names()) << "what holds no checkpoint may be called anything";
}

TEST(RunFolder, ACheckpointUnderAnotherNameIsNamed) {
  const base::TestFolder temp("renamed");
  RunFolder folder(temp.path(), base::unsynced_files);
  make_checkpoint(folder, 10);
  EXPECT_NO_THROW(folder.require_checkpoint_names());
  for (const char* name : {"step-10", "step-0000000010", "step-00000010-copy", "step-00000010.bak", "step-ten"}) {
    fs::rename(folder.checkpoint_path(10), temp.path() / name);
    EXPECT_EQ(step_of_name(temp.path() / name), -1);
    const base::Error error = error_of([&] { folder.require_checkpoint_names(); });
    EXPECT_EQ(error.exit_code(), 3);
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    fs::rename(temp.path() / name, folder.checkpoint_path(10));
  }
}

TEST(RunFolder, DamagedCheckpointsArePassedOverAndNamed) {
  const base::TestFolder temp("damaged");
  const RunFolder folder(temp.path(), base::unsynced_files);
  EXPECT_FALSE(folder.find_newest().newest);
  for (const int64_t step : {2, 4, 6}) make_checkpoint(folder, step);
  EXPECT_EQ(folder.find_newest().newest->step, 6);
  overwrite(folder.checkpoint_path(6) / "weights", "of step 7");
  const CheckpointSearch search = folder.find_newest();
  EXPECT_EQ(search.newest->step, 4);
  ASSERT_EQ(search.damaged.size(), 1U);
  EXPECT_NE(search.damaged[0].find("step-00000006"), std::string::npos);
  fs::remove(folder.checkpoint_path(4) / "manifest.json");
  fs::remove(folder.checkpoint_path(2) / "weights");
  const base::Error error = error_of([&] { folder.find_newest(); });
  EXPECT_EQ(error.exit_code(), 5);
}

TEST(RunFolder, RetentionKeepsTheNewestAndNeverTheDeadOnly) {
  const base::TestFolder temp("retention");
  RunFolder folder(temp.path(), base::unsynced_files);
  for (const int64_t step : {2, 4, 6, 8}) {
    make_checkpoint(folder, step);
    folder.publish(step, 2);
  }
  EXPECT_EQ(steps_of(folder), (std::vector<int64_t>{6, 8}));
  EXPECT_EQ(fs::read_symlink(temp.path() / "latest"), "step-00000008");
  folder.publish(8, 1);
  EXPECT_EQ(steps_of(folder), (std::vector<int64_t>{8}));
  // whatever lies above the published step is not the publisher's to remove, nor is the published one
  make_checkpoint(folder, 9);
  make_checkpoint(folder, 10);
  folder.publish(8, 1);
  EXPECT_EQ(steps_of(folder), (std::vector<int64_t>{8, 9, 10}));
}

TEST(RunFolder, ACheckpointUnderAnothersNameIsNotTheRunsToRemove) {
  const base::TestFolder temp("another");
  RunFolder folder(temp.path(), base::unsynced_files);
  for (const int64_t step : {2, 4}) make_checkpoint(folder, step);
  fs::rename(folder.checkpoint_path(4), folder.checkpoint_path(3));
  for (const int64_t step : {6, 8}) make_checkpoint(folder, step);
  folder.publish(8, 1);
  EXPECT_EQ(steps_of(folder), (std::vector<int64_t>{3, 8}));
}

TEST(RunFolder, WhatIsNewerIsSetAsideNotRemoved) {
  const base::TestFolder temp("aside");
  RunFolder folder(temp.path(), base::unsynced_files);
  for (const int64_t step : {2, 4, 6}) make_checkpoint(folder, step);
  EXPECT_EQ(folder.set_aside_after(2).size(), 2U);
  EXPECT_EQ(steps_of(folder), (std::vector<int64_t>{2}));
  make_checkpoint(folder, 4);
  folder.set_aside_after(2);
  EXPECT_TRUE(fs::exists(temp.path() / "aside-step-00000004"));
  EXPECT_TRUE(fs::exists(temp.path() / "aside-step-00000004-2"));
  EXPECT_TRUE(folder.set_aside_after(2).empty());
}

// The k-th call on the disk fails, for every k: whatever happens, a whole checkpoint can be found.
class FailingFiles : public base::FileSystem {
 public:
  explicit FailingFiles(int fail_at) : left_(fail_at) {}
  bool failed() const { return left_ <= 0; }
  void rename(const fs::path& from, const fs::path& to) override {
    tick(to);
    base::FileSystem::rename(from, to);
  }
  void remove_all(const fs::path& path) override {
    tick(path);
    base::FileSystem::remove_all(path);
  }
  void sync_directory(const fs::path& path) override { tick(path); }
  void create_symlink(const fs::path& target, const fs::path& link) override {
    tick(link);
    base::FileSystem::create_symlink(target, link);
  }

 private:
  void tick(const fs::path& path) {
    if (--left_ == 0) base::fail_io("test", "injected", path.string(), ENOSPC);
  }
  int left_;
};

TEST(RunFolder, RetentionSurvivesEveryFailingCall) {
  int failures = 0;
  for (int k = 1;; ++k) {
    const base::TestFolder temp("retention_faults");
    FailingFiles files(k);
    {
      RunFolder whole(temp.path(), base::unsynced_files);
      for (const int64_t step : {2, 4, 6, 8}) make_checkpoint(whole, step);
    }
    RunFolder folder(temp.path(), files);
    const base::Error error = error_of([&] { folder.publish(8, 2); });
    EXPECT_EQ(folder.find_newest().newest->step, 8);
    for (const CheckpointPlace& place : folder.checkpoints()) EXPECT_NO_THROW(formats::verify_manifest(place.path));
    if (!files.failed()) break;
    EXPECT_EQ(error.exit_code(), 4);
    ++failures;
  }
  EXPECT_GE(failures, 7) << "link, rename and removal all had their turn";
}

}  // namespace
}  // namespace dsmoe::train
