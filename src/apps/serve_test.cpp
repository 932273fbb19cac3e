// dsmoe serve: what is refused before a model is opened or a port taken.
#include <gmock/gmock.h>

#include "apps/testing.h"
#include "base/test_files.h"

namespace dsmoe::apps {
namespace {

using ::testing::HasSubstr;

TEST(Serve, IsRefusedBeforeAnythingIsOpened) {
  const base::TestFolder folder;
  const auto keys = folder.write("keys", "secret-key\n");
  base::fs::permissions(keys, base::fs::perms::group_read | base::fs::perms::owner_read);
  const Outcome open_key = run({"serve", "-m", "none", "--api-key-file", keys});
  EXPECT_EQ(open_key.exit_code, 3);
  EXPECT_THAT(open_key.err, HasSubstr("only its owner may have access to it: "));
  EXPECT_THAT(open_key.err, ::testing::Not(HasSubstr("secret-key")));
  EXPECT_EQ(run({"serve", "-m", "none", "--api-key-file", folder / "nothing"}).exit_code, 4);
  for (const auto& words : std::vector<std::vector<std::string>>{{"--port", "65536"},
                                                                 {"-np", "0"},
                                                                 {"-np=x"},
                                                                 {"--parallel", "257"},
                                                                 {"-c", "-1"},
                                                                 {"--cache-memory", "nan"},
                                                                 {"--cache-memory", "-1"},
                                                                 {"--chat-format", "none-such"}}) {
    std::vector<std::string> all = {"serve", "-m", "none"};
    all.insert(all.end(), words.begin(), words.end());
    EXPECT_EQ(run(all).exit_code, 2) << words[0];
  }
  EXPECT_THAT(run({"serve", "-m", "none", "-np", "0"}).err, HasSubstr("from 1 to 256"));
  EXPECT_THAT(run({"bench", "-m", "none", "-np", "0"}).err, HasSubstr("unknown option")) << "it has no such name";
}

}  // namespace
}  // namespace dsmoe::apps
