// A node's data on a real file system that is really full (ENOSPC): clients get typed errors or UNKNOWN, the
// node says what to do, its groups go on elsewhere, and after space was freed, whether the node is restarted
// or not, every acknowledged commit is there and the replicas are equal.
#include <assent/client.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "cli/audit.h"
#include "tests/e2e/test_cluster.h"

namespace assent::e2e {
namespace {

using std::chrono::steady_clock;

constexpr int kNode = 2;  // primary of s1, backup of c1
constexpr char kSmall[] = "size=32m,mode=755";
constexpr char kLarger[] = "size=256m,mode=755";
constexpr size_t kValueBytes = 100'000;
constexpr int kPutsMax = 600;    // twice what fits
constexpr int kCallMs = 30'000;  // of a call: a takeover is within
constexpr int kUnanswered = 3;   // calls in a row without a commit
constexpr double kSettleSeconds = 120;

// A mount namespace of this process's own: as root, else with a user namespace.
Status OwnMounts() {
  const uid_t user = getuid();
  const gid_t group = getgid();
  if (unshare(CLONE_NEWNS) != 0) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
      return Status(StatusCode::kIo, std::string("unshare: ") + std::strerror(errno));
    }
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
    std::ofstream("/proc/self/gid_map") << "0 " << group << " 1";
    std::cout << "mounts: in a user namespace" << std::endl;
  } else {
    std::cout << "mounts: as root, in a namespace of this process" << std::endl;
  }
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Status(StatusCode::kIo, std::string("mount --make-rprivate: ") + std::strerror(errno));
  }
  return {};
}

class SmallDisk {
 public:
  explicit SmallDisk(std::string path) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
  }
  ~SmallDisk() { umount2(path_.c_str(), MNT_DETACH); }
  Status Mount() {
    if (mount("assent-test", path_.c_str(), "tmpfs", 0, kSmall) == 0) return {};
    return Status(StatusCode::kIo, std::string("mounting a tmpfs: ") + std::strerror(errno));
  }
  bool Enlarge() { return mount("assent-test", path_.c_str(), "tmpfs", MS_REMOUNT, kLarger) == 0; }
  // A file that takes all that is left.
  void Fill() const {
    std::ofstream filler(path_ + "/filler", std::ios::binary);
    const std::string zeros(64 * 1024, '\0');
    while (filler.write(zeros.data(), static_cast<std::streamsize>(zeros.size())).flush()) {
    }
  }
  void RemoveFiller() const { std::filesystem::remove(path_ + "/filler"); }
  uint64_t FreeBytes() const {
    struct statvfs about {};
    return statvfs(path_.c_str(), &about) == 0 ? about.f_bavail * about.f_frsize : UINT64_MAX;
  }

 private:
  const std::string path_;
};

