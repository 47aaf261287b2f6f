// The embedded directory: views and registers by compare-and-swap (R3), its identity (R12), crashes, damage.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "directory/durable_files.h"
#include "directory/embedded.h"
#include "temp_directory.h"

namespace assent {
namespace {

constexpr GroupId kGroup{GroupKind::kShard, 1};

View MakeView(uint64_t epoch, uint32_t primary = 1, uint64_t life = 77) {
  View view;
  view.group = kGroup;
  view.epoch = Epoch{epoch};
  view.primary = NodeId{primary};
  view.primary_life = life;
  view.members = {{NodeId{1}, Incarnation{11}}, {NodeId{2}, Incarnation{22}}};
  return view;
}

class Embedded : public testing::Test {
 protected:
  // `life`: of the process that opens it.
  std::unique_ptr<EmbeddedDirectory> MustOpen(uint64_t fresh = 5, uint64_t life = 0) {
    EmbeddedOptions options{temp_ / "directory", "cluster-a", DirectoryIncarnation{fresh}};
    options.life = life;
    auto opened = EmbeddedDirectory::Open(options);
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    return opened.ok() ? std::move(*opened) : nullptr;
  }
  std::string ViewPath(const std::string& epoch) {
    return temp_ / ("directory/groups/s1/view." + std::string(20 - epoch.size(), '0') + epoch);
  }
  void MustWin(EmbeddedDirectory& directory, uint64_t epoch) {
    const CasResult result = directory.CompareAndSwap(MakeView(epoch));
    ASSERT_EQ(result.outcome, CasOutcome::kWon) << result.error.ToString();
  }

