// Log records and rows of the store as bytes: every one comes back, damage is told, decoding allocates no
// more than it reads.
#include <gtest/gtest.h>

#include <set>

#include "common/records.h"
#include "samples.h"

namespace assent {
namespace {

using samples::Coin;
using samples::Random;
using samples::RandomRecord;

constexpr GroupId kCoordinator{GroupKind::kCoordinator, 3};
constexpr GroupId kShard{GroupKind::kShard, 9};

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
  Random random(1);
  std::set<size_t> types;
  for (size_t i = 0; i < 3000; ++i) {
    const LogRecord record = RandomRecord(i % samples::kRecordTypes, random);
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
  Random random(2);
  for (size_t i = 0; i < 200; ++i) {
    const std::string bytes = EncodeRecord(RandomRecord(i % samples::kRecordTypes, random));
    for (size_t length = 0; length < bytes.size(); ++length) {
      ASSERT_EQ(DecodeRecord(bytes.substr(0, length)).status().code(), StatusCode::kDamaged)
          << i << " " << length;
    }
    ASSERT_FALSE(DecodeRecord(bytes + '\0').ok());
  }
}

TEST(Records, EveryBitFlipIsDamageOrReadAsItStands) {
  Random random(3);
  for (size_t i = 0; i < 100; ++i) {
    const std::string bytes = EncodeRecord(RandomRecord(i % samples::kRecordTypes, random));
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string bad = bytes;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      ExpectRefusedOrExact(bad);
    }
  }
}

TEST(Records, NoBytesMakeTheDecoderCrashOrAllocateBeyondThem) {
  Random random(4);
  for (int i = 0; i < 100'000; ++i) {
    std::string bytes = samples::Bytes(random, 0, 60);
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
  Random random(5);
  for (int i = 0; i < 200; ++i) {
    const TokenOutcome outcome{Coin(random), samples::RandomTxn(random), samples::Big(random),
                               static_cast<uint32_t>(random()), samples::Big(random)};
    const std::string outcome_bytes = EncodeRow(outcome);
    ASSERT_EQ(*DecodeTokenOutcome(outcome_bytes), outcome);
    const ClientFloor floor{samples::Big(random), samples::Big(random)};
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
  Random random(6);
  for (int i = 0; i < 20'000; ++i) {
    const TxnId a = samples::RandomTxn(random);
    TxnId b = samples::RandomTxn(random);
    if (Coin(random)) b.coordinator = a.coordinator;
    if (Coin(random)) b.epoch = a.epoch;
    ASSERT_EQ(TxnKey(a) < TxnKey(b), a < b);
    ASSERT_EQ(ParseTxnKey(TxnKey(a)), a);
    ASSERT_TRUE(TxnKey(a).starts_with(GroupKey(a.coordinator)));
    const Token s = samples::RandomToken(random);
    Token t = s;
    t.seq = samples::Big(random);
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
  Random random(7);
  for (size_t i = 0; i < 90; ++i) {
    const std::string text = Describe(RandomRecord(i % samples::kRecordTypes, random));
    EXPECT_FALSE(text.empty());
    EXPECT_LT(text.size(), 1000u);
  }
}

}  // namespace
}  // namespace assent
