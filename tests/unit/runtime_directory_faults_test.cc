// Named faults of the directory, as a node sees it: answers that fail to come or are lost.
#include <gtest/gtest.h>

#include "directory/embedded.h"
#include "runtime/directory_faults.h"
#include "temp_directory.h"

namespace assent {
namespace {

constexpr GroupId kGroup{GroupKind::kShard, 1};

View MakeView(uint64_t epoch) {
  View view;
  view.group = kGroup;
  view.epoch = Epoch{epoch};
  view.primary = NodeId{1};
  view.primary_life = 7;
  view.members = {{NodeId{1}, Incarnation{11}}};
  return view;
}

class DirectoryFaults : public testing::Test {
 protected:
  DirectoryFaults() {
    auto opened = EmbeddedDirectory::Open({temp_ / "directory", "cluster-a", DirectoryIncarnation{5}});
    ASSENT_CHECK(opened.ok(), opened.status().message());
    real_ = opened->get();
    faulty_.emplace(std::move(opened).value());
  }
  Epoch RealEpoch() const {
    const auto read = real_->Read(kGroup);
    return read.ok() && read->view ? read->view->epoch : Epoch{};
  }

  const TempDirectory temp_;
  EmbeddedDirectory* real_ = nullptr;
  std::optional<FaultyDirectory> faulty_;
};

TEST_F(DirectoryFaults, UnarmedPassesAllOn) {
  EXPECT_EQ(faulty_->CompareAndSwap(MakeView(1)).outcome, CasOutcome::kWon);
  EXPECT_EQ(faulty_->CompareAndSwap(MakeView(1)).outcome, CasOutcome::kLost);
  EXPECT_TRUE(faulty_->Register(kGroup, NodeId{1}, Incarnation{11}).ok());
  const auto read = faulty_->Read(kGroup);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->registrations.size(), 1U);
}

TEST_F(DirectoryFaults, NoAnswerSwapsNothing) {
  ASSERT_TRUE(faulty_->Arm("directory.no-answer", 3));
  EXPECT_EQ(faulty_->CompareAndSwap(MakeView(1)).outcome, CasOutcome::kUnknown);
  EXPECT_FALSE(faulty_->Read(kGroup).ok());
  EXPECT_FALSE(faulty_->Register(kGroup, NodeId{1}, Incarnation{11}).ok());
  EXPECT_EQ(RealEpoch(), Epoch{});
  EXPECT_TRUE(faulty_->Read(kGroup)->registrations.empty());  // the fourth call
}

TEST_F(DirectoryFaults, LostAnswerSwapsAndSaysItDoesNotKnow) {
  ASSERT_TRUE(faulty_->Arm("directory.lost-answer", 1'000));
  EXPECT_EQ(faulty_->CompareAndSwap(MakeView(1)).outcome, CasOutcome::kUnknown);
  EXPECT_EQ(RealEpoch(), Epoch{1});
  EXPECT_FALSE(faulty_->Read(kGroup).ok());
  ASSERT_TRUE(faulty_->Arm("directory.answers", 1));
  EXPECT_TRUE(faulty_->Read(kGroup).ok());
}

TEST_F(DirectoryFaults, OthersAreNone) {
  EXPECT_FALSE(faulty_->Arm("coordinator.before-decision", 1));
  EXPECT_FALSE(faulty_->Arm("", 1));
  for (const CrashPoint& fault : AllDirectoryFaults()) EXPECT_TRUE(faulty_->Arm(fault.name, 1)) << fault.name;
}

}  // namespace
}  // namespace assent