  const TempDirectory temp_;
};

using EmbeddedCas = Embedded;
using EmbeddedOpen = Embedded;
using EmbeddedDamage = Embedded;
using EmbeddedCrash = Embedded;
using EmbeddedPlacement = Embedded;
using EmbeddedRegistration = Embedded;
using EmbeddedRegister = Embedded;
using EmbeddedAdoption = Embedded;

TEST_F(EmbeddedOpen, NewOneHasNoViewsAndNoPlacement) {
  const auto directory = MustOpen(5);
  const auto snapshot = directory->Read(kGroup);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
  EXPECT_EQ(snapshot->incarnation, DirectoryIncarnation{5});
  EXPECT_FALSE(snapshot->view);
  EXPECT_TRUE(snapshot->registrations.empty());
  EXPECT_EQ(directory->ReadPlacement().status().code(), StatusCode::kNotFound);
}

TEST_F(EmbeddedOpen, IncarnationIsDrawnOnce) {  // R12
  MustOpen(5);
  EXPECT_EQ(MustOpen(6)->incarnation(), DirectoryIncarnation{5});
  std::filesystem::remove_all(temp_ / "directory");
  EXPECT_EQ(MustOpen(6)->incarnation(), DirectoryIncarnation{6});
}

TEST_F(EmbeddedOpen, AnotherOneInItsPlaceIsNoAnswer) {  // R12
  const auto directory = MustOpen(5);
  MustWin(*directory, 1);
  const auto expect_no_answer = [&](StatusCode code) {
    EXPECT_EQ(directory->Read(kGroup).status().code(), code);
    EXPECT_EQ(directory->Register(kGroup, NodeId{1}, Incarnation{9}).code(), code);
    EXPECT_EQ(directory->ReadRegister(NodeId{1}).status().code(), code);
    EXPECT_EQ(directory->SwapRegister(NodeRegister{}).code(), code);
    const CasResult result = directory->CompareAndSwap(MakeView(2));
    EXPECT_EQ(result.outcome, CasOutcome::kFailed);
    EXPECT_EQ(result.error.code(), code);
  };
  std::filesystem::rename(temp_ / "directory", temp_ / "away");
  expect_no_answer(StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(temp_ / "directory"));
  MustOpen(6);
  expect_no_answer(StatusCode::kForeign);
  EXPECT_EQ(ListDirectory(temp_ / "directory/groups")->size(), 0u);
  std::filesystem::remove_all(temp_ / "directory");
  std::filesystem::rename(temp_ / "away", temp_ / "directory");
  EXPECT_EQ(directory->Read(kGroup)->view, MakeView(1));
  MustWin(*directory, 2);
}

TEST_F(EmbeddedOpen, OneThatIsKnownIsNeverMade) {  // R12
  const auto open = [&] {
    EmbeddedOptions options{temp_ / "directory", "cluster-a", DirectoryIncarnation{6}};
    options.may_create = false;
    return EmbeddedDirectory::Open(options);
  };
  EXPECT_EQ(open().status().code(), StatusCode::kNotFound);
  EXPECT_NE(open().status().message().find("directory: no such directory; is it mounted?"), std::string::npos)
      << open().status().message();
  EXPECT_FALSE(std::filesystem::exists(temp_ / "directory"));
  for (const char* mount_point : {"directory", "directory/groups"}) {  // of a file system that is not mounted
    std::filesystem::create_directories(temp_ / mount_point);
    EXPECT_EQ(open().status().code(), StatusCode::kNotFound);
    EXPECT_NE(open().status().message().find("is it mounted?"), std::string::npos)
        << open().status().message();
    EXPECT_FALSE(std::filesystem::exists(temp_ / "directory/identity"));
  }
  MustWin(*MustOpen(5), 1);
  EXPECT_EQ((*open())->incarnation(), DirectoryIncarnation{5});
}

// Its transactions carry its epochs, and others may remember those of a cluster of the same name.
TEST_F(EmbeddedCas, FirstEpochIsTheDirectorys) {  // R3
  const auto made = [&](uint64_t first_epoch) {
    EmbeddedOptions options{temp_ / "directory", "cluster-a", DirectoryIncarnation{5}};
    options.first_epoch = Epoch{first_epoch};
    auto opened = EmbeddedDirectory::Open(options);
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    return std::move(*opened);
  };
  const auto directory = made(1000);
  EXPECT_EQ(directory->Read(kGroup)->first_epoch, Epoch{1000});
  for (const uint64_t other : {1U, 999U, 1001U}) {
    const CasResult lost = directory->CompareAndSwap(MakeView(other));
    EXPECT_EQ(lost.outcome, CasOutcome::kLost);
    EXPECT_FALSE(lost.current);
  }
  MustWin(*directory, 1000);
  const auto later = made(2000);  // opened by another node: it is not made again
  EXPECT_EQ(later->Read(kGroup)->first_epoch, Epoch{1000});
  MustWin(*later, 1001);
}

TEST_F(EmbeddedOpen, RestoredCopyShowsTheSameIncarnationAndAnOlderEpoch) {  // R12: what a replica compares
  const auto directory = MustOpen(5);
  MustWin(*directory, 1);
  std::filesystem::copy(temp_ / "directory", temp_ / "copy", std::filesystem::copy_options::recursive);
  MustWin(*directory, 2);
  std::filesystem::remove_all(temp_ / "directory");
  std::filesystem::rename(temp_ / "copy", temp_ / "directory");
  const auto snapshot = MustOpen(6)->Read(kGroup);
  EXPECT_EQ(snapshot->incarnation, DirectoryIncarnation{5});
  EXPECT_EQ(snapshot->view->epoch, Epoch{1});
}

TEST_F(EmbeddedOpen, AnotherClustersIsForeign) {
  MustOpen();
  const auto other = EmbeddedDirectory::Open({temp_ / "directory", "cluster-b", DirectoryIncarnation{1}});
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.status().code(), StatusCode::kForeign);
  EXPECT_NE(other.status().message().find("cluster-a"), std::string::npos) << other.status().message();
}

TEST_F(EmbeddedOpen, ViewsWithoutIdentityAreDamage) {
  MustWin(*MustOpen(), 1);
  std::filesystem::remove(temp_ / "directory/identity");
  const auto opened = EmbeddedDirectory::Open({temp_ / "directory", "cluster-a", DirectoryIncarnation{1}});
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::kDamaged);
}

TEST_F(EmbeddedOpen, PathThatIsAFileIsAnError) {
  WriteFile(temp_ / "directory", "");
  const auto opened = EmbeddedDirectory::Open({temp_ / "directory", "cluster-a", DirectoryIncarnation{1}});
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::kIo) << opened.status().ToString();
}

TEST_F(EmbeddedOpen, UnreadableDirectoryIsAnErrorNotAnAbsence) {
  const auto directory = MustOpen();
  MustWin(*directory, 1);
  // Root reads what permissions deny, so the group's directory becomes something that is no directory.
  std::filesystem::rename(temp_ / "directory/groups/s1", temp_ / "directory/groups/away");
  WriteFile(temp_ / "directory/groups/s1", "");
  const auto snapshot = directory->Read(kGroup);
  ASSERT_FALSE(snapshot.ok());
  EXPECT_EQ(snapshot.status().code(), StatusCode::kIo) << snapshot.status().ToString();
  const CasResult result = directory->CompareAndSwap(MakeView(2));
  EXPECT_EQ(result.outcome, CasOutcome::kFailed);
  EXPECT_FALSE(result.error.ok());
}

