// The checker can fail: each anomaly, planted by hand in an otherwise clean history, is found and named.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "sim/checker/checker.h"

namespace assent::checker {
namespace {

Read R(const std::string& key, const std::string& value, uint64_t version = 0) {
  return {key, value, version};
}
Read Absent(const std::string& key) {
  return {key, std::nullopt, 0};
}
Write W(const std::string& key, const std::string& value) {
  return {key, value};
}
Write Deleted(const std::string& key) {
  return {key, std::nullopt};
}
Scan S(const std::string& prefix, std::vector<ResultRow> rows, bool truncated = false) {
  return {prefix, std::move(rows), truncated};
}

// Transactions, all concurrent unless given times.
class Planted {
 public:
  size_t Add(std::vector<Event> events, Outcome outcome = Outcome::kCommitted, uint64_t invoke = 0,
             uint64_t complete = 1000) {
    auto number = static_cast<uint32_t>(history_.transactions.size());
    history_.transactions.push_back(
        {number, invoke, outcome == Outcome::kUnknown ? kNever : complete, outcome, std::move(events)});
    return number;
  }
  void List(const std::string& key) { history_.list_keys.insert(key); }

  // The one kind of anomaly that is there, and between whom.
  void Expect(AnomalyKind kind, const std::vector<size_t>& transactions) const {
    Verdict verdict = CheckHistory(history_);
    ASSERT_EQ(verdict.anomalies.size(), 1u) << verdict.ToString();
    EXPECT_EQ(verdict.anomalies[0].kind, kind) << verdict.ToString();
    std::vector<size_t> found = verdict.anomalies[0].transactions;
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, transactions) << verdict.ToString();
  }
  void ExpectClean() const {
    Verdict verdict = CheckHistory(history_);
    EXPECT_TRUE(verdict.ok()) << verdict.ToString();
  }

