// What a started program finds: its priority, its session, how it ended.
#include "base/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/error.h"
#include "base/test_files.h"

namespace dsmoe::base {
namespace {

struct Found {
  int niceness = 0, session = 0, process = 0;
  std::string autogroup;  ///< "/autogroup-70 nice 19"; empty where the system has none
};

// What a shell says of itself, from /proc/PID/stat: field 6 is the session, field 19 the niceness.
Found started_with(int niceness) {
  const TestFolder folder;
  const fs::path log = folder / "log";
  ChildProcess child({"/bin/sh", "-c",
                      "cut -d' ' -f19 /proc/$$/stat; cut -d' ' -f6 /proc/$$/stat; echo $$; "
                      "cat /proc/$$/autogroup 2>/dev/null; exit 7"},
                     {log, niceness, SIGTERM});
  EXPECT_EQ(child.wait(), 7);
  std::istringstream text(read_file(log, 1 << 16));
  Found found;
  text >> found.niceness >> found.session >> found.process >> std::ws;
  std::getline(text, found.autogroup);
  return found;
}

// Whether the niceness of a session can be set here: not without autogroups, nor where /proc may only be read.
bool sessions_have_niceness() {
  std::string name, word, niceness;
  if (!(std::ifstream("/proc/self/autogroup") >> name >> word >> niceness)) return false;
  std::ofstream own("/proc/self/autogroup");
  own << niceness << std::flush;  // what it is already
  // The system takes one such change in a tenth of a second from anybody but root.
  if (own && ::geteuid() != 0) ::usleep(200'000);
  return static_cast<bool>(own);
}

TEST(ChildProcess, ANicerOneGivesWayInASessionOfItsOwn) {
  const int wanted = std::min(19, ::getpriority(PRIO_PROCESS, 0) + 7);
  const bool sessions = sessions_have_niceness();
  const Found found = started_with(7);
  EXPECT_EQ(found.niceness, wanted);
  EXPECT_EQ(found.session, found.process) << "a niceness counts within a session only";
  if (!sessions) GTEST_SKIP() << "this system has no niceness of sessions";
  EXPECT_THAT(found.autogroup, testing::EndsWith(" nice " + std::to_string(wanted)));
}

TEST(ChildProcess, AnEqualOneStaysInThisSession) {
  const Found found = started_with(0);
  EXPECT_EQ(found.niceness, ::getpriority(PRIO_PROCESS, 0));
  EXPECT_NE(found.session, found.process);
}

TEST(ChildProcess, AProgramThatIsNotThereIsNamed) {
  const TestFolder folder;
  EXPECT_THROW(ChildProcess({"/no/such/program"}, {folder / "log", 0, SIGTERM}), Error);
}

TEST(ChildProcess, HasVariablesAndStandardErrorOfItsOwn) {
  const TestFolder folder;
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  ::setenv("DSMOE_TEST_KEPT", "kept", 1);
  ::setenv("DSMOE_TEST_SAID", "before", 1);
  ChildProcess child({"/bin/sh", "-c", "echo $DSMOE_TEST_KEPT $DSMOE_TEST_SAID $(cut -d' ' -f5 /proc/$$/stat) $$ >&2"},
                     {.environment = {"DSMOE_TEST_SAID=now"}, .error = pipe[1], .own_group = true});
  EXPECT_EQ(child.wait(), 0);
  ::close(pipe[1]);
  char text[128] = {};
  EXPECT_GT(::read(pipe[0], text, sizeof text - 1), 0);
  ::close(pipe[0]);
  std::istringstream words(text);
  std::string kept, said, group, process;
  words >> kept >> said >> group >> process;
  EXPECT_EQ(kept, "kept");
  EXPECT_EQ(said, "now");
  EXPECT_EQ(group, process) << "it leads a group";
}

}  // namespace
}  // namespace dsmoe::base