TEST_F(EmbeddedCas, FirstViewThenEachNext) {
  const auto directory = MustOpen();
  for (uint64_t epoch = 1; epoch <= 5; ++epoch) {
    MustWin(*directory, epoch);
    EXPECT_EQ(MustOpen()->Read(kGroup)->view, MakeView(epoch));
  }
}

TEST_F(EmbeddedCas, OnlyTheNextEpochMayBeProposed) {  // R3
  const auto directory = MustOpen();
  CasResult result = directory->CompareAndSwap(MakeView(2));
  EXPECT_EQ(result.outcome, CasOutcome::kLost);
  EXPECT_FALSE(result.current);
  MustWin(*directory, 1);
  MustWin(*directory, 2);
  for (const uint64_t epoch : {1u, 2u, 4u, 9u}) {
    result = directory->CompareAndSwap(MakeView(epoch, 2));
    EXPECT_EQ(result.outcome, CasOutcome::kLost) << epoch;
    EXPECT_EQ(result.current, MakeView(2)) << epoch;
  }
}

// Nothing was made, and the proposer may know it: R3 binds it to what may still come about.
TEST_F(EmbeddedCas, OneWithoutRoomForItsFileSurelyFailed) {
  const auto directory = MustOpen();
  MustWin(*directory, 1);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
  const CasResult result = directory->CompareAndSwap(MakeView(2));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(result.outcome, CasOutcome::kFailed);
  EXPECT_NE(result.error.message().find("writing"), std::string::npos) << result.error.message();
  EXPECT_EQ(directory->Read(kGroup)->view, MakeView(1));
  MustWin(*directory, 2);
}

TEST_F(EmbeddedCas, GroupsAreApart) {
  const auto directory = MustOpen();
  MustWin(*directory, 1);
  View other = MakeView(1);
  other.group = GroupId{GroupKind::kCoordinator, 1};
  EXPECT_EQ(directory->CompareAndSwap(other).outcome, CasOutcome::kWon);
  EXPECT_EQ(directory->Read(other.group)->view, other);
  EXPECT_EQ(directory->Read(kGroup)->view, MakeView(1));
}

TEST_F(EmbeddedCas, OldViewsArePrunedAndTheLastOnesStay) {  // G8
  const auto directory = MustOpen();
  for (uint64_t epoch = 1; epoch <= 60; ++epoch) MustWin(*directory, epoch);
  EXPECT_EQ(ListDirectory(temp_ / "directory/groups/s1")->size(), EmbeddedDirectory::kViewsKept);
  EXPECT_EQ(directory->Read(kGroup)->view, MakeView(60));
}

// I-R2: it looked at epoch 1 and stood still until epoch 2 had been made by another, and pruned.
TEST_F(EmbeddedCas, StoppedProposerOfAPrunedEpochHasLost) {
  const auto directory = MustOpen();
  MustWin(*directory, 1);
  const auto meanwhile = [&] {
    for (uint64_t epoch = 2; epoch <= 40; ++epoch) MustWin(*directory, epoch);
    ASSERT_FALSE(std::filesystem::exists(ViewPath("2")));
  };
  auto stopped =
      EmbeddedDirectory::Open({temp_ / "directory", "cluster-a", DirectoryIncarnation{1}, meanwhile});
  ASSERT_TRUE(stopped.ok());
  const CasResult result = (*stopped)->CompareAndSwap(MakeView(2, 2));
  EXPECT_EQ(result.outcome, CasOutcome::kLost);
  EXPECT_EQ(result.current, MakeView(40));
}