 private:
  History history_;
};

TEST(CheckerPlanted, DirtyWriteIsFound) {
  Planted p;
  size_t a = p.Add({W("x", "a"), W("y", "a")});
  size_t b = p.Add({W("x", "b"), W("y", "b")});
  // Versions that clients saw one at a time: x was written by a then b, y by b then a.
  p.Add({R("x", "a", 1)});
  p.Add({R("x", "b", 2)});
  p.Add({R("y", "b", 3)});
  p.Add({R("y", "a", 4)});
  p.Expect(AnomalyKind::kDirtyWrite, {a, b});
}

TEST(CheckerPlanted, AbortedReadIsFound) {
  Planted p;
  size_t a = p.Add({W("x", "a")}, Outcome::kAborted);
  size_t b = p.Add({R("x", "a")});
  p.Expect(AnomalyKind::kAbortedRead, {a, b});
}

TEST(CheckerPlanted, IntermediateReadIsFound) {
  Planted p;
  size_t a = p.Add({W("x", "a"), W("x", "b")});
  size_t b = p.Add({R("x", "a")});
  p.Expect(AnomalyKind::kIntermediateRead, {a, b});
}

TEST(CheckerPlanted, CircularInformationFlowIsFound) {
  Planted p;
  size_t a = p.Add({W("x", "a"), R("y", "b")});
  size_t b = p.Add({W("y", "b"), R("x", "a")});
  p.Expect(AnomalyKind::kCircularFlow, {a, b});
}

TEST(CheckerPlanted, LostUpdateIsFound) {
  Planted p;
  p.Add({W("x", "0")});
  size_t a = p.Add({R("x", "0"), W("x", "a")});
  size_t b = p.Add({R("x", "0"), W("x", "b")});
  p.Expect(AnomalyKind::kLostUpdate, {a, b});
}

TEST(CheckerPlanted, LostUpdateOfAnAbsentKeyIsFound) {
  Planted p;
  size_t a = p.Add({Absent("x"), W("x", "a")});
  size_t b = p.Add({Absent("x"), W("x", "b")});
  p.Expect(AnomalyKind::kLostUpdate, {a, b});
}

TEST(CheckerPlanted, LostAppendIsFound) {
  Planted p;
  p.List("x");
  p.Add({Absent("x"), W("x", "1")});
  size_t a = p.Add({R("x", "1"), W("x", "1,2")});
  size_t b = p.Add({R("x", "1"), W("x", "1,3")});
  p.Add({R("x", "1,3")});
  p.Expect(AnomalyKind::kLostUpdate, {a, b});
}

TEST(CheckerPlanted, ReadSkewIsFound) {
  Planted p;
  p.Add({Absent("x"), Absent("y"), W("x", "0"), W("y", "0")});
  size_t a = p.Add({R("x", "0"), R("y", "0"), W("x", "1"), W("y", "1")});
  size_t b = p.Add({R("x", "0"), R("y", "1")});
  p.Expect(AnomalyKind::kReadSkew, {a, b});
}

TEST(CheckerPlanted, HalfACommitIsFound) {  // of unknown outcome: one of its writes was seen, the other not
  Planted p;
  size_t a = p.Add({W("x", "1"), W("y", "1")}, Outcome::kUnknown);
  size_t b = p.Add({R("x", "1"), Absent("y")});
  p.Expect(AnomalyKind::kReadSkew, {a, b});
}

TEST(CheckerPlanted, WriteSkewIsFound) {
  Planted p;
  p.Add({W("x", "0"), W("y", "0")});
  size_t a = p.Add({R("x", "0"), R("y", "0"), W("x", "1")});
  size_t b = p.Add({R("x", "0"), R("y", "0"), W("y", "1")});
  p.Expect(AnomalyKind::kWriteSkew, {a, b});
}

TEST(CheckerPlanted, WriteSkewOfAbsentKeysIsFound) {  // nobody reads what they wrote
  Planted p;
  size_t a = p.Add({Absent("x"), W("y", "1")});
  size_t b = p.Add({Absent("y"), W("x", "1")});
  p.Expect(AnomalyKind::kWriteSkew, {a, b});
}

TEST(CheckerPlanted, WriteSkewOfThreeIsFound) {
  Planted p;
  p.Add({W("x", "0"), W("y", "0"), W("z", "0")});
  size_t a = p.Add({R("x", "0"), R("y", "0"), W("x", "1")});
  size_t b = p.Add({R("y", "0"), R("z", "0"), W("y", "1")});
  size_t c = p.Add({R("z", "0"), R("x", "0"), W("z", "1")});
  p.Expect(AnomalyKind::kWriteSkew, {a, b, c});
}

TEST(CheckerPlanted, PhantomIsFound) {
  Planted p;
  size_t a = p.Add({S("p/", {}), W("p/a", "1")});
  size_t b = p.Add({S("p/", {}), W("p/b", "1")});
  p.Expect(AnomalyKind::kPhantom, {a, b});
}

TEST(CheckerPlanted, PhantomBetweenScanAndReadIsFound) {
  Planted p;
  size_t a = p.Add({W("p/a", "1"), W("q", "1")});
  size_t b = p.Add({S("p/", {}), R("q", "1")});
  p.Expect(AnomalyKind::kPhantom, {a, b});
}

TEST(CheckerPlanted, KeyBeyondATruncatedScanIsNoPhantom) {
  Planted p;
  p.Add({W("p/a", "0")});
  p.Add({W("p/b", "1"), W("q", "1")});
  p.Add({S("p/", {{"p/a", "0", 0}}, true), R("q", "1")});
  p.ExpectClean();
}

TEST(CheckerPlanted, StaleReadThatOnlyRealTimeForbidsIsFound) {
  Planted p;
  p.Add({W("x", "0")}, Outcome::kCommitted, 0, 10);
  size_t a = p.Add({R("x", "0"), W("x", "1")}, Outcome::kCommitted, 20, 30);
  size_t b = p.Add({R("x", "0")}, Outcome::kCommitted, 40, 50);
  p.Expect(AnomalyKind::kStaleRead, {a, b});
}

TEST(CheckerPlanted, ReadThatOverlapsTheOverwriteMayBeOld) {
  Planted p;
  p.Add({W("x", "0")}, Outcome::kCommitted, 0, 10);
  p.Add({R("x", "0"), W("x", "1")}, Outcome::kCommitted, 20, 40);
  p.Add({R("x", "0")}, Outcome::kCommitted, 40, 50);  // began at the very moment of completion
  p.ExpectClean();
}

TEST(CheckerPlanted, LostCommitThatNobodyReadIsFound) {  // a blind write, acknowledged, then gone
  Planted p;
  p.Add({W("x", "0")}, Outcome::kCommitted, 0, 10);
  size_t a = p.Add({W("x", "1")}, Outcome::kCommitted, 20, 30);
  size_t b = p.Add({R("x", "0")}, Outcome::kCommitted, 40, 50);
  p.Expect(AnomalyKind::kStaleRead, {a, b});
}

TEST(CheckerPlanted, LostInsertThatAScanMissesIsFound) {
  Planted p;
  size_t a = p.Add({W("p/a", "1")}, Outcome::kCommitted, 0, 10);
  size_t b = p.Add({S("p/", {})}, Outcome::kCommitted, 20, 30);
  p.Expect(AnomalyKind::kStaleRead, {a, b});
}

TEST(CheckerPlanted, LostDeleteIsFound) {
  Planted p;
  p.Add({W("x", "0")}, Outcome::kCommitted, 0, 10);
  size_t a = p.Add({Deleted("x")}, Outcome::kCommitted, 20, 30);
  size_t b = p.Add({R("x", "0")}, Outcome::kCommitted, 40, 50);
  p.Expect(AnomalyKind::kStaleRead, {a, b});
}

TEST(CheckerPlanted, ReadFromTheFutureIsFound) {
  Planted p;
  size_t a = p.Add({R("x", "1")}, Outcome::kCommitted, 0, 10);
  size_t b = p.Add({W("x", "1")}, Outcome::kCommitted, 20, 30);
  p.Expect(AnomalyKind::kRealTime, {a, b});
}

TEST(CheckerPlanted, ListElementThatStandsTwiceIsFound) {
  Planted p;
  p.List("x");
  p.Add({Absent("x"), W("x", "1")});
  p.Add({R("x", "1"), W("x", "1,2")});
  p.Add({R("x", "1,2"), W("x", "1,2,2")});
  size_t reader = p.Add({R("x", "1,2,2")});
  p.Expect(AnomalyKind::kDuplicateEffect, {reader});
}

TEST(CheckerPlanted, WriteThatWasAppliedAgainIsFound) {
  Planted p;
  size_t a = p.Add({W("x", "a")});
  p.Add({W("x", "b")});
  p.Add({R("x", "a", 1)});
  p.Add({R("x", "b", 2)});
  size_t b = p.Add({R("x", "a", 3)});
  p.Expect(AnomalyKind::kDuplicateEffect, {a, b});
}

TEST(CheckerPlanted, VersionUsedTwiceIsFound) {
  Planted p;
  size_t a = p.Add({W("x", "a")});
  size_t b = p.Add({W("x", "b")});
  p.Add({R("x", "a", 1)});
  p.Add({R("x", "b", 1)});
  p.Expect(AnomalyKind::kVersionReused, {a, b});
}

TEST(CheckerPlanted, ValueNeverWrittenIsFound) {
  Planted p;
  size_t a = p.Add({R("x", "garbage")});
  p.Expect(AnomalyKind::kNeverWritten, {a});
}

TEST(CheckerPlanted, OwnWriteThatIsNotReadBackIsFound) {
  Planted p;
  size_t a = p.Add({W("x", "1"), Absent("x")});
  p.Expect(AnomalyKind::kInternal, {a});
}

TEST(CheckerPlanted, OwnInsertThatAScanMissesIsFound) {
  Planted p;
  size_t a = p.Add({W("p/a", "1"), S("p/", {})});
  p.Expect(AnomalyKind::kInternal, {a});
}

TEST(CheckerPlanted, ReadsThatDifferWithinATransactionAreFound) {
  Planted p;
  p.Add({W("x", "0")});
  size_t a = p.Add({R("x", "0"), W("x", "1")});
  size_t b = p.Add({R("x", "0"), R("x", "1")});
  p.Expect(AnomalyKind::kReadSkew, {a, b});
}

TEST(CheckerPlanted, ValueWrittenTwiceIsMalformed) {
  Planted p;
  size_t a = p.Add({W("x", "1")});
  size_t b = p.Add({W("x", "1")});
  p.Expect(AnomalyKind::kMalformed, {a, b});
}

TEST(CheckerPlanted, UnknownThatNobodyReadFromMayNotHaveHappened) {
  Planted p;
  p.Add({W("x", "0")}, Outcome::kCommitted, 0, 10);
  p.Add({W("x", "1")}, Outcome::kUnknown, 20);
  p.Add({R("x", "0")}, Outcome::kCommitted, 40, 50);
  p.ExpectClean();
}

TEST(CheckerPlanted, UnknownThatHappensLateIsClean) {
  Planted p;
  p.Add({W("x", "0")}, Outcome::kCommitted, 0, 10);
  p.Add({R("x", "0"), W("x", "1")}, Outcome::kUnknown, 20);
  p.Add({R("x", "0")}, Outcome::kCommitted, 40, 50);
  p.Add({R("x", "1")}, Outcome::kCommitted, 60, 70);
  p.ExpectClean();
}

TEST(CheckerPlanted, UnknownThatHappenedAndThenDidNotIsFound) {
  Planted p;
  p.Add({W("x", "0")}, Outcome::kCommitted, 0, 10);
  p.Add({R("x", "0"), W("x", "1")}, Outcome::kUnknown, 20);
  size_t a = p.Add({R("x", "1")}, Outcome::kCommitted, 40, 50);
  size_t b = p.Add({R("x", "0")}, Outcome::kCommitted, 60, 70);
  // x=1 was there, then gone: the unknown one lies before `a`, after `b`, and `a` completed before `b`.
  p.Expect(AnomalyKind::kStaleRead, {1, a, b});
}

TEST(CheckerPlanted, ChainOfUnknownsCountsIfItsEndWasRead) {
  Planted p;
  p.Add({Absent("x"), W("x", "0")}, Outcome::kUnknown);
  p.Add({R("x", "0"), W("x", "1")}, Outcome::kUnknown);
  p.Add({R("x", "1")});
  p.ExpectClean();
}

TEST(CheckerPlanted, ReadsOfAnAbortedTransactionSayNothing) {
  Planted p;
  p.Add({W("x", "a")}, Outcome::kAborted);
  p.Add({R("x", "a"), R("y", "garbage")}, Outcome::kAborted);
  p.ExpectClean();
}

TEST(CheckerPlanted, ReportNamesTheStepsAndTheirEvidence) {
  History history;
  history.transactions.push_back({0, 0, 1'000'000, Outcome::kCommitted, {W("x", "0")}});
  history.transactions.push_back(
      {1, 2'000'000, 3'000'000, Outcome::kCommitted, {R("x", "0", 7), W("x", "1")}});
  history.transactions.push_back({2, 4'000'000, 5'000'000, Outcome::kCommitted, {R("x", "0", 7)}});
  std::string text = CheckHistory(history).ToString();
  EXPECT_NE(text.find("stale read against real time"), std::string::npos) << text;
  EXPECT_NE(text.find("T2 (client 2, 4.000-5.000 ms, committed): r(x)=0@7"), std::string::npos) << text;
  EXPECT_NE(text.find("T2 -> T1  rw: read x=\"0\"@7, T1 wrote the later \"1\""), std::string::npos) << text;
  EXPECT_NE(text.find("T1 -> T2  real-time: T1 completed before T2 was invoked"), std::string::npos) << text;
}

}  // namespace
}  // namespace assent::checker
