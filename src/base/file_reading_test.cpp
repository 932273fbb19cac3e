// Reading: what is no regular file is refused without waiting, and a mapping is known by its addresses.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/file.h"
#include "base/test_files.h"

namespace dsmoe::base {
namespace {

fs::path pipe_in(const TestFolder& folder) {
  const fs::path path = folder / "pipe";
  EXPECT_EQ(::mkfifo(path.c_str(), 0600), 0);
  return path;
}

fs::path socket_in(const TestFolder& folder) {
  const fs::path path = folder / "socket";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.string().copy(address.sun_path, sizeof address.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  return path;
}

TEST(ReadableFile, RefusesAtOnceWhatIsNoRegularFile) {
  const TestFolder folder;
  const struct {
    fs::path path;
    const char* kind;
  } cases[] = {{pipe_in(folder), "is a pipe"},
               {socket_in(folder), "is a socket"},
               {"/dev/zero", "is a device"},
               {folder.path(), "is a folder"}};
  for (const auto& [path, kind] : cases) {
    for (const auto& message : {message_of([&] { read_file(path); }), message_of([&] { MappedFile file(path); })}) {
      EXPECT_NE(message.find("not a regular file"), std::string::npos) << message;
      EXPECT_NE(message.find(kind), std::string::npos) << message;
    }
  }
  EXPECT_EQ(message_of([&] { ReadableFile file(folder / "none", "model"); }).find("[model] cannot open"), 0U);
}

TEST(ReadStream, TakesPipesAndFilesToTheirEnd) {
  const TestFolder folder;
  const fs::path pipe = pipe_in(folder);
  const std::string text(200000, 'x');
  std::thread writer([&] { std::ofstream(pipe) << text; });
  EXPECT_EQ(read_stream(pipe), text);
  writer.join();
  EXPECT_EQ(read_stream(folder.write("file", text)), text);
  EXPECT_NE(message_of([&] { read_stream(folder / "file", 100); }).find("longer than 100 bytes"), std::string::npos);
  EXPECT_NE(message_of([&] { read_stream(folder.path()); }).find("cannot read"), std::string::npos);
}

// Opening a pipe for writing would wait for its reader, and what cannot be cut back would keep half an entry.
TEST(AppendLog, IsOfARegularFileOnly) {
  const TestFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  fs::create_symlink(folder / "pipe", folder / "link");
  const auto refusal = [](const fs::path& path) { return message_of([&] { AppendLog log(path); }); };
  for (const char* name : {"pipe", "link"}) {
    EXPECT_NE(refusal(folder / name).find(std::string(name) + " is a pipe"), std::string::npos)
        << refusal(folder / name);
  }
  EXPECT_NE(refusal("/dev/null").find("/dev/null is a device"), std::string::npos);
  const int reader = ::open((folder / "pipe").c_str(), O_RDONLY | O_NONBLOCK);
  EXPECT_NE(refusal(folder / "pipe").find("is a pipe"), std::string::npos) << "a reader changes nothing";
  ::close(reader);
}

TEST(MappedFile, IsFoundByItsAddresses) {
  const TestFolder folder;
  const fs::path first = folder.write("first", std::string(10000, 'a'));
  const std::byte* inside = nullptr;
  {
    MappedFile file(first);
    const MappedFile other(folder.write("second", "b"));
    inside = file.bytes().data() + 9999;
    EXPECT_EQ(mapped_file_at(inside), first);
    EXPECT_EQ(mapped_file_at(other.bytes().data()), folder / "second");
    EXPECT_EQ(mapped_file_at(&folder), nullptr);
    const MappedFile moved = std::move(file);
    EXPECT_EQ(mapped_file_at(inside), first);
  }
  EXPECT_EQ(mapped_file_at(inside), nullptr) << "unmapped";
}

}  // namespace
}  // namespace dsmoe::base