TEST_F(EmbeddedCrash, LeftoversOfEveryStepAreHarmless) {  // R12: a crash before the link, and after it
  const auto directory = MustOpen();
  MustWin(*directory, 1);
  const std::string text = EncodeView(MakeView(2));
  for (size_t length = 0; length <= text.size(); length += 7) {  // died while it wrote its temporary
    WriteFile(temp_ / "directory/groups/s1/.tmp.99.1", text.substr(0, length));
    EXPECT_EQ(MustOpen()->Read(kGroup)->view, MakeView(1));
    EXPECT_FALSE(std::filesystem::exists(temp_ / "directory/groups/s1/.tmp.99.1"));
  }
  WriteFile(temp_ / "directory/groups/s1/.tmp.99.1", text);  // died between link and unlink: it had won
  std::filesystem::create_hard_link(temp_ / "directory/groups/s1/.tmp.99.1", ViewPath("2"));
  const auto reopened = MustOpen();
  EXPECT_EQ(reopened->Read(kGroup)->view, MakeView(2));
  EXPECT_EQ(reopened->CompareAndSwap(MakeView(2, 2)).outcome, CasOutcome::kLost);
  MustWin(*reopened, 3);
}

TEST_F(EmbeddedCrash, LeftoversOfCreationAreHarmless) {
  std::filesystem::create_directories(temp_ / "directory/groups");
  WriteFile(temp_ / "directory/.tmp.99.1", "assent direc");
  const auto directory = MustOpen(8);
  EXPECT_EQ(directory->incarnation(), DirectoryIncarnation{8});
  EXPECT_FALSE(std::filesystem::exists(temp_ / "directory/.tmp.99.1"));
}

TEST_F(EmbeddedDamage, CurrentViewIsReportedAndNoOlderOneTakenInstead) {  // I-R4
  const auto directory = MustOpen();
  MustWin(*directory, 1);
  MustWin(*directory, 2);
  const std::string text = ReadFile(ViewPath("2"));
  for (size_t bit = 0; bit < text.size() * 8; bit += 3) {
    std::string bad = text;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    WriteFile(ViewPath("2"), bad);
    const auto snapshot = directory->Read(kGroup);
    ASSERT_FALSE(snapshot.ok()) << bit;
    ASSERT_EQ(snapshot.status().code(), StatusCode::kDamaged);
    ASSERT_NE(snapshot.status().message().find("view.00000000000000000002"), std::string::npos);
    ASSERT_EQ(directory->CompareAndSwap(MakeView(3)).outcome, CasOutcome::kFailed);
  }
  WriteFile(ViewPath("2"), "");
  EXPECT_EQ(directory->Read(kGroup).status().code(), StatusCode::kDamaged);
}

TEST_F(EmbeddedDamage, ViewUnderAnotherEpochsNameIsReported) {
  const auto directory = MustOpen();
  MustWin(*directory, 1);
  std::filesystem::copy_file(ViewPath("1"), ViewPath("2"));
  EXPECT_EQ(directory->Read(kGroup).status().code(), StatusCode::kDamaged);
}

TEST_F(EmbeddedDamage, IdentityIsReported) {
  MustOpen();
  const std::string text = ReadFile(temp_ / "directory/identity");
  for (size_t at = 0; at < text.size(); ++at) {
    WriteFile(temp_ / "directory/identity", text.substr(0, at) + "?" + text.substr(at + 1));
    const auto opened = EmbeddedDirectory::Open({temp_ / "directory", "cluster-a", DirectoryIncarnation{1}});
    ASSERT_FALSE(opened.ok()) << at;
    ASSERT_EQ(opened.status().code(), StatusCode::kDamaged) << opened.status().ToString();
  }
}

TEST_F(EmbeddedDamage, PlacementIsReported) {
  const auto directory = MustOpen();
  ASSERT_TRUE(directory->CreatePlacement(Placement::Even({{GroupKind::kShard, 1}})).ok());
  WriteFile(temp_ / "directory/placement", "assent placement 1\n");
  EXPECT_EQ(directory->ReadPlacement().status().code(), StatusCode::kDamaged);
}

