// The data directory of a node and the identity of each replica: who owns them, restarts, crashes, damage.
#include "runtime/config/data_directory.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "directory/durable_files.h"
#include "temp_directory.h"

namespace assent {
namespace {

constexpr GroupId kGroup{GroupKind::kShard, 1};
constexpr Incarnation kFresh{0xabc};

class DataDirectoryTest : public testing::Test {
 protected:
  Result<std::unique_ptr<DataDirectory>> Open(const std::string& cluster = "cluster-a",
                                              NodeId node = NodeId{1}) {
    return DataDirectory::Open(path_, cluster, node);
  }
  std::unique_ptr<DataDirectory> MustOpen() {
    auto opened = Open();
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    return opened.ok() ? std::move(*opened) : nullptr;
  }
  // A replica as it is once it runs.
  void Form(DataDirectory& directory) {
    auto identity = directory.OpenReplica(kGroup, kFresh);
    ASSERT_TRUE(identity.ok()) << identity.status().ToString();
    WriteFile(directory.LogPath(kGroup) + "/0001", "");
    WriteFile(directory.StorePath(kGroup), "");
    identity->formed = true;
    identity->highest_epoch = Epoch{3};
    identity->directory = DirectoryIncarnation{7};
    ASSERT_TRUE(directory.UpdateReplica(*identity).ok());
  }

  const TempDirectory temp_;
  const std::string path_ = temp_ / "data";
};

using DataDirectoryOpen = DataDirectoryTest;
using DataDirectoryLock = DataDirectoryTest;
using ReplicaIdentityFile = DataDirectoryTest;
using ReplicaIdentityCrash = DataDirectoryTest;
using ReplicaIdentityDamage = DataDirectoryTest;

TEST_F(DataDirectoryOpen, CreatesAndReopens) {
  MustOpen();
  const auto directory = MustOpen();
  EXPECT_EQ(directory->node(), NodeId{1});
  EXPECT_TRUE(directory->Replicas()->empty());
}

TEST_F(DataDirectoryOpen, EachStartIsCounted) {  // R3
  for (uint64_t starts = 1; starts <= 3; ++starts) {
    const auto directory = MustOpen();
    for (int look = 0; look < 2; ++look) {  // to read it counts nothing
      const auto read = directory->ReadStarts(starts + 100);
      ASSERT_TRUE(read.ok()) << read.status().ToString();
      EXPECT_EQ(read->starts, starts - 1);
      EXPECT_EQ(read->files, 101u);
      if (look == 1) {
        ASSERT_TRUE(directory->CountStart(*read).ok());
      }
    }
  }
  const std::string three = path_ + "/starts.00000000000000000003";
  const std::string text = ReadFile(three);
  WriteFile(path_ + "/starts.00000000000000000001", text);  // an older copy's, and nothing says which it is
  EXPECT_EQ(MustOpen()->ReadStarts(9).status().code(), StatusCode::kDamaged);
  std::filesystem::remove(path_ + "/starts.00000000000000000001");
  WriteFile(three, text.substr(0, 20));
  EXPECT_EQ(MustOpen()->ReadStarts(9).status().code(), StatusCode::kDamaged);
}

TEST_F(DataDirectoryOpen, AnotherClustersOrNodesIsForeign) {
  MustOpen();
  auto opened = Open("cluster-b");
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::kForeign);
  EXPECT_NE(opened.status().message().find("belongs to cluster cluster-a"), std::string::npos);
  opened = Open("cluster-a", NodeId{2});
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::kForeign);
  EXPECT_NE(opened.status().message().find("belongs to node n1"), std::string::npos);
}

TEST_F(DataDirectoryOpen, NewerFormatIsForeign) {
  MustOpen();
  std::string text = ReadFile(path_ + "/identity");
  text.replace(text.find("node 1"), 6, "node 2");
  WriteFile(path_ + "/identity", text);
  EXPECT_EQ(Open().status().code(), StatusCode::kForeign);
}

TEST_F(DataDirectoryOpen, SomeoneElsesDirectoryIsRefused) {
  std::filesystem::create_directory(path_);
  WriteFile(path_ + "/thesis.doc", "");
  const auto opened = Open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::kForeign);
  EXPECT_NE(opened.status().message().find("thesis.doc"), std::string::npos);
}

TEST_F(DataDirectoryOpen, ReplicasWithoutTheNodesIdentityAreDamage) {
  ASSERT_TRUE(MustOpen()->ReadStarts(9).ok());
  std::filesystem::remove(path_ + "/identity");
  EXPECT_EQ(Open().status().code(), StatusCode::kDamaged);
  std::filesystem::remove_all(path_);
  ASSERT_TRUE(MustOpen()->OpenReplica(kGroup, kFresh).ok());
  std::filesystem::remove(path_ + "/identity");
  EXPECT_EQ(Open().status().code(), StatusCode::kDamaged);
}

