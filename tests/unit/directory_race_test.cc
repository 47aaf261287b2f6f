// R3: threads and processes that propose views at once; one wins each epoch.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <thread>
#include <vector>

#include "directory/durable_files.h"
#include "directory/embedded.h"
#include "temp_directory.h"

namespace assent {
namespace {

constexpr GroupId kGroup{GroupKind::kShard, 1};

// Proposers are told apart by their life.
View MakeView(uint64_t epoch, uint64_t life) {
  View view;
  view.group = kGroup;
  view.epoch = Epoch{epoch};
  view.primary = NodeId{1};
  view.primary_life = life;
  view.members = {{NodeId{1}, Incarnation{11}}};
  return view;
}

std::unique_ptr<EmbeddedDirectory> MustOpen(const std::string& path, uint64_t fresh) {
  auto opened = EmbeddedDirectory::Open({path, "cluster", DirectoryIncarnation{fresh}});
  EXPECT_TRUE(opened.ok()) << opened.status().ToString();
  return opened.ok() ? std::move(*opened) : nullptr;
}

// Proposes the next epoch over and over until `last` has been reached. Returns the epochs won.
std::vector<uint64_t> Race(EmbeddedDirectory& directory, uint64_t life, uint64_t last) {
  std::vector<uint64_t> won;
  uint64_t current = 0;
  while (current < last) {
    const CasResult result = directory.CompareAndSwap(MakeView(current + 1, life));
    if (result.outcome == CasOutcome::kWon) {
      ++current;
      won.push_back(current);
    } else if (result.outcome == CasOutcome::kLost) {
      current = result.current ? Raw(result.current->epoch) : 0;
    } else {
      return {};
    }
  }
  return won;
}

TEST(DirectoryRace, OneThreadWinsEachEpoch) {  // R3, R12
  const TempDirectory temp;
  constexpr uint64_t kEpochs = 60;  // old views are pruned meanwhile
  std::vector<std::vector<uint64_t>> won(8);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < won.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto directory = MustOpen(temp / "directory", i + 1);  // its creation is raced for, too
      if (directory != nullptr) won[i] = Race(*directory, i + 1, kEpochs);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::map<uint64_t, size_t> winner;
  for (size_t i = 0; i < won.size(); ++i) {
    for (const uint64_t epoch : won[i])
      EXPECT_TRUE(winner.emplace(epoch, i).second) << "two won epoch " << epoch;
  }
  EXPECT_EQ(winner.size(), kEpochs);
  const auto view = MustOpen(temp / "directory", 99)->Read(kGroup)->view;
  ASSERT_TRUE(view);
  EXPECT_EQ(view->primary_life, winner[kEpochs] + 1);
}

// Each process writes what it won to a pipe, so that what it was told is known even if it is killed.
TEST(DirectoryRace,
     OneProcessWinsEachEpochThoughSomeAreKilled) {  // R12: a killed or stopped one holds up nobody
  const TempDirectory temp;
  constexpr uint64_t kEpochs = 60;
  constexpr uint64_t kProcesses = 6;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::vector<pid_t> children;
  for (uint64_t life = 1; life <= kProcesses; ++life) {
    const pid_t child = ::fork();
    if (child == 0) {
      const auto directory = MustOpen(temp / "directory", life);
      uint64_t current = 0;
      while (current < kEpochs) {
        const CasResult result = directory->CompareAndSwap(MakeView(current + 1, life));
        if (result.outcome == CasOutcome::kUnknown) ::_exit(1);
        if (result.outcome == CasOutcome::kLost) {
          current = result.current ? Raw(result.current->epoch) : 0;
          continue;
        }
        ++current;
        const uint64_t news[2] = {current, life};
        if (::write(ends[1], news, sizeof news) != sizeof news) ::_exit(1);
      }
      ::_exit(0);
    }
    children.push_back(child);
  }
  ::close(ends[1]);
  std::map<uint64_t, uint64_t> winner;
  uint64_t news[2];
  while (::read(ends[0], news, sizeof news) == sizeof news) {
    EXPECT_TRUE(winner.emplace(news[0], news[1]).second) << "two won epoch " << news[0];
    if (news[0] == 10) ::kill(children[0], SIGKILL);
    if (news[0] == 20) ::kill(children[1], SIGSTOP);
    if (news[0] == kEpochs) ::kill(children[1], SIGKILL);  // it was stopped all the while
  }
  ::close(ends[0]);
  for (const pid_t child : children) {
    int how = 0;
    ASSERT_EQ(::waitpid(child, &how, 0), child);
    if (child != children[0] && child != children[1]) {
      EXPECT_EQ(how, 0);
    }
  }
  // A killed one may have won without saying so, once; the stopped one too.
  EXPECT_GE(winner.size(), kEpochs - 2);
  const auto directory = MustOpen(temp / "directory", 99);
  EXPECT_EQ(directory->Read(kGroup)->view->epoch, Epoch{kEpochs});
  const auto names = ListDirectory(temp / "directory/groups/s1");
  ASSERT_TRUE(names.ok());
  for (const std::string& name : *names) EXPECT_FALSE(IsTemporary(name)) << name;
}

}  // namespace
}  // namespace assent
