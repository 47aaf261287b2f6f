// A replica's dialogue with the directory: R3, R5, R12, I-R4.

#include <gtest/gtest.h>

#include "backup/directory_dialogue.h"
#include "tests/unit/backup_testing.h"

namespace assent::backup {
namespace {

using Fate = DirectoryDialogue::Fate;
using Lines = std::vector<std::string>;

std::string Line(const Effect& effect) {
  if (std::holds_alternative<ReadDirectory>(effect)) return "read";
  if (const auto* propose = std::get_if<ProposeView>(&effect)) {
    return "propose " + std::to_string(Raw(propose->view.epoch)) + (propose->planned ? ", planned" : "");
  }
  if (const auto* persist = std::get_if<PersistView>(&effect)) {
    return "persist " + std::to_string(Raw(persist->seen_epoch));
  }
  return std::holds_alternative<Register>(effect) ? "register" : "?";
}

// Of n1, which acts in epoch 4 of a directory that it knows.
class DirectoryDialogueTest : public testing::Test {
 protected:
  DirectoryDialogueTest() { dialogue_.Start(Epoch{4}, kDirectory); }

  Lines Take(const Effects& effects) {
    dialogue_.CheckInvariants();
    Lines lines;
    for (const Effect& effect : effects) lines.push_back(Line(effect));
    return lines;
  }
  // What is asked now.
  Lines Asked() {
    Effects effects;
    dialogue_.OnTick(now_us_);
    dialogue_.Issue(now_us_, effects);
    return Take(effects);
  }
  Lines AskedAfter(uint64_t us) {
    now_us_ += us;
    return Asked();
  }
  // The answer to a reading; why it cannot be, if it cannot.
  std::string Shows(const std::optional<View>& view, Incarnation directory = kDirectory) {
    Effects effects;
    std::string why = dialogue_.OnRead({view, directory, {Node(1), Node(2)}}, acts_in_, effects);
    EXPECT_EQ(Take(effects), Lines{});
    dialogue_.ReadAt(now_us_ + kReadSettledUs);
    return why;
  }
  Fate Swapped(const View& view, CasOutcome outcome) {
    const Fate fate = dialogue_.OnSwapped(now_us_, {view, outcome});
    dialogue_.CheckInvariants();
    return fate;
  }
  // The next view, if it is ready, and what that takes, as a line.
  std::string Next(bool is_log_at_rest = true) {
    Effects effects;
    const std::optional<View> view = dialogue_.TakeNext(is_log_at_rest, effects);
    std::string line = view ? "enter " + std::to_string(Raw(view->epoch)) : "";
    for (const std::string& effect : Take(effects)) line += effect;
    return line;
  }
  // As a reading does that shows `view`.
  bool Enter(const View& view) {
    if (!dialogue_.Learn(view)) return false;
    dialogue_.Enter(view);
    return true;
  }

