// Messages between nodes as bytes: every one comes back, and no other bytes are taken for one.
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "common/message_codec.h"
#include "samples.h"

namespace assent {
namespace {

using samples::Random;

template <typename T>
T Sample() {
  Random random(11);
  Message message = T{};
  return std::get<T>(samples::RandomMessage(message.index(), random));
}

// What the decoder says of `message` once it was spoiled; empty: nothing.
template <typename T>
std::string ProblemAfter(
    T message, const std::function<void(T&)>& spoil = [](T&) {}) {
  spoil(message);
  Envelope envelope{{GroupKind::kShard, 1}, NodeId{1}, {}, {GroupKind::kCoordinator, 1}, {}, message};
  const auto decoded = DecodeMessage(EncodeMessage(envelope));
  return decoded.ok() ? "" : decoded.status().message();
}

TEST(MessageCodec, EveryMessageSurvivesTheWireAndHasItsSize) {
  Random random(1);
  for (size_t type = 0; type < samples::kMessageTypes; ++type) {
    for (int i = 0; i < 200; ++i) {
      const Envelope envelope = samples::RandomEnvelope(type, random);
      const std::string bytes = EncodeMessage(envelope);
      ASSERT_EQ(bytes.size(), EncodedMessageSize(envelope));
      const auto back = DecodeMessage(bytes);
      ASSERT_TRUE(back.ok()) << type << ": " << back.status().message();
      ASSERT_EQ(samples::TextOf(*back), samples::TextOf(envelope)) << type;
    }
  }
}

// Whatever comes: it is refused, or read as what it says.
TEST(MessageCodec, FlippedCutAndLengthenedBytes) {
  Random random(2);
  size_t accepted = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string good =
        EncodeMessage(samples::RandomEnvelope(random() % samples::kMessageTypes, random));
    std::string bytes = good;
    for (uint64_t flips = random() % 3; flips > 0; --flips) {
      char& byte = bytes[random() % bytes.size()];
      byte = static_cast<char>(byte ^ static_cast<char>(random()));
    }
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    if (random() % 8 == 0) bytes += static_cast<char>(random());
    const auto decoded = DecodeMessage(bytes);
    if (!decoded.ok()) continue;
    ++accepted;
    const bool is_cut = EncodedMessageSize(*decoded) < bytes.size();  // a long detail
    ASSERT_TRUE(is_cut || EncodeMessage(*decoded) == bytes);
  }
  EXPECT_GT(accepted, 5000u);  // it gets past the first check
}

TEST(MessageCodec, NoBytesMakeItAllocateBeyondThem) {
  Random random(3);
  for (int i = 0; i < 100'000; ++i) (void)DecodeMessage(samples::Bytes(random, 0, 80));
  // Counts and lengths of 4 billion, with nothing behind them. A message of numbers alone may take them.
  std::string head =
      EncodeMessage({{GroupKind::kShard, 1}, NodeId{1}, {}, {GroupKind::kShard, 1}, {}, HandOver{}});
  head.pop_back();  // its type
  for (size_t type = 1; type <= samples::kMessageTypes; ++type) {
    for (size_t length = 0; length < 200; ++length) {
      const std::string bytes = head + static_cast<char>(type) + std::string(length, '\xff');
      const auto decoded = DecodeMessage(bytes);
      EXPECT_TRUE(!decoded.ok() || EncodeMessage(*decoded) == bytes) << type << " " << length;
    }
  }
}

TEST(MessageCodec, ShippedRecordsOutOfSequenceAreRefused) {  // R4, R9
  Ship ship;
  ship.prev = {Epoch{2}, Lsn{7}};
  const auto record = std::make_shared<const std::string>("r");
  const auto problem = [&](const std::vector<LogPosition>& positions) {
    ship.entries.clear();
    for (const LogPosition& position : positions) ship.entries.push_back({position, record});
    return ProblemAfter(ship);
  };
  EXPECT_EQ(problem({{Epoch{2}, Lsn{8}}, {Epoch{3}, Lsn{9}}}), "");
  EXPECT_NE(problem({{Epoch{2}, Lsn{9}}}), "");  // a gap
  EXPECT_NE(problem({{Epoch{2}, Lsn{7}}}), "");  // a repetition
  EXPECT_NE(problem({{Epoch{1}, Lsn{8}}}), "");  // an epoch that falls
  EXPECT_NE(problem({{Epoch{3}, Lsn{8}}, {Epoch{2}, Lsn{9}}}), "");
  ship.prev.lsn = Lsn{UINT64_MAX};
  EXPECT_NE(problem({}), "");
}

TEST(MessageCodec, UnknownTypesAndChoicesAreRefusedNeverTakenForAnother) {
  const auto spoilt = [](const Message& message, size_t from_end, char byte) {
    std::string bytes =
        EncodeMessage({{GroupKind::kShard, 1}, NodeId{1}, {}, {GroupKind::kCoordinator, 1}, {}, message});
    bytes[bytes.size() - 1 - from_end] = byte;
    return DecodeMessage(bytes).ok();
  };
  Decide decide = Sample<Decide>();
  EXPECT_TRUE(spoilt(decide, 0, 1));
  EXPECT_FALSE(spoilt(decide, 0, 0));
  EXPECT_FALSE(spoilt(decide, 0, 3));
  EXPECT_FALSE(spoilt(HandOver{}, 0, 0));  // its type
  EXPECT_FALSE(spoilt(HandOver{}, 0, static_cast<char>(samples::kMessageTypes + 1)));
  Inquire inquire = Sample<Inquire>();
  EXPECT_FALSE(spoilt(inquire, 0, 2));  // a flag
  BranchAborted aborted = Sample<BranchAborted>();
  aborted.detail = "";
  EXPECT_TRUE(spoilt(aborted, 4, static_cast<char>(AbortReason::kTokenExpired)));
  EXPECT_FALSE(spoilt(aborted, 4, static_cast<char>(Raw(RangeOf(AbortReason{}).second) + 1)));
}

// Whether the enum has the value; an enumerator that is new does not compile here.
bool Has(GroupKind kind) {
  switch (kind) {
    case GroupKind::kCoordinator:
    case GroupKind::kShard:
      return true;
  }
  return false;
}
bool Has(CheckKind kind) {
  switch (kind) {
    case CheckKind::kExists:
    case CheckKind::kAbsent:
    case CheckKind::kValue:
    case CheckKind::kVersion:
      return true;
  }
  return false;
}
bool Has(Decision decision) {
  switch (decision) {
    case Decision::kCommit:
    case Decision::kAbort:
      return true;
  }
  return false;
}
bool Has(CommitMode mode) {
  switch (mode) {
    case CommitMode::kCoordinator:
      return true;
  }
  return false;
}
bool Has(Vote vote) {
  switch (vote) {
    case Vote::kYes:
    case Vote::kNo:
    case Vote::kReadOnly:
      return true;
  }
  return false;
}
bool Has(AbortReason reason) {
  return ToString(reason) != "?";
}

template <typename Enum>
void WalkPastTheRange() {
  const auto [first, last] = RangeOf(Enum{});
  for (int i = 0; i < 256; ++i) {
    const bool in_range = i >= static_cast<int>(first) && i <= static_cast<int>(last);
    EXPECT_EQ(Has(static_cast<Enum>(i)), in_range) << i;
  }
}

// A value added behind the last one is known to RangeOf, too: messages and records with it are read.
TEST(MessageCodec, RangesEndWhereTheirEnumsDo) {
  WalkPastTheRange<GroupKind>();
  WalkPastTheRange<CheckKind>();
  WalkPastTheRange<Decision>();
  WalkPastTheRange<CommitMode>();
  WalkPastTheRange<Vote>();
  WalkPastTheRange<AbortReason>();
}

TEST(MessageCodec, IdsMustBeWhole) {
  EXPECT_EQ(ProblemAfter(Sample<Inquire>()), "");
  EXPECT_NE(ProblemAfter<Inquire>(Sample<Inquire>(), [](Inquire& m) { m.txn.seq = 0; }), "");
  EXPECT_NE(ProblemAfter<Inquire>(Sample<Inquire>(),
                                  [](Inquire& m) { m.txn.coordinator.kind = GroupKind::kShard; }),
            "");
  EXPECT_NE(ProblemAfter<Inquire>(Sample<Inquire>(), [](Inquire& m) { m.txn.epoch = Epoch{UINT64_MAX}; }),
            "");
  EXPECT_NE(ProblemAfter<PeerInquire>(Sample<PeerInquire>(), [](PeerInquire& m) { m.txn = {}; }), "");
  EXPECT_NE(ProblemAfter<SettleToken>(Sample<SettleToken>(), [](SettleToken& m) { m.attempt = 0; }), "");
  EXPECT_NE(ProblemAfter<SettleToken>(Sample<SettleToken>(), [](SettleToken& m) { m.token = {}; }), "");
  EXPECT_NE(ProblemAfter<OperateReply>(Sample<OperateReply>(), [](OperateReply& m) { m.branch = {}; }), "");
  EXPECT_NE(ProblemAfter<Operate>(Sample<Operate>(), [](Operate& m) { m.first = 0; }), "");
  EXPECT_NE(ProblemAfter<Operate>(Sample<Operate>(), [](Operate& m) { m.branch = {Epoch{1}, 0}; }), "");
  const auto loose = [](CommitOnePhase& m) {  // C5
    m.token = {{GroupKind::kCoordinator, 1}, ClientId{1}, 1, 1};
    m.attempt = 0;
  };
  EXPECT_NE(ProblemAfter<CommitOnePhase>(Sample<CommitOnePhase>(), loose), "");
  const auto other = [](Decide& m) {  // C8: a group's mark is about its own ids
    m.header.mark = m.header.txn;
    m.header.mark.coordinator.number ^= 1;
  };
  EXPECT_NE(ProblemAfter<Decide>(Sample<Decide>(), other), "");
}

TEST(MessageCodec, LimitsOfOperationsAndResultsHold) {
  const auto with = [](Operation operation) {
    return ProblemAfter<Operate>(Sample<Operate>(), [&](Operate& m) { m.operations = {operation}; });
  };
  EXPECT_EQ(with(GetOp{"k"}), "");
  EXPECT_NE(with(GetOp{""}), "");
  EXPECT_NE(with(GetOp{std::string(kKeyBytesMax + 1, 'k')}), "");
  EXPECT_NE(with(PutOp{"k", std::string(kValueBytesMax + 1, 'v')}), "");
  EXPECT_NE(with(ScanOp{"k", kScanRowsMax + 1, ""}), "");
  EXPECT_NE(with(ScanOp{"k", 0, "other"}), "");
  EXPECT_NE(
      ProblemAfter<Operate>(
          Sample<Operate>(),
          [](Operate& m) { m.operations = std::vector<Operation>(kBranchOperationsMax + 1, GetOp{"k"}); }),
      "");
  EXPECT_NE(ProblemAfter<VoteReply>(Sample<VoteReply>(),
                                    [](VoteReply& m) {
                                      m.results = {{{{"", "v", 1}}}};
                                    }),
            "");
  EXPECT_NE(ProblemAfter<Prepare>(Sample<Prepare>(),
                                  [](Prepare& m) {
                                    m.participants = {{std::string(kNameBytesMax + 1, 'n'), {}, true}};
                                  }),
            "");
}

TEST(MessageCodec, LongDetailsAreCutAtACharacter) {
  BranchAborted aborted = Sample<BranchAborted>();
  aborted.detail = std::string(kDetailBytesMax - 1, 'x') + "\xc3\xa4" + "more";
  const auto back = DecodeMessage(
      EncodeMessage({{GroupKind::kShard, 1}, NodeId{1}, {}, {GroupKind::kShard, 2}, {}, aborted}));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(std::get<BranchAborted>(back->message).detail, std::string(kDetailBytesMax - 1, 'x'));
}

}  // namespace
}  // namespace assent