TEST_F(DataDirectoryLock, SecondProcessIsToldThePid) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto directory = Open();
    const char news = directory.ok() ? 'y' : 'n';
    if (::write(ends[1], &news, 1) == 1) ::pause();
    ::_exit(0);
  }
  char news = 0;
  ASSERT_EQ(::read(ends[0], &news, 1), 1);
  ASSERT_EQ(news, 'y');
  const auto second = Open();
  ::kill(child, SIGKILL);  // before anything can fail: nobody else ends it
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), StatusCode::kUnavailable);
  EXPECT_NE(second.status().message().find("process " + std::to_string(child) + " runs"), std::string::npos)
      << second.status().message();
  EXPECT_TRUE(Open().ok());  // the lock goes with the process
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(ReplicaIdentityFile, IncarnationIsDrawnOnce) {  // R3
  {
    const auto directory = MustOpen();
    const auto identity = directory->OpenReplica(kGroup, kFresh);
    ASSERT_TRUE(identity.ok()) << identity.status().ToString();
    EXPECT_EQ(*identity, (ReplicaIdentity{kGroup, kFresh, {}, {}, false}));
    EXPECT_TRUE(std::filesystem::is_directory(directory->LogPath(kGroup)));
  }
  const auto again = MustOpen()->OpenReplica(kGroup, Incarnation{99});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->incarnation, kFresh);
}

TEST_F(ReplicaIdentityFile, UpdatesLast) {  // R3, R12, I-R4
  Form(*MustOpen());
  const auto directory = MustOpen();
  EXPECT_EQ(*directory->Replicas(), std::vector<GroupId>{kGroup});
  auto identity = directory->OpenReplica(kGroup, Incarnation{99});
  ASSERT_TRUE(identity.ok()) << identity.status().ToString();
  EXPECT_EQ(*identity, (ReplicaIdentity{kGroup, kFresh, DirectoryIncarnation{7}, Epoch{3}, true}));
  identity->highest_epoch = Epoch{9};
  EXPECT_TRUE(directory->UpdateReplica(*identity).ok());
  EXPECT_EQ(directory->OpenReplica(kGroup, kFresh)->highest_epoch, Epoch{9});
}

TEST_F(ReplicaIdentityFile, TellsWhichDirectoryTheNodeBelongsTo) {  // R12
  const auto directory = MustOpen();
  EXPECT_TRUE(directory->KnownDirectories()->empty());
  ASSERT_TRUE(directory->OpenReplica(kGroup, kFresh).ok());
  EXPECT_TRUE(directory->KnownDirectories()->empty());  // it has seen none yet
  Form(*directory);
  EXPECT_EQ(*directory->KnownDirectories(), (std::set<DirectoryIncarnation>{DirectoryIncarnation{7}}));
}

TEST_F(ReplicaIdentityFile, FollowsASuccessorThatNamesIt) {  // R12
  const auto directory = MustOpen();
  Form(*directory);
  const Adoption of_another{DirectoryIncarnation{99}, 0, {}};
  EXPECT_TRUE(directory->Follow(of_another, DirectoryIncarnation{8}).ok());
  const Adoption without_it{DirectoryIncarnation{7}, 0, {{kGroup, {NodeId{1}, Incarnation{1}}}}};
  EXPECT_EQ(directory->Follow(without_it, DirectoryIncarnation{8}).code(), StatusCode::kForeign);
  EXPECT_EQ(*directory->KnownDirectories(), (std::set<DirectoryIncarnation>{DirectoryIncarnation{7}}));
  const Adoption with_it{DirectoryIncarnation{7}, 0, {{kGroup, {NodeId{1}, kFresh}}}};
  EXPECT_TRUE(directory->Follow(with_it, DirectoryIncarnation{8}).ok());
  EXPECT_EQ(*directory->KnownDirectories(), (std::set<DirectoryIncarnation>{DirectoryIncarnation{8}}));
  EXPECT_EQ(directory->ReadReplica(kGroup)->highest_epoch, Epoch{3});
}

TEST_F(ReplicaIdentityFile, FallingEpochsAndOtherIncarnationsAreBugs) {  // I-R4
  const auto directory = MustOpen();
  Form(*directory);
  const ReplicaIdentity held = *directory->OpenReplica(kGroup, kFresh);
  ReplicaIdentity changed = held;
  changed.highest_epoch = Epoch{2};
  EXPECT_DEATH(static_cast<void>(directory->UpdateReplica(changed)), "check failed");
  changed = held;
  changed.incarnation = Incarnation{1};
  EXPECT_DEATH(static_cast<void>(directory->UpdateReplica(changed)), "check failed");
  changed = held;
  changed.formed = false;
  EXPECT_DEATH(static_cast<void>(directory->UpdateReplica(changed)), "check failed");
}