  uint64_t now_us_ = 1'000'000;
  View acts_in_ = ViewOf(4, 1, kLife, {1, 2});
  View next_ = ViewOf(5, 1, kLife, {1});
  DirectoryDialogue dialogue_{kGroup, Node(1), /*seed=*/kLife};
};

using DialogueQuestions = DirectoryDialogueTest;
using DialogueProposals = DirectoryDialogueTest;
using DialogueReadings = DirectoryDialogueTest;
using DialogueNextView = DirectoryDialogueTest;

TEST_F(DialogueQuestions, OneIsOnItsWayAtATime) {
  dialogue_.Read();
  dialogue_.Propose(next_, /*planned=*/true);
  EXPECT_EQ(Asked(), Lines{"propose 5, planned"});
  EXPECT_EQ(dialogue_.NextDeadline(), UINT64_MAX);
  EXPECT_EQ(AskedAfter(kReadSettledUs), Lines{});
  EXPECT_EQ(Swapped(next_, CasOutcome::kOk), Fate::kWon);
  EXPECT_EQ(Asked(), Lines{"read"});
}

TEST_F(DialogueQuestions, ReadsOfItselfWhenItIsTime) {
  dialogue_.ReadAt(now_us_ + kReadSettledUs);
  EXPECT_EQ(dialogue_.NextDeadline(), now_us_ + kReadSettledUs);
  EXPECT_EQ(AskedAfter(kReadSettledUs - 1), Lines{});
  EXPECT_EQ(AskedAfter(1), Lines{"read"});
}

TEST_F(DialogueQuestions, DirectoryThatCannotBeReadIsAskedAfterAPause) {
  EXPECT_EQ(Asked(), Lines{"read"});
  dialogue_.OnUnread(now_us_);
  dialogue_.Read();
  EXPECT_EQ(dialogue_.NextDeadline(), now_us_ + kReadWaitingUs);
  EXPECT_EQ(AskedAfter(kReadWaitingUs - 1), Lines{});
  EXPECT_EQ(AskedAfter(1), Lines{"read"});
}

// R3, R6: it may be applied at any time, so nothing else may be proposed under its epoch.
TEST_F(DialogueProposals, OneWhoseFateIsOpenIsRepeatedAsItWas) {
  dialogue_.Propose(next_, /*planned=*/true);
  EXPECT_EQ(Asked(), Lines{"propose 5, planned"});
  EXPECT_EQ(Swapped(next_, CasOutcome::kUnknown), Fate::kOpen);
  EXPECT_EQ(dialogue_.proposed(), next_);
  EXPECT_EQ(AskedAfter(kProposalPauseMaxUs), Lines{"read"});  // first: it may have been applied
  EXPECT_EQ(Shows(acts_in_), "");
  EXPECT_EQ(Asked(), Lines{"propose 5"});
  EXPECT_EQ(Swapped(next_, CasOutcome::kLost), Fate::kOpen);
  EXPECT_EQ(Asked(), Lines{"read"});
  EXPECT_EQ(Shows(next_), "");
  EXPECT_TRUE(dialogue_.Learn(next_));
  EXPECT_EQ(dialogue_.proposed(), std::nullopt);
}

TEST_F(DialogueProposals, NoOtherTakesItsPlace) {
  dialogue_.Propose(next_, /*planned=*/false);
  dialogue_.Propose(next_, /*planned=*/false);
  EXPECT_DEATH(dialogue_.Propose(ViewOf(5, 1, kLife, {1, 2, 3}), false), "R3");
}

TEST_F(DialogueProposals, OneThatSurelyFailedIsForgottenUnlessAnEarlierTryMayBeApplied) {
  dialogue_.Propose(next_, /*planned=*/false);
  EXPECT_EQ(Asked(), Lines{"propose 5"});
  EXPECT_EQ(Swapped(next_, CasOutcome::kFailed), Fate::kFailed);
  EXPECT_EQ(dialogue_.proposed(), std::nullopt);

  const View other = ViewOf(5, 1, kLife, {1, 2, 3});
  dialogue_.Propose(other, /*planned=*/false);
  EXPECT_EQ(AskedAfter(kProposalPauseMaxUs), Lines{"propose 5"});
  EXPECT_EQ(Swapped(other, CasOutcome::kUnknown), Fate::kOpen);
  EXPECT_EQ(Asked(), Lines{"read"});
  EXPECT_EQ(Shows(acts_in_), "");
  EXPECT_EQ(AskedAfter(kProposalPauseMaxUs), Lines{"propose 5"});
  EXPECT_EQ(Swapped(other, CasOutcome::kFailed), Fate::kOpen);
  EXPECT_EQ(dialogue_.proposed(), other);
}

TEST_F(DialogueProposals, OneIsOverOnceAViewAsHighIsKnown) {
  dialogue_.Propose(next_, /*planned=*/false);
  EXPECT_EQ(Asked(), Lines{"propose 5"});
  EXPECT_EQ(Swapped(next_, CasOutcome::kUnknown), Fate::kOpen);
  EXPECT_TRUE(Enter(ViewOf(5, 2, 499, {2})));
  EXPECT_EQ(dialogue_.proposed(), std::nullopt);
  EXPECT_EQ(AskedAfter(kProposalPauseMaxUs), Lines{"read"});
  dialogue_.Propose(ViewOf(6, 1, kLife, {1}), /*planned=*/false);
  dialogue_.CheckInvariants();
}

// R3
TEST_F(DialogueProposals, PausesDoubleUntilAViewIsEntered) {
  uint64_t longest_us = kProposalPauseMinUs;
  for (int tries = 0; tries < 8; ++tries) {
    dialogue_.ReadAt(UINT64_MAX);
    dialogue_.Propose(next_, /*planned=*/false);
    EXPECT_EQ(Asked(), Lines{"propose 5"});
    EXPECT_EQ(Swapped(next_, CasOutcome::kFailed), Fate::kFailed);
    EXPECT_GE(dialogue_.next_propose_us(), now_us_ + longest_us / 2);
    EXPECT_LE(dialogue_.next_propose_us(), now_us_ + longest_us);
    EXPECT_FALSE(dialogue_.MayPropose(now_us_));
    now_us_ = dialogue_.next_propose_us();
    longest_us = std::min(2 * longest_us, kProposalPauseMaxUs);
  }
  dialogue_.Propose(next_, /*planned=*/false);
  EXPECT_EQ(Asked(), Lines{"propose 5"});
  EXPECT_EQ(Swapped(next_, CasOutcome::kUnknown), Fate::kOpen);
  EXPECT_FALSE(dialogue_.MayPropose(now_us_));
  EXPECT_TRUE(Enter(next_));
  EXPECT_EQ(Next(), "persist 5");
  dialogue_.OnPersisted(Epoch{5});
  EXPECT_EQ(Next(), "enter 5");
  EXPECT_TRUE(dialogue_.MayPropose(now_us_));
}

// R5: an earlier life may have answered beacons.
TEST_F(DialogueProposals, WaitForTheLeasesThatMayHold) {
  dialogue_.ReadAt(UINT64_MAX);
  dialogue_.ProposeNothingBefore(now_us_ + kGraceUs);
  dialogue_.Propose(next_, /*planned=*/false);
  EXPECT_EQ(dialogue_.NextDeadline(), now_us_ + kGraceUs);
  EXPECT_EQ(AskedAfter(kGraceUs - 1), Lines{});
  EXPECT_EQ(AskedAfter(1), Lines{"propose 5"});
}

// R5: another view may have been made while the answer was on its way.
TEST_F(DialogueReadings, WordCountsFromWhenItWasAsked) {
  const uint64_t asked_us = now_us_;
  EXPECT_EQ(dialogue_.CurrentAt(Epoch{4}), 0U);
  EXPECT_EQ(Asked(), Lines{"read"});
  now_us_ += 700 * kMillisecond;
  EXPECT_EQ(Shows(acts_in_), "");
  EXPECT_EQ(dialogue_.CurrentAt(Epoch{4}), asked_us);
  EXPECT_EQ(dialogue_.CurrentAt(Epoch{5}), 0U);

  const uint64_t proposed_us = now_us_;
  dialogue_.Propose(next_, /*planned=*/false);
  EXPECT_EQ(Asked(), Lines{"propose 5"});
  now_us_ += 700 * kMillisecond;
  EXPECT_EQ(Swapped(next_, CasOutcome::kOk), Fate::kWon);
  EXPECT_EQ(dialogue_.CurrentAt(Epoch{4}), 0U);
  EXPECT_EQ(dialogue_.CurrentAt(Epoch{5}), proposed_us);
}

TEST_F(DialogueReadings, RegistersUntilTheDirectoryShowsIt) {
  const std::vector<std::vector<Member>> registered = {{}, {{NodeId{1}, Incarnation{11}}}, {Node(1)}};
  const std::vector<Lines> expected = {{"register"}, {"register"}, {}};
  for (size_t i = 0; i < registered.size(); ++i) {
    Effects effects;
    EXPECT_EQ(AskedAfter(kReadSettledUs), Lines{"read"});
    EXPECT_EQ(dialogue_.OnRead({acts_in_, kDirectory, registered[i]}, acts_in_, effects), "");
    EXPECT_EQ(Take(effects), expected[i]) << i;
  }
}

// R12
TEST_F(DialogueReadings, AnotherDirectoryIsToldFromTheOneThatIsKnown) {
  EXPECT_EQ(Asked(), Lines{"read"});
  EXPECT_NE(Shows(acts_in_, Incarnation{78}).find("not the directory"), std::string::npos);
}

TEST_F(DialogueReadings, FirstDirectoryIsKnownFromThenOn) {  // R12
  dialogue_.Start(Epoch{}, Incarnation{});
  EXPECT_EQ(Asked(), Lines{"read"});
  EXPECT_EQ(Shows(acts_in_, Incarnation{78}), "");
  EXPECT_EQ(AskedAfter(kReadSettledUs), Lines{"read"});
  EXPECT_NE(Shows(acts_in_).find("not the directory"), std::string::npos);
}

TEST_F(DialogueReadings, OlderCopyIsToldFromTheDirectory) {  // R12
  for (const auto& older : {std::optional<View>(ViewOf(3, 1, kLife, {1, 2})), std::optional<View>()}) {
    EXPECT_EQ(AskedAfter(kReadSettledUs), Lines{"read"});
    EXPECT_NE(Shows(older).find("has seen epoch 4"), std::string::npos);
  }
}

TEST_F(DialogueReadings, TwoViewsOfOneEpochAreNoDirectory) {  // R12
  EXPECT_EQ(Asked(), Lines{"read"});
  EXPECT_NE(Shows(ViewOf(4, 2, 499, {1, 2})).find("edited"), std::string::npos);
}

TEST_F(DialogueReadings, ViewOfAnotherGroupIsNoAnswer) {
  View view = acts_in_;
  view.group = {GroupKind::kShard, 2};
  EXPECT_EQ(Asked(), Lines{"read"});
  EXPECT_NE(Shows(view).find("for " + ToString(kGroup)), std::string::npos);
}

// I-R4
TEST_F(DialogueNextView, IsReadyOnceItsEpochIsPersistedAndTheLogAtRest) {
  EXPECT_EQ(Next(), "");
  EXPECT_TRUE(Enter(next_));
  EXPECT_EQ(Next(), "persist 5");
  EXPECT_EQ(Next(), "");
  EXPECT_EQ(dialogue_.seen_epoch(), Epoch{4});
  dialogue_.OnPersisted(Epoch{5});
  EXPECT_EQ(dialogue_.seen_epoch(), Epoch{5});
  EXPECT_EQ(Next(/*is_log_at_rest=*/false), "");
  EXPECT_EQ(Next(), "enter 5");
  EXPECT_EQ(Next(), "");
}

TEST_F(DialogueNextView, HigherOneTakesItsPlaceAndIsPersistedToo) {  // I-R4
  EXPECT_TRUE(Enter(next_));
  EXPECT_EQ(Next(), "persist 5");
  EXPECT_TRUE(Enter(ViewOf(6, 2, 499, {1, 2})));
  EXPECT_FALSE(Enter(next_));
  dialogue_.OnPersisted(Epoch{5});
  EXPECT_EQ(Next(), "persist 6");
  dialogue_.OnPersisted(Epoch{6});
  EXPECT_EQ(Next(), "enter 6");
}

// A process that restarts in the epoch that it was in.
TEST_F(DialogueNextView, EpochThatWasPersistedBeforeTheStartIsNotAgain) {
  EXPECT_TRUE(Enter(acts_in_));
  EXPECT_EQ(Next(), "enter 4");
}

}  // namespace
}  // namespace assent::backup
