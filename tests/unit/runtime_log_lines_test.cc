// Lines of the log are written by a thread of their own; a reader that stands still costs lines and no more.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>

#include "runtime/log_lines.h"
#include "runtime/transport/socket.h"

namespace assent::test {
namespace {

using namespace std::chrono_literals;

// A pipe that nobody reads from, until the test does.
struct Reader {
  Reader() {
    int ends[2] = {-1, -1};
    EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
    from = OwnedFd(ends[0]);
    to = OwnedFd(ends[1]);
  }
  // `text`, which was read before, and what follows until a line contains `last`.
  std::string ReadTo(const std::string& last, std::string text = {}) {
    while (text.find(last) == std::string::npos) {
      char piece[4096];
      const ssize_t got = read(from.get(), piece, sizeof(piece));
      if (got <= 0) break;
      text.append(piece, static_cast<size_t>(got));
    }
    return text;
  }
  OwnedFd from, to;
};

TEST(LogLines, AreWrittenInOrder) {
  Reader reader;
  LogLines lines(reader.to.get());
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    lines.Add("line " + std::to_string(i) + "\n");
    expected += "line " + std::to_string(i) + "\n";
  }
  EXPECT_TRUE(lines.Flush(1min));
  EXPECT_EQ(reader.ReadTo("line 99\n"), expected);
  EXPECT_EQ(lines.lost(), 0U);
}

// The pipe is full and nobody reads: whoever logs goes on.
TEST(LogLines, ReaderThatStandsStillCostsLinesOnly) {
  Reader reader;
  LogLines lines(reader.to.get(), /*bytes_max=*/100'000);
  const std::string line(999, 'x');
  for (int i = 0; i < 1'000; ++i) lines.Add(line + "\n");  // a pipe holds 64 KiB
  EXPECT_GT(lines.lost(), 0U);
  EXPECT_FALSE(lines.Flush(1ms));
  const uint64_t lost = lines.lost();

  // The thread may have taken lines between two of the adds, and tells then of those lost until that point.
  uint64_t told = 0;
  for (std::string text; told < lost;) {
    text = reader.ReadTo(" log lines are lost here", std::move(text));
    const size_t end = text.find(" log lines are lost here");
    ASSERT_NE(end, std::string::npos) << "told of " << told << " of " << lost;
    told += std::stoull(text.substr(text.rfind('\n', end) + 1));
    text.erase(0, end + 1);
  }
  EXPECT_EQ(told, lost);
  lines.Add("and on\n");
  EXPECT_NE(reader.ReadTo("and on\n").find("and on\n"), std::string::npos);
}

TEST(LogLines, EndDoesNotWaitForTheReader) {
  Reader reader;
  LogLines lines(reader.to.get());
  for (int i = 0; i < 1'000; ++i) lines.Add(std::string(999, 'x') + "\n");
}

TEST(LogLines, DescriptorThatCannotBeWrittenToCostsLinesOnly) {
  OwnedFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  LogLines lines(fd.get());
  lines.Add("one\n");
  EXPECT_TRUE(lines.Flush(1min));
  EXPECT_EQ(lines.lost(), 1U);
  lines.Add("two\n");
  EXPECT_TRUE(lines.Flush(1min));
  EXPECT_EQ(lines.lost(), 2U);
}

}  // namespace
}  // namespace assent::test
