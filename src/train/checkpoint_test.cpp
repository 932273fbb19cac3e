// Checkpoints: what is written comes back, every failing disk call is survived, every flipped bit is noticed.
#include "train/checkpoint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "formats/manifest.h"
#include "train/run_folder.h"
#include "train/test_support.h"
#include "train/trainer.h"

namespace dsmoe::train {
namespace {

using namespace testing;

/// A trainer that has done two steps.
class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest()
      : temp_("checkpoint"),
        config_((make_corpus(temp_.path() / "corpus"), tiny_run(temp_.path() / "corpus", temp_.path() / "run"))),
        data_(open_corpus(config_, {})),
        trainer_(config_.config, *data_.batches, {}, {}) {
    trainer_.step();
    trainer_.step();
    state_.step = 2;
    state_.tokens = trainer_.tokens();
    state_.seed = config_.config.train.seed;
    state_.data_hash = data_.hash;
  }
  void write(const fs::path& path, base::FileSystem& files = base::unsynced_files) {
    write_checkpoint(path, {trainer_.model(), trainer_.optimizer(), state_, config_, corpus()}, files,
                     base::serial_for);
  }
  fs::path corpus() const { return temp_.path() / "corpus"; }

  base::TestFolder temp_;
  spec::ResolvedConfig config_;
  RunData data_;
  Trainer trainer_;
  TrainerState state_;
};

TEST_F(CheckpointTest, WhatIsWrittenComesBackBitForBit) {
  write(temp_.path() / "a");
  const CheckpointInfo info = open_checkpoint(temp_.path() / "a");
  EXPECT_EQ(info.state.to_json(), state_.to_json());
  EXPECT_EQ(info.config, config_.config);
  Trainer other(config_.config, *data_.batches, {}, {});
  load_checkpoint(info, other.model(), other.optimizer());
  other.go_to(2);
  for (size_t i = 0; i < other.optimizer().parameters().size(); ++i) {
    EXPECT_TRUE(torch::equal(other.optimizer().parameters()[i].value, trainer_.optimizer().parameters()[i].value));
    EXPECT_TRUE(torch::equal(other.optimizer().first_moment(i), trainer_.optimizer().first_moment(i)));
    EXPECT_TRUE(torch::equal(other.optimizer().second_moment(i), trainer_.optimizer().second_moment(i)));
  }
  EXPECT_EQ(other.optimizer().updates(), 2);
  const StepRecord a = trainer_.step(), b = other.step();
  EXPECT_EQ(a.loss, b.loss);
  EXPECT_EQ(a.grad_norm, b.grad_norm);
}

// Fails the k-th call; with `forever`, all later ones too. A failing write leaves half of its bytes behind.
class FailingFiles : public base::UnsyncedFiles {
 public:
  FailingFiles(int fail_at, bool forever) : fail_at_(fail_at), forever_(forever) {}
  bool failed() const { return count_ >= fail_at_; }
  int create(const fs::path& path) override {
    tick(path);
    return base::FileSystem::create(path);
  }
  void write(int fd, const fs::path& path, std::span<const std::byte> bytes) override {
    if (count_ + 1 == fail_at_ && bytes.size() > 1) base::FileSystem::write(fd, path, bytes.first(bytes.size() / 2));
    tick(path);
    base::FileSystem::write(fd, path, bytes);
  }
  void sync(int fd, const fs::path& path) override {
    tick(path);
    base::UnsyncedFiles::sync(fd, path);
  }
  void close(int fd, const fs::path& path) override {
    base::FileSystem::close(fd, path);
    tick(path);
  }
  void rename(const fs::path& from, const fs::path& to) override {
    tick(to);
    base::FileSystem::rename(from, to);
  }
  void remove_all(const fs::path& path) override {
    tick(path);
    base::FileSystem::remove_all(path);
  }
  void create_directory(const fs::path& path) override {
    tick(path);
    base::FileSystem::create_directory(path);
  }
  void sync_directory(const fs::path& path) override {
    tick(path);
    base::UnsyncedFiles::sync_directory(path);
  }

