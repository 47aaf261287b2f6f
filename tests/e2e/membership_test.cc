// A backup leaves its group's view under load, loses its disk, and joins again: from the log, and, where that
// was trimmed meanwhile, by a snapshot (R6). Through `assent group`, as an operator does it.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "cli/audit.h"
#include "tests/e2e/bank_load.h"
#include "tests/e2e/test_cluster.h"
#include "thrift/codec_fields.h"

namespace assent::e2e {
namespace {

using std::chrono::steady_clock;

constexpr int kBackupNode = 3;  // of s1; also the primary of s2
constexpr int kPrimaryNode = 2;
constexpr GroupId kGroup{GroupKind::kShard, 1};
constexpr uint64_t kSegmentBytes = 4 << 20;
constexpr uint64_t kCheckpointBytes = 256 << 10;
constexpr int kPutsAtOnce = 10;
constexpr size_t kFillerBytes = 100'000;  // a segment holds about forty
constexpr double kSettleSeconds = 120;
using Ran = TestCluster::Ran;

class Membership : public testing::Test {
 protected:
  void SetUp() override {
    cluster_.options().segment_bytes = kSegmentBytes;
    cluster_.options().checkpoint_bytes = kCheckpointBytes;
    const Status started = cluster_.StartAll();
    ASSERT_TRUE(started.ok()) << started.ToString();
    LoadOptions options;
    options.seed = Seed(3);
    options.one_shot_clients = 6;
    load_.emplace("members", cluster_.addresses(), cluster_.placement(), options);
    const Status loaded = load_->LoadRows();
    ASSERT_TRUE(loaded.ok()) << loaded.ToString();
    load_->Start();
    ASSERT_TRUE(load_->AwaitCommitted(50, kSettleSeconds));
  }

  // The replica of the group on the node, as it shows itself.
  Result<wire::ReplicaStatus> StatusOf(int node) {
    const auto view = cluster_.View();
    if (!view.ok()) return view.status();
    for (const cli::NodeView& shown : view->NodeStatuses()) {
      if (!shown.status.ok() || shown.reply.node != node) continue;
      for (const wire::ReplicaStatus& replica : shown.reply.replicas) {
        if (replica.view.group == codec::Encode(kGroup)) return replica;
      }
    }
    return Status(StatusCode::kUnavailable, "n" + std::to_string(node) + " does not show its replica");
  }

  // kill -9 of the backup's node, and its replica's directory gone.
  void WipeBackup() {
    cluster_.nodes().Kill(kBackupNode);
    const std::string replica = cluster_.nodes().config(kBackupNode).data + "/" + ToString(kGroup);
    ASSERT_GT(std::filesystem::remove_all(replica), 0U) << replica;
    const Status serving = cluster_.Restart(kBackupNode);
    ASSERT_TRUE(serving.ok()) << serving.ToString();
  }

  void RemoveBackup() {
    const Ran removed = cluster_.Run({"group", "remove-replica", "s1", "n3"});
    ASSERT_EQ(removed.exit_code, 0) << removed.out;
    ASSERT_TRUE(load_->AwaitCommitted(load_->committed() + 50, kSettleSeconds))
        << "no commits without the backup";
  }

  // A replica reads the view that names it a moment after its primary does. A node that was started may not
  // answer yet: its groups are served by others.
  void AwaitRole(wire::ReplicaRole::type role) {
    const auto begun = steady_clock::now();
    auto now = StatusOf(kBackupNode);
    while ((!now.ok() || now->role != role) && SecondsSince(begun) < kSettleSeconds) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      now = StatusOf(kBackupNode);
    }
    ASSERT_TRUE(now.ok()) << now.status().ToString();
    ASSERT_EQ(now->role, role);
  }

  void AddBackup(const std::string& what) {
    const auto begun = steady_clock::now();
    const uint64_t before = load_->committed();
    Ran added;
    // A restarted node's registration shows in the directory a moment after it serves.
    do {
      added = cluster_.Run({"group", "add-replica", "s1", "n3"});
    } while (added.exit_code != 0 && SecondsSince(begun) < kSettleSeconds);
    ASSERT_EQ(added.exit_code, 0) << added.out;
    const double took_s = SecondsSince(begun);
    std::cout << what << ": joined after " << took_s << " s, " << load_->committed() - before
              << " commits meanwhile" << std::endl;
    ASSERT_NO_FATAL_FAILURE(AwaitRole(wire::ReplicaRole::BACKUP));
    EXPECT_TRUE(load_->AwaitCommitted(load_->committed() + 50, kSettleSeconds)) << "no commits with it";
  }

  // Where the log of the group begins and ends on the node, in LSNs.
  struct Range {
    uint64_t base = 0, last = 0;
  };
  Range LogOf(int node) {
    const Ran verified =
        cluster_.Run({"wal", "verify", cluster_.nodes().config(node).data + "/" + ToString(kGroup) + "/log"},
                     /*connects=*/false);
    // "ok  N records in M segments, (eE, BASE) < LSN <= (eE, LAST)"; no such line while a segment is replaced
    Range range;
    const size_t at = verified.out.find("segments, (e");
    unsigned long long epoch = 0, base = 0, last = 0;
    if (at != std::string::npos &&
        std::sscanf(verified.out.c_str() + at, "segments, (e%llu, %llu) < LSN <= (e%llu, %llu)", &epoch,
                    &base, &epoch, &last) == 4) {
      range = {base, last};
    }
    return range;
  }