// G7: what lies in a group's directory and is not ours, or is damaged, hides neither its view nor its nodes.
TEST_F(EmbeddedDamage, StrayFilesAreToldOnceAndHideNothing) {
  std::vector<std::string> told;
  EmbeddedOptions options{temp_ / "directory", "cluster-a", DirectoryIncarnation{5}};
  options.report = [&](const std::string& text) { told.push_back(text); };
  const auto directory = std::move(EmbeddedDirectory::Open(options)).value();
  MustWin(*directory, 1);
  ASSERT_TRUE(directory->Register(kGroup, NodeId{1}, Incarnation{9}).ok());
  ASSERT_TRUE(directory->Register(kGroup, NodeId{2}, Incarnation{8}).ok());
  const std::string group = temp_ / "directory/groups/s1/";
  std::filesystem::copy_file(group + "node.n1", group + "node.n1.bak");
  std::filesystem::copy_file(ViewPath("1"), ViewPath("2") + "~");
  WriteFile(group + ".nfs0001", "?");
  std::filesystem::create_directory(group + "lost+found");
  WriteFile(group + "node.n2", "");
  for (int i = 0; i < 3; ++i) {
    const auto snapshot = directory->Read(kGroup);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status().ToString();
    EXPECT_EQ(snapshot->view, MakeView(1));
    EXPECT_EQ(snapshot->registrations, (std::vector<Member>{{NodeId{1}, Incarnation{9}}}));
  }
  EXPECT_EQ(told.size(), 5u);
  for (const char* name : {"node.n1.bak", "~", ".nfs0001", "lost+found", "node.n2"}) {
    EXPECT_TRUE(std::any_of(told.begin(), told.end(), [&](const std::string& text) {
      return text.find(name) != std::string::npos;
    })) << name;
  }
  MustWin(*directory, 2);
  ASSERT_TRUE(directory->Register(kGroup, NodeId{2}, Incarnation{8}).ok());
  EXPECT_EQ(directory->Read(kGroup)->registrations.size(), 2u);

  std::filesystem::create_directory(temp_ / "directory/groups/backup");
  const auto reopened = EmbeddedDirectory::Open(options);
  ASSERT_TRUE(reopened.ok());
  EXPECT_NE(told.back().find("groups/backup"), std::string::npos) << told.back();
}

TEST_F(EmbeddedRegistration, IsReplacedByTheNodesNextIncarnation) {
  const auto directory = MustOpen();
  EXPECT_TRUE(directory->Register(kGroup, NodeId{10}, Incarnation{3}).ok());
  EXPECT_TRUE(directory->Register(kGroup, NodeId{2}, Incarnation{4}).ok());
  EXPECT_TRUE(directory->Register(kGroup, NodeId{10}, Incarnation{5}).ok());
  const auto snapshot = MustOpen()->Read(kGroup);
  const std::vector<Member> expected = {{NodeId{2}, Incarnation{4}}, {NodeId{10}, Incarnation{5}}};
  EXPECT_EQ(snapshot->registrations, expected);
  EXPECT_FALSE(snapshot->view);
  EXPECT_EQ(directory->Register(kGroup, NodeId{1}, Incarnation{0}).code(), StatusCode::kInvalid);
}

NodeRegister MakeRegister(uint64_t version, uint64_t life = 77) {
  NodeRegister held;
  held.node = NodeId{1};
  held.version = version;
  held.files = 3;
  held.starts = 4;
  held.life = life;
  held.address = "127.0.0.1:7401";
  held.process = {"b0-07", 1, 2, 3, 4, 5, 6};
  held.wall_us = 8;
  held.confirmed = {{kGroup, Incarnation{11}, {Epoch{2}, Lsn{9}}}, {kGroup, Incarnation{12}, {}}};
  return held;
}

TEST_F(EmbeddedAdoption, SuccessorIsThereWholeAndSaysWhatItIs) {  // R12
  const Adoption adoption{DirectoryIncarnation{5}, 1234, {{kGroup, {NodeId{1}, Incarnation{11}}}}};
  const Placement placement = Placement::Even({kGroup});
  const auto make = [&] {
    return EmbeddedDirectory::MakeSuccessor(temp_ / "directory",
                                            {"cluster-a", DirectoryIncarnation{6}, Epoch{5}, adoption},
                                            placement, {MakeView(8)});
  };
  MustOpen(5);
  EXPECT_EQ(make().code(), StatusCode::kConflict);
  EXPECT_FALSE(MustOpen()->adoption());
  std::filesystem::remove_all(temp_ / "directory");
  std::filesystem::create_directory(temp_ / "directory");  // a mount point
  std::filesystem::remove_all(temp_ / "directory.adopting.0000000000000006");
  ASSERT_TRUE(make().ok());
  const auto directory = MustOpen(9);
  EXPECT_EQ(directory->incarnation(), DirectoryIncarnation{6});
  EXPECT_EQ(directory->adoption(), adoption);
  EXPECT_EQ(directory->Read(kGroup)->view, MakeView(8));
  EXPECT_EQ(directory->ReadPlacement()->slots(), placement.slots());
  MustWin(*directory, 9);
}