// The steps of making a replica: its directory, a temporary, the identity, log/, log and store, `formed`.
TEST_F(ReplicaIdentityCrash, LeftoversOfMakingItAreTakenUp) {
  const auto directory = MustOpen();
  const std::string replica = directory->ReplicaPath(kGroup);
  std::filesystem::create_directory(replica);
  EXPECT_EQ(directory->OpenReplica(kGroup, Incarnation{1})->incarnation, Incarnation{1});
  const std::string identity = ReadFile(replica + "/identity");

  for (size_t length = 0; length <= identity.size(); length += 5) {
    std::filesystem::remove_all(replica);
    std::filesystem::create_directory(replica);
    WriteFile(replica + "/.tmp.9.9", identity.substr(0, length));
    EXPECT_EQ(directory->OpenReplica(kGroup, Incarnation{2})->incarnation, Incarnation{2});
    EXPECT_FALSE(std::filesystem::exists(replica + "/.tmp.9.9"));
  }
  std::filesystem::remove_all(replica + "/log");
  EXPECT_EQ(directory->OpenReplica(kGroup, Incarnation{3})->incarnation, Incarnation{2});
  WriteFile(directory->LogPath(kGroup) + "/0001", "");
  const auto unformed = directory->OpenReplica(kGroup, Incarnation{3});
  ASSERT_TRUE(unformed.ok());
  EXPECT_EQ(unformed->incarnation, Incarnation{2});
  EXPECT_FALSE(unformed->formed);
}

TEST_F(ReplicaIdentityCrash, LeftoversOfAnUpdateLeaveTheOldOneOrTheNew) {
  const auto directory = MustOpen();
  Form(*directory);
  const std::string path = directory->ReplicaPath(kGroup) + "/identity";
  const std::string before = ReadFile(path);
  ReplicaIdentity identity = *directory->OpenReplica(kGroup, kFresh);
  identity.highest_epoch = Epoch{12};
  ASSERT_TRUE(directory->UpdateReplica(identity).ok());
  const std::string after = ReadFile(path);
  for (size_t length = 0; length <= after.size(); length += 5) {  // died before the rename
    WriteFile(path, before);
    WriteFile(directory->ReplicaPath(kGroup) + "/.tmp.9.9", after.substr(0, length));
    EXPECT_EQ(directory->OpenReplica(kGroup, kFresh)->highest_epoch, Epoch{3});
  }
  WriteFile(path, after);  // and after it
  EXPECT_EQ(directory->OpenReplica(kGroup, kFresh)->highest_epoch, Epoch{12});
}

TEST_F(ReplicaIdentityDamage, EveryBitFlipAndCutIsFound) {
  const auto directory = MustOpen();
  Form(*directory);
  const std::string path = directory->ReplicaPath(kGroup) + "/identity";
  const std::string text = ReadFile(path);
  for (size_t bit = 0; bit < text.size() * 8; bit += 3) {
    std::string bad = text;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    WriteFile(path, bad);
    const auto identity = directory->OpenReplica(kGroup, kFresh);
    ASSERT_FALSE(identity.ok()) << bit;
    ASSERT_TRUE(identity.status().code() == StatusCode::kDamaged ||
                identity.status().code() == StatusCode::kForeign);
  }
  for (size_t length = 0; length < text.size(); length += 3) {
    WriteFile(path, text.substr(0, length));
    ASSERT_EQ(directory->OpenReplica(kGroup, kFresh).status().code(), StatusCode::kDamaged) << length;
  }
}

TEST_F(ReplicaIdentityDamage, DataThatLostItsIdentityIsNobodys) {  // R3
  const auto directory = MustOpen();
  Form(*directory);
  std::filesystem::remove(directory->ReplicaPath(kGroup) + "/identity");
  const auto identity = directory->OpenReplica(kGroup, kFresh);
  ASSERT_FALSE(identity.ok());
  EXPECT_EQ(identity.status().code(), StatusCode::kDamaged);
  EXPECT_NE(identity.status().message().find("Move " + directory->ReplicaPath(kGroup) + " away"),
            std::string::npos);
}

TEST_F(ReplicaIdentityDamage, FormedOneWithoutLogOrStoreMayNotComeBack) {  // R3: what it acknowledged is gone
  for (const bool lose_log : {true, false}) {
    std::filesystem::remove_all(path_);
    const auto directory = MustOpen();
    Form(*directory);
    if (lose_log) {
      std::filesystem::remove_all(directory->LogPath(kGroup));
    } else {
      std::filesystem::remove(directory->StorePath(kGroup));
    }
    const auto identity = directory->OpenReplica(kGroup, kFresh);
    ASSERT_FALSE(identity.ok());
    EXPECT_EQ(identity.status().code(), StatusCode::kDamaged);
  }
}

TEST_F(ReplicaIdentityDamage, AnotherGroupsReplicaIsForeign) {
  const auto directory = MustOpen();
  Form(*directory);
  const GroupId other{GroupKind::kShard, 2};
  std::filesystem::rename(directory->ReplicaPath(kGroup), directory->ReplicaPath(other));
  const auto identity = directory->OpenReplica(other, kFresh);
  ASSERT_FALSE(identity.ok());
  EXPECT_EQ(identity.status().code(), StatusCode::kForeign) << identity.status().ToString();
}

}  // namespace
}  // namespace assent