std::string LogOf(const TestCluster& cluster, int node) {
  std::ifstream in(cluster.nodes().LogFile(node));
  return std::string((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
}

// Where it says so, as store or log do; npos if it does not.
size_t WhatToDo(const std::string& text) {
  return std::min(text.find("Free some space, and the replica"), text.find("make room, and this replica"));
}

std::string LastLine(const std::string& text) {
  const size_t end = text.find_last_not_of('\n');
  if (end == std::string::npos) return "";
  const size_t line = text.rfind('\n', end) + 1;
  return text.substr(line, end + 1 - line);
}

// Values of key N, told apart.
std::string ValueOf(int number) {
  std::string value = std::to_string(number) + " ";
  value.resize(kValueBytes, static_cast<char>('a' + number % 26));
  return value;
}

class DiskFull : public testing::Test {
 protected:
  void SetUp() override {
    static const Status own = OwnMounts();  // once a process
    if (!own.ok()) {
      // Nothing smaller stands for a full disk: a limit on file sizes gives EFBIG, another error.
      GTEST_SKIP() << "NOT TESTED: no tmpfs can be mounted here: " << own.ToString();
    }
    cluster_.options().segment_bytes = 4 << 20;
    cluster_.options().checkpoint_bytes = 1 << 20;
    const Status prepared = cluster_.Prepare();  // before the mount point makes the directory "not empty"
    ASSERT_TRUE(prepared.ok()) << prepared.ToString();
    disk_.emplace(cluster_.directory() + "/n" + std::to_string(kNode));
    const Status mounted = disk_->Mount();
    ASSERT_TRUE(mounted.ok()) << mounted.ToString();
    const Status started = cluster_.StartAll();
    ASSERT_TRUE(started.ok()) << started.ToString();
    const Placement placement = cluster_.placement();
    for (int number = 0; keys_.size() < kPutsMax + 100; ++number) {
      std::string key = "full/" + std::to_string(number);
      if (placement.ShardOf(key) == GroupId{GroupKind::kShard, 1}) keys_.push_back(std::move(key));
    }
  }
  void TearDown() override {
    if (disk_) cluster_.nodes().StopAll();
  }

  // Puts `count` values, or until nothing goes on.
  void Put(int count) {
    ClientOptions options;
    options.deadline_ms = kCallMs;
    auto client = Client::Connect(cluster_.addresses(), options);
    ASSERT_TRUE(client.ok()) << client.status().ToString();
    int unanswered = 0;
    for (int i = 0; i < count && unanswered < kUnanswered; ++i) {
      const int number = next_++;
      const CommitResult result =
          client->Execute({op::Put(keys_[static_cast<size_t>(number)], ValueOf(number))});
      if (result.committed()) {
        committed_.push_back(number);
        unanswered = 0;
        continue;
      }
      if (unanswered++ == 0) std::cout << "then: " << Describe(result) << std::endl;
      if (result.outcome == Outcome::kUnknown) unknown_.push_back(number);
      if (result.outcome == Outcome::kAborted) aborted_.push_back(number);
      // Typed: it says that it may be tried later, or that a shard is gone; never that the request was wrong.
      EXPECT_NE(result.refused.code(), StatusCode::kInvalid) << Describe(result);
      EXPECT_FALSE(Describe(result).empty());
    }
    stuck_ = unanswered == kUnanswered;
  }

  void CheckAll(const std::string& what) {
    const auto view = cluster_.View();
    ASSERT_TRUE(view.ok()) << view.status().ToString();
    const auto settled = cli::AwaitNothingInDoubt(*view, kSettleSeconds);
    ASSERT_TRUE(settled.ok()) << settled.status().ToString();
    auto client = Client::Connect(cluster_.addresses());
    ASSERT_TRUE(client.ok()) << client.status().ToString();
    for (const int number : committed_) {
      const auto row = client->Get(keys_[static_cast<size_t>(number)]);
      ASSERT_TRUE(row.ok()) << row.status().ToString();
      ASSERT_TRUE(row->has_value()) << number << " was acknowledged, and is lost";
      EXPECT_EQ((*row)->value, ValueOf(number)) << number;
    }
    for (const int number : aborted_) {
      const auto row = client->Get(keys_[static_cast<size_t>(number)]);
      ASSERT_TRUE(row.ok()) << row.status().ToString();
      EXPECT_FALSE(row->has_value()) << number << " was reported aborted, and is there";
    }
    const Status equal = cli::CompareReplicas(*view, kSettleSeconds);
    EXPECT_TRUE(equal.ok()) << equal.ToString();
    std::cout << what << ": committed " << committed_.size() << ", aborted " << aborted_.size()
              << ", unknown " << unknown_.size() << "; nothing in doubt after " << *settled << " s"
              << std::endl;
  }

  // The node's log, once it is as wanted, or after half a minute.
  std::string AwaitInLog(const std::function<bool(const std::string&)>& is_wanted) const {
    const auto begun = steady_clock::now();
    std::string log = LogOf(cluster_, kNode);
    while (!is_wanted(log) && steady_clock::now() - begun < std::chrono::seconds(30)) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      log = LogOf(cluster_, kNode);
    }
    return log;
  }

  // The node stopped serving, or ended; its log says what to do.
  void CheckMessage() {
    const std::string log =
        AwaitInLog([](const std::string& text) { return WhatToDo(text) != std::string::npos; });
    const size_t said = WhatToDo(log);
    ASSERT_NE(said, std::string::npos) << "n2 does not say what to do:\n" << log;
    const size_t line = log.rfind('\n', said) + 1;
    std::cout << "n2 says: " << log.substr(line, log.find('\n', said) - line) << std::endl;
  }

  void Restart() {
    cluster_.nodes().Kill(kNode);
    const Status serving = cluster_.Restart(kNode);
    ASSERT_TRUE(serving.ok()) << serving.ToString();
  }

  TestCluster cluster_{"disk_full"};
  std::optional<SmallDisk> disk_;
  std::vector<std::string> keys_;  // on s1
  int next_ = 0;
  std::vector<int> committed_, aborted_, unknown_;
  bool stuck_ = false;
};

TEST_F(DiskFull, LoadedUntilFullThenEnlargedAndRestartedKeepsAllThatWasAcknowledged) {
  Put(kPutsMax);
  EXPECT_GT(committed_.size(), 20U);
  std::cout << committed_.size() << " commits, " << disk_->FreeBytes() << " bytes left" << std::endl;
  CheckMessage();
  EXPECT_FALSE(stuck_) << "the other replica leads, and has room";
  // Space first: a node that finds none cannot start.
  ASSERT_TRUE(disk_->Enlarge()) << std::strerror(errno);
  Restart();
  CheckAll("enlarged");
  Put(20);
  EXPECT_FALSE(stuck_);
  CheckAll("afterwards");
}

TEST_F(DiskFull, FilledBySomethingElseThenFreedAndRestartedKeepsAllThatWasAcknowledged) {
  Put(10);
  ASSERT_FALSE(stuck_);
  disk_->Fill();
  Put(30);  // no more than n2 has room for afterwards
  CheckMessage();
  EXPECT_FALSE(stuck_) << "the other replica leads, and has room";
  // It is there to say why it serves nothing, and goes on when there is room.
  cluster_.nodes().Kill(kNode);
  disk_->Fill();  // what it left free by its end, too
  ASSERT_TRUE(cluster_.nodes().Start(kNode).ok());
  (void)cluster_.nodes().AwaitExit(kNode, 2'000);
  EXPECT_LT(cluster_.nodes().ExitStatus(kNode), 0)
      << "ended, and said last: " << LastLine(LogOf(cluster_, kNode));
  disk_->RemoveFiller();
  Restart();
  CheckAll("freed");
  Put(10);
  EXPECT_FALSE(stuck_);
  CheckAll("afterwards");
}

// The replica that is opened again has a life of its own in a process that goes on (R3): its views are made.
TEST_F(DiskFull, FilledThenFreedWithoutARestartGoesOnAndLeadsAgain) {
  Put(10);
  disk_->Fill();
  Put(30);
  const auto stopped = [](const std::string& text) {
    return text.find("s1 has stopped on this node: disk full") != std::string::npos;
  };
  ASSERT_TRUE(stopped(AwaitInLog(stopped))) << LogOf(cluster_, kNode);
  disk_->RemoveFiller();
  const auto goes_on = [](const std::string& text) {
    return text.find("s1: there is room again, and its replica goes on") != std::string::npos;
  };
  ASSERT_TRUE(goes_on(AwaitInLog(goes_on))) << LogOf(cluster_, kNode);
  cluster_.AwaitBackup({GroupKind::kShard, 1});
  const auto promoted = cluster_.Run({"group", "promote", "s1", "n2"});
  EXPECT_EQ(promoted.exit_code, 0) << promoted.out << LogOf(cluster_, kNode);
  Put(10);
  EXPECT_FALSE(stuck_);
  EXPECT_EQ(cluster_.Show({GroupKind::kShard, 1}).primary, kNode);
  CheckAll("freed, in place");
}

}  // namespace
}  // namespace assent::e2e