  // Writes until the primary's log has been trimmed: it begins behind `lsn`.
  void AwaitTrim(uint64_t lsn) {
    const auto begun = steady_clock::now();
    auto client = Client::Connect(cluster_.addresses());
    ASSERT_TRUE(client.ok()) << client.status().ToString();
    std::string key = "filler";
    while (cluster_.placement().ShardOf(key) != kGroup) key += '.';
    uint64_t base = 0;
    while (base <= lsn) {
      ASSERT_LT(SecondsSince(begun), kSettleSeconds) << "the log was not trimmed";
      for (int i = 0; i < kPutsAtOnce; ++i) {
        const CommitResult put = client->Put(key, std::string(kFillerBytes, static_cast<char>('a' + i)));
        ASSERT_TRUE(put.committed()) << Describe(put);
      }
      base = LogOf(kPrimaryNode).base;
    }
    std::cout << "the primary's log begins behind LSN " << base << " after " << SecondsSince(begun) << " s"
              << std::endl;
  }

  // Installed by the backup since its node was made, as it says itself.
  int Snapshots() const {
    std::ifstream said(cluster_.nodes().LogFile(kBackupNode));
    int count = 0;
    for (std::string line; std::getline(said, line);) {
      count += line.find(ToString(kGroup) + ": installed a snapshot") != std::string::npos ? 1 : 0;
    }
    return count;
  }

  // The backup's node is down, and nobody tells the cluster, until the log has gone on without it.
  void ReturnAfterTrim(bool wiped) {
    cluster_.nodes().Kill(kBackupNode);
    const uint64_t last = LogOf(kBackupNode).last;
    ASSERT_GT(last, 0U);
    ASSERT_NO_FATAL_FAILURE(AwaitTrim(last));
    const uint64_t before = load_->committed();
    if (wiped) {
      ASSERT_NO_FATAL_FAILURE(WipeBackup());
    } else {
      const Status serving = cluster_.Restart(kBackupNode);
      ASSERT_TRUE(serving.ok()) << serving.ToString();
    }
    const auto begun = steady_clock::now();
    ASSERT_NO_FATAL_FAILURE(AwaitRole(wire::ReplicaRole::BACKUP));
    std::cout << "back " << SecondsSince(begun) << " s after all groups served, "
              << load_->committed() - before << " commits meanwhile" << std::endl;
    EXPECT_EQ(Snapshots(), 1);
    EXPECT_TRUE(load_->AwaitCommitted(load_->committed() + 50, kSettleSeconds)) << "no commits with it";
  }

  TestCluster cluster_{"membership"};
  std::optional<BankLoad> load_;
};

TEST_F(Membership, WipedBackupCatchesUpFromTheLog) {
  ASSERT_NO_FATAL_FAILURE(RemoveBackup());
  ASSERT_NO_FATAL_FAILURE(WipeBackup());
  ASSERT_NO_FATAL_FAILURE(AddBackup("from the log"));
  EXPECT_EQ(Snapshots(), 0);
  load_->StopAndAudit("from the log", cluster_);
}

TEST_F(Membership, WipedBackupJoinsBySnapshotWhereTheLogWasTrimmed) {
  ASSERT_NO_FATAL_FAILURE(RemoveBackup());
  ASSERT_NO_FATAL_FAILURE(AwaitTrim(0));
  ASSERT_NO_FATAL_FAILURE(WipeBackup());
  ASSERT_NO_FATAL_FAILURE(AddBackup("by snapshot"));
  EXPECT_EQ(Snapshots(), 1);
  // It stands on its own: the primary of s2 is there, too, and a restart finds log and store of one piece.
  cluster_.nodes().Kill(kBackupNode);
  const Status serving = cluster_.Restart(kBackupNode);
  ASSERT_TRUE(serving.ok()) << serving.ToString();
  load_->StopAndAudit("by snapshot", cluster_);
}

TEST_F(Membership, BackupAwayWhileTheLogWasTrimmedComesBackBySnapshot) {
  ASSERT_NO_FATAL_FAILURE(ReturnAfterTrim(/*wiped=*/false));
  load_->StopAndAudit("away", cluster_);
}

TEST_F(Membership, BackupWipedWhileTheLogWasTrimmedComesBackBySnapshot) {
  ASSERT_NO_FATAL_FAILURE(ReturnAfterTrim(/*wiped=*/true));
  load_->StopAndAudit("away and wiped", cluster_);
}

TEST_F(Membership, WipedMemberComesBackByItselfAndARemovedOneDoesNot) {
  ASSERT_NO_FATAL_FAILURE(WipeBackup());
  ASSERT_NO_FATAL_FAILURE(AwaitRole(wire::ReplicaRole::BACKUP));
  const Ran primary = cluster_.Run({"group", "remove-replica", "s1", "n2"});
  EXPECT_NE(primary.exit_code, 0);
  EXPECT_NE(primary.out.find("primary"), std::string::npos) << primary.out;
  ASSERT_NO_FATAL_FAILURE(RemoveBackup());
  ASSERT_NO_FATAL_FAILURE(AwaitRole(wire::ReplicaRole::LEARNER));
  // Several beacons' time; coming back would take less.
  ASSERT_TRUE(load_->AwaitCommitted(load_->committed() + 500, kSettleSeconds));
  const auto now = StatusOf(kBackupNode);
  ASSERT_TRUE(now.ok()) << now.status().ToString();
  EXPECT_EQ(now->role, wire::ReplicaRole::LEARNER);
  ASSERT_NO_FATAL_FAILURE(AddBackup("after a lost disk"));
  load_->StopAndAudit("after a lost disk", cluster_);
}

}  // namespace
}  // namespace assent::e2e