 private:
  void tick(const fs::path& path) {
    ++count_;
    if (count_ == fail_at_ || (forever_ && count_ > fail_at_)) base::fail_io("test", "injected", path.string(), ENOSPC);
  }
  int fail_at_, count_ = 0;
  bool forever_;
};

// Promise 7: the k-th call fails, for all k, then the k-th and all later ones.
TEST_F(CheckpointTest, EveryFailingCallLeavesTheOldCheckpointUsable) {
  const fs::path run = temp_.path() / "run";
  { RunFolder folder(run, base::unsynced_files); }
  write(run / "step-00000001");
  for (const bool forever : {false, true}) {
    int failures = 0;
    for (int k = 1;; ++k) {
      FailingFiles files(k, forever);
      std::optional<base::Error> error;
      try {
        write(run / "step-00000002", files);
      } catch (const base::Error& caught) {
        error = caught;
      }
      RunFolder folder(run, base::unsynced_files);  // cleans up, as the next process would
      const CheckpointSearch search = folder.find_newest();
      ASSERT_TRUE(search.newest);
      EXPECT_TRUE(search.damaged.empty()) << "call " << k << ": " << search.damaged[0];
      EXPECT_NO_THROW(open_checkpoint(search.newest->path));
      for (const auto& entry : fs::directory_iterator(run)) {
        EXPECT_EQ(entry.path().filename().string().find(".tmp-"), std::string::npos) << entry.path();
      }
      fs::remove_all(run / "step-00000002");
      if (!files.failed()) {
        EXPECT_FALSE(error);
        break;
      }
      ASSERT_TRUE(error) << "call " << k << " failed and nobody noticed";
      EXPECT_EQ(error->exit_code(), 4);
      ++failures;
    }
    EXPECT_GT(failures, 30);
    RecordProperty(forever ? "failure_points_lasting" : "failure_points", failures);
  }
}

// Promise 5: one flipped bit anywhere, in data, headers, state, configuration or the manifest itself.
TEST_F(CheckpointTest, EveryFlippedBitIsNoticed) {
  const fs::path path = temp_.path() / "step-00000001";
  write(path);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  base::Rng rng(5);
  constexpr int kFlips = 400;
  int noticed = 0;
  for (int i = 0; i < kFlips; ++i) {
    const fs::path& file = files[static_cast<size_t>(i) % files.size()];
    const std::string whole = base::read_file(file);
    std::string flipped = whole;
    const size_t at = rng.below(whole.size());
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << rng.below(8)));
    overwrite(file, flipped);
    try {
      formats::verify_manifest(path);
      ADD_FAILURE() << "byte " << at << " of " << file.filename() << " was flipped and nobody noticed";
    } catch (const base::Error&) {
      ++noticed;
    }
    overwrite(file, whole);
  }
  EXPECT_EQ(noticed, kFlips);
  EXPECT_NO_THROW(formats::verify_manifest(path));
}

TEST_F(CheckpointTest, CutOrMissingFilesAreNoticed) {
  const fs::path path = temp_.path() / "step-00000001";
  write(path);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
  for (const fs::path& file : files) {
    const std::string whole = base::read_file(file);
    overwrite(file, whole.substr(0, whole.size() - 2));  // the last byte may be a line break
    EXPECT_THROW(formats::verify_manifest(path), base::Error) << file;
    fs::remove(file);
    EXPECT_THROW(formats::verify_manifest(path), base::Error) << file;
    overwrite(file, whole);
  }
}

TEST_F(CheckpointTest, AnotherModelsMomentsAreRefused) {
  write(temp_.path() / "a");
  spec::RunConfig wider = config_.config;
  wider.model.moe_intermediate_size *= 2;
  Trainer other(wider, *data_.batches, {}, {});
  EXPECT_THROW(load_checkpoint(open_checkpoint(temp_.path() / "a"), other.model(), other.optimizer()), base::Error);
}

TEST_F(CheckpointTest, StateIsStrict) {
  const base::Json good = state_.to_json();
  EXPECT_NO_THROW(TrainerState::from_json(good, "s"));
  for (const auto& [key, value] : good.items()) {
    base::Json bad = good;
    bad.erase(key);
    EXPECT_THROW(TrainerState::from_json(bad, "s"), base::Error) << key;
    bad[key] = -1;
    EXPECT_THROW(TrainerState::from_json(bad, "s"), base::Error) << key;
  }
}

}  // namespace
}  // namespace dsmoe::train
