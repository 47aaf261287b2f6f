#include <gtest/gtest.h>

#include <random>
#include <set>

#include "common/records.h"

namespace assent {
namespace {

constexpr GroupId kCoordinator{GroupKind::kCoordinator, 3};
constexpr GroupId kShard{GroupKind::kShard, 9};

// Records and parts of them, with every field drawn at random.
class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}

  uint64_t Number() { return random_() >> (random_() % 64); }
  bool Flip() { return random_() % 2 == 0; }
  std::string Bytes(size_t length_max = 20) {
    std::string bytes;
    for (size_t n = random_() % (length_max + 1); n > 0; --n) bytes += static_cast<char>(random_());
    return bytes;
  }
  GroupId Group() {
    return {Flip() ? GroupKind::kCoordinator : GroupKind::kShard, static_cast<uint16_t>(Number())};
  }
  TxnId Txn() { return {Group(), Epoch{Number()}, Number()}; }
  Token AToken() { return {Group(), ClientId{Number()}, Number(), Number()}; }
  template <typename Item, typename Make>
  std::vector<Item> List(const Make& make) {
    std::vector<Item> items;
    for (size_t n = random_() % 4; n > 0; --n) items.push_back(make());
    return items;
  }
  std::vector<Participant> Participants() {
    return List<Participant>([this] { return Participant{Flip() ? "" : Bytes(), Group(), Flip()}; });
  }
  std::vector<Write> Writes() {
    return List<Write>([this] {
      return Write{Bytes(), Flip() ? std::nullopt : std::optional<std::string>(Bytes())};
    });
  }
  Decision ADecision() { return Flip() ? Decision::kCommit : Decision::kAbort; }
  uint32_t Attempt() { return static_cast<uint32_t>(Number()); }

  // A record of each type in turn.
  LogRecord Record(size_t type) {
    switch (type % std::variant_size_v<LogRecord>) {
      case 0:
        return EpochBegan{};
      case 1: {
        Prepared r;
        r.txn = Txn();
        r.age = {Number(), Txn()};
        r.participants = Participants();
        r.writes = Writes();
        r.read_locks = List<ReadLock>([this] { return ReadLock{Bytes(), Flip(), Bytes()}; });
        return r;
      }
      case 2:
        return BranchDecided{Txn(), ADecision()};
      case 3:
        return OnePhaseCommitted{Txn(), AToken(), Attempt(), Number(), Number(), Writes()};
      case 4:
        return AttemptRefused{AToken(), Attempt(), Number()};
      case 5:
        return MarkRaised{Txn(), Number()};
      case 6:
        return Committed{Txn(),    Participants(),       AToken(), Attempt(), Number(),
                         Number(), Flip() ? Number() : 0};
      case 7:
        return Ended{Txn()};
      case 8:
        return HorizonRaised{Number()};
      default:
        return TokenCommitted{Txn(), AToken(), Attempt(), Number(), Number()};
    }
  }

 private:
  std::mt19937_64 random_;
};

// Bytes that decode are those that the record encodes to: so nothing that decodes was misread, whatever
// it was before.
void ExpectRefusedOrExact(const std::string& bytes) {
  const auto record = DecodeRecord(bytes);
  if (record.ok()) {
    EXPECT_EQ(EncodeRecord(*record), bytes);
  } else {
    EXPECT_EQ(record.status().code(), StatusCode::kDamaged);
  }
}

TEST(Records, EveryTypeRoundTrips) {
  Draw draw(1);
  std::set<size_t> types;
  for (size_t i = 0; i < 3000; ++i) {
    const LogRecord record = draw.Record(i);
    types.insert(record.index());
    const auto again = DecodeRecord(EncodeRecord(record));
    ASSERT_TRUE(again.ok()) << Describe(record);
    ASSERT_EQ(*again, record) << Describe(record);
  }
  EXPECT_EQ(types.size(), std::variant_size_v<LogRecord>);
}

// Some versions did not note when a transaction began: their records are read.
TEST(Records, CommittedWithoutItsBeginIsRead) {
  Committed record{
      TxnId{kCoordinator, Epoch{2}, 5}, {{"", kShard, true}}, {kCoordinator, ClientId{7}, 8, 9}, 1, 2, 3};
  std::string bytes = EncodeRecord(record);
  EXPECT_EQ(bytes[0], 7);
  EXPECT_EQ(DecodeRecord(bytes).value(), LogRecord(record));
  record.begin_us = 1'700'000'000'000'000;
  bytes = EncodeRecord(record);
  EXPECT_EQ(bytes[0], 11);
  EXPECT_EQ(DecodeRecord(bytes).value(), LogRecord(record));
  bytes.replace(bytes.size() - 8, 8, 8, '\0');  // there is one way to write each record
  EXPECT_FALSE(DecodeRecord(bytes).ok());
}

TEST(Records, EveryTruncationAndExtensionIsDamage) {
  Draw draw(2);
  for (size_t i = 0; i < 200; ++i) {
    const std::string bytes = EncodeRecord(draw.Record(i));
    for (size_t length = 0; length < bytes.size(); ++length) {
      ASSERT_EQ(DecodeRecord(bytes.substr(0, length)).status().code(), StatusCode::kDamaged)
          << i << " " << length;
    }
    ASSERT_FALSE(DecodeRecord(bytes + '\0').ok());
  }
}