TEST_F(EmbeddedRegister, IsSwappedByVersion) {  // R3
  const auto directory = MustOpen();
  EXPECT_FALSE(directory->ReadRegister(NodeId{1})->has_value());
  EXPECT_EQ(directory->SwapRegister(MakeRegister(2)).code(), StatusCode::kConflict);
  for (uint64_t version = 1; version <= 30; ++version) {
    ASSERT_TRUE(directory->SwapRegister(MakeRegister(version)).ok());
    EXPECT_EQ(**MustOpen()->ReadRegister(NodeId{1}), MakeRegister(version));
    EXPECT_EQ(directory->SwapRegister(MakeRegister(version)).code(), StatusCode::kConflict);
  }
  EXPECT_FALSE(directory->ReadRegister(NodeId{2})->has_value());
  EXPECT_LE(ListDirectory(temp_ / "directory/nodes/n1")->size(),
            2 * EmbeddedDirectory::kRegistersKept);  // G8
}

TEST_F(EmbeddedRegister, DamageIsReported) {
  const auto directory = MustOpen();
  ASSERT_TRUE(directory->SwapRegister(MakeRegister(1)).ok());
  const std::string path = temp_ / "directory/nodes/n1/register.00000000000000000001";
  const std::string text = ReadFile(path);
  for (size_t at = 0; at < text.size(); ++at) {
    WriteFile(path, text.substr(0, at) + "?" + text.substr(at + 1));
    ASSERT_EQ(directory->ReadRegister(NodeId{1}).status().code(), StatusCode::kDamaged) << at;
  }
  WriteFile(path, text);
  WriteFile(temp_ / "directory/nodes/n1/register.00000000000000000002", text);  // another version's
  EXPECT_EQ(directory->ReadRegister(NodeId{1}).status().code(), StatusCode::kDamaged);
}

TEST_F(EmbeddedRegister, OnlyTheProcessThatItNamesProposes) {  // R3
  MustWin(*MustOpen(), 1);                                     // a node that never registered
  const auto earlier = MustOpen(5, /*life=*/77);
  const auto registered = MustOpen(5, /*life=*/78);
  ASSERT_TRUE(registered->SwapRegister(MakeRegister(1, /*life=*/78)).ok());
  const CasResult refused = earlier->CompareAndSwap(MakeView(2, 1, 77));
  EXPECT_EQ(refused.outcome, CasOutcome::kFailed);
  EXPECT_EQ(refused.error.code(), StatusCode::kForeign);
  EXPECT_EQ(registered->Read(kGroup)->view, MakeView(1));
  EXPECT_EQ(registered->CompareAndSwap(MakeView(2, 1, 78)).outcome, CasOutcome::kWon);
  EXPECT_EQ(earlier->CompareAndSwap(MakeView(3, 2, 79)).outcome, CasOutcome::kWon);  // another node
}

// Each opening of a replica is a life of its own, and a process opens one again that had no room (G8).
TEST_F(EmbeddedRegister, ReplicaThatItsProcessOpenedAgainProposes) {  // R3
  const auto directory = MustOpen(5, /*life=*/78);
  ASSERT_TRUE(directory->SwapRegister(MakeRegister(1, /*life=*/78)).ok());
  EXPECT_EQ(directory->CompareAndSwap(MakeView(1, 1, 78)).outcome, CasOutcome::kWon);
  EXPECT_EQ(directory->CompareAndSwap(MakeView(2, 1, 12345)).outcome, CasOutcome::kWon);
}

TEST_F(EmbeddedPlacement, IsCreatedOnce) {
  const auto directory = MustOpen();
  const Placement two = Placement::Even({{GroupKind::kShard, 1}, {GroupKind::kShard, 2}});
  EXPECT_TRUE(directory->CreatePlacement(two).ok());
  EXPECT_TRUE(MustOpen()->CreatePlacement(two).ok());
  EXPECT_EQ(directory->CreatePlacement(Placement::Even({{GroupKind::kShard, 3}})).code(),
            StatusCode::kConflict);
  EXPECT_EQ(directory->ReadPlacement()->slots(), two.slots());
}

TEST_F(EmbeddedPlacement, WorstFragmentationStillFits) {
  std::vector<GroupId> slots;
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    slots.push_back({GroupKind::kShard, static_cast<uint16_t>(60000 + slot % 2)});
  }
  const auto directory = MustOpen();
  ASSERT_TRUE(directory->CreatePlacement(Placement(slots)).ok());
  EXPECT_EQ(directory->ReadPlacement()->slots(), slots);
}

}  // namespace
}  // namespace assent
