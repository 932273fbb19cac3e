#include "formats/checkpoint_folders.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/test_files.h"

namespace dsmoe::formats {
namespace {

class CheckpointFolders : public ::testing::Test {
 protected:
  void model(const std::string& name) {
    base::fs::create_directories(folder_ / name);
    folder_.write(name + "/config.json", "{}");
  }
  std::string newest(const std::string& name) const { return newest_model(folder_ / name).string(); }
  base::TestFolder folder_;
};

TEST_F(CheckpointFolders, OfARunTheNewestModelIsMeant) {
  for (const char* step : {"run/step-00000100", "run/step-00000200", "run/aside-step-00000900"}) model(step);
  base::fs::create_directories(folder_ / "run/step-00000300");  // no model: nothing that can be opened
  EXPECT_EQ(newest("run"), std::string(folder_ / "run/step-00000200"));
  EXPECT_EQ(newest("run/"), std::string(folder_ / "run/step-00000200"));
  // By number, not by spelling.
  for (const char* step : {"copies/step-9", "copies/step-10"}) model(step);
  EXPECT_EQ(newest("copies"), std::string(folder_ / "copies/step-10"));
}

TEST_F(CheckpointFolders, EverythingElseIsItself) {
  model("model");
  model("model/step-00000100");  // a model that holds something of this name is still the model
  folder_.write("file.gguf", "x");
  base::fs::create_directories(folder_ / "empty");
  for (const char* name : {"model", "model/step-00000100", "file.gguf", "empty", "nowhere"}) {
    EXPECT_EQ(newest(name), std::string(folder_ / name));
  }
  EXPECT_EQ(newest_model(""), "");
  EXPECT_THROW(checkpoint_folders(folder_ / "nowhere"), base::Error);
}

TEST(ModelName, OfACheckpointIsTheRunsFirst) {
  for (const char* path : {"/a/first", "/a/first/", "/a/b/../first/.", "/first"}) EXPECT_EQ(model_name(path), "first");
  EXPECT_EQ(model_name("/a/m.q4_0.gguf"), "m.q4_0.gguf");
  EXPECT_EQ(model_name("/a/first/step-00001000"), "first/step-00001000");
  EXPECT_EQ(model_name("/a/first/latest/"), "first/latest");
  EXPECT_EQ(model_name("/a/step-by-step"), "step-by-step");
  EXPECT_EQ(model_name("/step-1"), "step-1");
}

}  // namespace
}  // namespace dsmoe::formats