TEST(Records, EveryBitFlipIsDamageOrReadAsItStands) {
  Draw draw(3);
  for (size_t i = 0; i < 100; ++i) {
    const std::string bytes = EncodeRecord(draw.Record(i));
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string bad = bytes;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      ExpectRefusedOrExact(bad);
    }
  }
}

TEST(Records, NoBytesMakeTheDecoderCrashOrAllocateBeyondThem) {
  Draw draw(4);
  for (int i = 0; i < 100'000; ++i) {
    std::string bytes = draw.Bytes(60);
    if (!bytes.empty()) bytes[0] = static_cast<char>(1 + i % 9);  // a known type gets further
    ExpectRefusedOrExact(bytes);
  }
  // Counts and lengths of 4 billion, with nothing behind them.
  for (char type = 1; type <= 9; ++type) {
    for (size_t length = 1; length < 200; ++length)
      ExpectRefusedOrExact(std::string(1, type) + std::string(length, '\xff'));
  }
}

TEST(Records, UnknownTypesModesAndFlagsAreDamage) {
  EXPECT_FALSE(DecodeRecord(std::string(1, '\0')).ok());
  EXPECT_FALSE(DecodeRecord(std::string(1, '\x0a')).ok());
  EXPECT_FALSE(DecodeRecord("").ok());
  std::string decided = EncodeRecord(BranchDecided{TxnId{kCoordinator, Epoch{1}, 1}, Decision::kAbort});
  decided.back() = 3;
  EXPECT_FALSE(DecodeRecord(decided).ok());
  // The commit mode lies behind the type, txn and age.
  Prepared prepared;
  prepared.txn = prepared.age.txn = TxnId{kCoordinator, Epoch{1}, 1};
  std::string bytes = EncodeRecord(prepared);
  const size_t mode = 1 + 19 + 8 + 19;
  ASSERT_EQ(bytes[mode], 1);
  bytes[mode] = 2;
  EXPECT_FALSE(DecodeRecord(bytes).ok());
}

TEST(Rows, RoundTripAndRefuseAllElse) {
  Draw draw(5);
  for (int i = 0; i < 200; ++i) {
    const TokenOutcome outcome{draw.Flip(), draw.Txn(), draw.Number(), draw.Attempt(), draw.Number()};
    const std::string outcome_bytes = EncodeRow(outcome);
    ASSERT_EQ(*DecodeTokenOutcome(outcome_bytes), outcome);
    const ClientFloor floor{draw.Number(), draw.Number()};
    const std::string floor_bytes = EncodeRow(floor);
    ASSERT_EQ(*DecodeClientFloor(floor_bytes), floor);
    for (size_t length = 0; length < outcome_bytes.size(); ++length) {
      ASSERT_FALSE(DecodeTokenOutcome(outcome_bytes.substr(0, length)).ok());
    }
    for (size_t length = 0; length < floor_bytes.size(); ++length) {
      ASSERT_FALSE(DecodeClientFloor(floor_bytes.substr(0, length)).ok());
    }
    ASSERT_FALSE(DecodeTokenOutcome(outcome_bytes + "x").ok());
    ASSERT_FALSE(DecodeClientFloor(floor_bytes + "x").ok());
  }
}

TEST(TableKeys, SortAsTheirIdsDo) {  // C3, C8: scans below a mark rely on it
  Draw draw(6);
  for (int i = 0; i < 20'000; ++i) {
    const TxnId a = draw.Txn();
    TxnId b = draw.Txn();
    if (draw.Flip()) b.coordinator = a.coordinator;
    if (draw.Flip()) b.epoch = a.epoch;
    ASSERT_EQ(TxnKey(a) < TxnKey(b), a < b);
    ASSERT_EQ(ParseTxnKey(TxnKey(a)), a);
    ASSERT_TRUE(TxnKey(a).starts_with(GroupKey(a.coordinator)));
    const Token s = draw.AToken();
    Token t = s;
    t.seq = draw.Number();
    ASSERT_EQ(OutcomeKey(s) < OutcomeKey(t), s.seq < t.seq);
    ASSERT_TRUE(OutcomeKey(s).starts_with(ClientKey(s)));
    ASSERT_TRUE(ClientKey(s).starts_with(GroupKey(s.coordinator)));
  }
}

TEST(Describe, IsOneLineWithoutValues) {
  Prepared prepared;
  prepared.txn = TxnId{kCoordinator, Epoch{4}, 0x93e4};
  prepared.writes = {{"key", "secret value"}};
  prepared.participants = {{"", kShard, true}, {"ledger", {}, false}};
  EXPECT_EQ(Describe(prepared), "prepared c3.4.93e4 writes=1 reads=0 participants=s9,ledger(r)");
  Draw draw(7);
  for (size_t i = 0; i < 90; ++i) {
    const std::string text = Describe(draw.Record(i));
    EXPECT_FALSE(text.empty());
    EXPECT_LT(text.size(), 1000u);
  }
}

}  // namespace
}  // namespace assent
