// Records: keys, whole lines, what a resumed run keeps, what a full disk does.
#include "train/records.h"

#include <gtest/gtest.h>

#include <sstream>

#include "base/error.h"
#include "base/test_files.h"

namespace dsmoe::train {
namespace {

namespace fs = base::fs;

class RecordsTest : public ::testing::Test {
 protected:
  std::vector<base::Json> lines() const {
    std::vector<base::Json> all;
    std::istringstream text(base::read_file(folder_ / "metrics.jsonl"));
    for (std::string line; std::getline(text, line);) all.push_back(base::parse_json(line, "line"));
    return all;
  }
  base::TestFolder folder_;
};

StepRecord step_record(int64_t step) {
  StepRecord record;
  record.step = step;
  record.tokens = step * 64;
  record.loss = 1.0 / 3;
  record.layers = {{1, {3, 1, 0, 4}, 2}, {2, {2, 2, 2, 2}, 1}};
  return record;
}

TEST_F(RecordsTest, StepHasThePromisedKeys) {
  RunRecords records(folder_.path(), 0, 0);
  records.add(step_record(1));
  const base::Json line = lines().at(0);
  for (const char* key : {"step", "tokens", "loss", "balance_loss", "lr", "grad_norm", "tokens_per_s", "max_vio"}) {
    EXPECT_TRUE(line.contains(key)) << key;
  }
  EXPECT_EQ(line["loss"].get<double>(), 1.0 / 3) << "every bit survives the text";
  EXPECT_DOUBLE_EQ(line["max_vio"].get<double>(), 0.5) << "mean of 4/2 - 1 and 0";
  EXPECT_EQ(line["dropped"], 3);
  EXPECT_DOUBLE_EQ(line["layers"][0]["least_load"].get<double>(), 0.0);
  EXPECT_FALSE(fs::exists(folder_ / "tensorboard"));
}

TEST_F(RecordsTest, LoadOfNothingIsZero) {
  EXPECT_EQ((LayerLoad{0, {0, 0}, 0}).max_vio(), 0);
  EXPECT_EQ((LayerLoad{0, {}, 0}).max_vio(), 0);
  EXPECT_EQ(StepRecord{}.max_vio(), 0);
}

TEST_F(RecordsTest, ResumingDropsLaterStepsAndATornLine) {
  {
    RunRecords records(folder_.path(), 0, 1);
    for (int64_t step = 1; step <= 5; ++step) records.add(step_record(step));
    ValidationRecord validation;
    validation.step = 3;
    validation.domains = {{"code", 1.5, 2.5, 10, 20}};
    records.add(validation);
  }
  const std::string whole = base::read_file(folder_ / "metrics.jsonl");
  base::write_file(folder_ / "metrics.jsonl", whole + R"({"type":"step","st)");
  RunRecords records(folder_.path(), 3, 1);
  records.add(step_record(4));
  std::vector<int64_t> steps;
  for (const base::Json& line : lines()) steps.push_back(line["step"].get<int64_t>());
  EXPECT_EQ(steps, (std::vector<int64_t>{1, 2, 3, 3, 4}));
  EXPECT_EQ(lines()[3]["domains"]["code"]["bits_per_byte"], 2.5);
  EXPECT_FALSE(fs::is_empty(folder_ / "tensorboard"));
}

TEST_F(RecordsTest, KnowsWhatTheStepItGoesOnAfterHolds) {
  ValidationRecord validation;
  validation.step = 3;
  {
    RunRecords records(folder_.path(), 0, 0);
    for (int64_t step = 1; step <= 3; ++step) records.add(step_record(step));
    EXPECT_FALSE(records.held("step")) << "nothing was there when it began";
  }
  {
    RunRecords records(folder_.path(), 3, 0);
    EXPECT_TRUE(records.held("step"));
    EXPECT_FALSE(records.held("validation"));
    records.add(validation);
  }
  EXPECT_TRUE(RunRecords(folder_.path(), 3, 0).held("validation"));
  EXPECT_FALSE(RunRecords(folder_.path(), 2, 0).held("validation")) << "of a later step";
  EXPECT_EQ(lines().size(), 2U);
}

TEST_F(RecordsTest, StartingAnewForgetsAll) {
  { RunRecords(folder_.path(), 0, 0).add(step_record(1)); }
  RunRecords records(folder_.path(), 0, 0);
  EXPECT_TRUE(lines().empty());
}

class FullDisk : public base::FileSystem {
 public:
  bool full = false;
  void write(int fd, const fs::path& path, std::span<const std::byte> bytes) override {
    if (full) base::fail_io("test", "injected", path.string(), ENOSPC);
    base::FileSystem::write(fd, path, bytes);
  }
};

TEST_F(RecordsTest, AFullDiskDelaysRecordsAndIsToldOnce) {
  FullDisk disk;
  RunRecords records(folder_.path(), 0, 1, disk);
  records.add(step_record(1));
  EXPECT_FALSE(records.take_alarm());
  disk.full = true;
  records.add(step_record(2));
  records.add(step_record(3));
  const auto alarm = records.take_alarm();
  ASSERT_TRUE(alarm);
  EXPECT_EQ(alarm->alarm, "records_waiting");
  EXPECT_EQ(alarm->step, 3);
  EXPECT_FALSE(records.take_alarm());
  EXPECT_THROW(records.sync(), base::Error) << "a checkpoint must not be newer than its records";
  EXPECT_EQ(lines().size(), 1U);
  disk.full = false;
  records.sync();
  EXPECT_EQ(lines().size(), 3U);
}

}  // namespace
}  // namespace dsmoe::train
