#include <gtest/gtest.h>

#include "thrift/codec_fields.h"
#include "thrift/codec_message.h"
#include "thrift_samples.h"

namespace assent {
namespace {

using samples::FromBytes;
using samples::Random;
using samples::ToBytes;

Result<Envelope> ThroughTheWire(const Envelope& envelope) {
  return codec::DecodeEnvelope(FromBytes<wire::Envelope>(ToBytes(codec::EncodeEnvelope(Envelope(envelope)))),
                               envelope.from_node);
}

// Sends `message` after `spoil(wire)`; the fault that the decoder found, empty if none.
template <typename Spoil>
std::string FaultAfter(Message message, Spoil&& spoil) {
  Envelope envelope;
  envelope.from_group = {GroupKind::kShard, 1};
  envelope.to_group = {GroupKind::kCoordinator, 1};
  envelope.message = std::move(message);
  wire::Envelope wire = codec::EncodeEnvelope(std::move(envelope));
  spoil(wire);
  const auto decoded = codec::DecodeEnvelope(std::move(wire), NodeId{1});
  return decoded.ok() ? "" : decoded.status().message();
}

template <typename T>
T Sample() {
  Random random(11);
  Message message = T{};
  return std::get<T>(samples::RandomMessage(message.index(), random));
}

TEST(CodecMessage, EveryMessageSurvivesTheWire) {
  Random random(1);
  for (size_t type = 0; type < samples::kMessageTypes; ++type) {
    for (int i = 0; i < 200; ++i) {
      const Envelope envelope = samples::RandomEnvelope(type, random);
      const auto back = ThroughTheWire(envelope);
      ASSERT_TRUE(back.ok()) << type << ": " << back.status().message();
      ASSERT_EQ(samples::TextOf(*back), samples::TextOf(envelope)) << type;
    }
  }
}

TEST(CodecMessage, LogRecordsAreSharedNotCopied) {
  const auto payload = std::make_shared<const std::string>(1000, 'r');
  Envelope envelope;
  Ship ship;
  ship.entries = {{{Epoch{1}, Lsn{1}}, payload}};
  envelope.message = ship;
  wire::Envelope wire = codec::EncodeEnvelope(std::move(envelope));
  wire.from_group = wire.to_group = codec::Encode(GroupId{GroupKind::kShard, 1});
  const auto back = codec::DecodeEnvelope(std::move(wire), NodeId{1});
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(std::get<Ship>(back->message).entries[0].payload, payload);
}

TEST(CodecMessage, ShippedRecordsOutOfSequenceAreRefused) {  // R4, R9
  Ship ship;
  ship.prev = {Epoch{2}, Lsn{7}};
  const auto record = std::make_shared<const std::string>("r");
  const auto fault = [&](std::vector<LogPosition> positions) {
    ship.entries.clear();
    for (const LogPosition& position : positions) ship.entries.push_back({position, record});
    return FaultAfter(ship, [](wire::Envelope&) {});
  };
  EXPECT_EQ(fault({{Epoch{2}, Lsn{8}}, {Epoch{3}, Lsn{9}}}), "");
  EXPECT_NE(fault({{Epoch{2}, Lsn{9}}}), "");  // a gap
  EXPECT_NE(fault({{Epoch{2}, Lsn{7}}}), "");  // a repetition
  EXPECT_NE(fault({{Epoch{1}, Lsn{8}}}), "");  // an epoch that falls
  EXPECT_NE(fault({{Epoch{3}, Lsn{8}}, {Epoch{2}, Lsn{9}}}), "");
}

TEST(CodecMessage, EnvelopeHoldsExactlyOneMessage) {
  EXPECT_NE(FaultAfter(Inquire{Sample<Inquire>()}, [](wire::Envelope& w) { w.inquire.reset(); }), "");
  EXPECT_NE(FaultAfter(Inquire{Sample<Inquire>()},
                       [](wire::Envelope& w) {
                         w.peer_inquire = std::make_shared<wire::PeerInquire>();
                         w.peer_inquire->txn = w.inquire->txn;
                       }),
            "");
}

TEST(CodecMessage, UnknownEnumsAreRefusedNeverTakenForAnother) {
  EXPECT_NE(FaultAfter(Sample<Decide>(),
                       [](wire::Envelope& w) { w.decide->decision = wire::Decision::UNSPECIFIED; }),
            "");
  EXPECT_NE(
      FaultAfter(Sample<Decide>(),
                 [](wire::Envelope& w) { w.decide->decision = samples::Unknown<wire::Decision::type>(3); }),
      "");
  EXPECT_NE(
      FaultAfter(Sample<VoteReply>(),
                 [](wire::Envelope& w) { w.vote_reply->vote = samples::Unknown<wire::Vote::type>(-1); }),
      "");
  EXPECT_NE(FaultAfter(Sample<VoteReply>(),
                       [](wire::Envelope& w) { w.vote_reply->vote = wire::Vote::UNSPECIFIED; }),
            "");
  EXPECT_NE(FaultAfter(Sample<Prepare>(),
                       [](wire::Envelope& w) { w.prepare->mode = wire::CommitMode::UNSPECIFIED; }),
            "");
  EXPECT_NE(FaultAfter(Sample<BranchAborted>(),
                       [](wire::Envelope& w) {
                         w.branch_aborted->__set_reason(samples::Unknown<wire::AbortReason::type>(16));
                       }),
            "");
}

TEST(CodecMessage, OnePhaseReplyWithoutItsOutcomeIsRefused) {  // I-A1
  EXPECT_NE(FaultAfter(Sample<OnePhaseReply>(),
                       [](wire::Envelope& w) { w.one_phase_reply->__isset.committed = false; }),
            "");
}

TEST(CodecMessage, IdsMustBeWhole) {
  EXPECT_NE(FaultAfter(Sample<Inquire>(), [](wire::Envelope& w) { w.inquire->txn.seq = 0; }), "");
  EXPECT_NE(FaultAfter(Sample<Inquire>(), [](wire::Envelope& w) { w.inquire->txn.epoch = -1; }), "");
  EXPECT_NE(FaultAfter(Sample<Inquire>(), [](wire::Envelope& w) { w.inquire->txn.group = 2 << 16; }), "");
  EXPECT_NE(FaultAfter(Sample<Inquire>(), [](wire::Envelope& w) { w.from_group = 0; }), "");
  EXPECT_NE(FaultAfter(Sample<Inquire>(), [](wire::Envelope& w) { w.to_group = 3 << 16; }), "");
  EXPECT_NE(FaultAfter(Sample<Inquire>(), [](wire::Envelope& w) { w.to_group = -1; }), "");
  EXPECT_NE(FaultAfter(Sample<SettleToken>(), [](wire::Envelope& w) { w.settle_token->attempt = 0; }), "");
  EXPECT_NE(FaultAfter(Sample<Decide>(),
                       [](wire::Envelope& w) {
                         wire::TxnId other = w.decide->header.txn;
                         other.group ^= 1;
                         w.decide->header.__set_mark(other);
                       }),
            "");  // C8: a group's mark is about its own ids
}

TEST(CodecMessage, ParticipantIsOneOfOursOrForeign) {
  Prepare prepare = Sample<Prepare>();
  prepare.participants = {{"", {GroupKind::kShard, 1}, true}};
  EXPECT_EQ(FaultAfter(prepare, [](wire::Envelope&) {}), "");
  EXPECT_NE(FaultAfter(prepare, [](wire::Envelope& w) { w.prepare->participants[0].__set_foreign("rm"); }),
            "");
  EXPECT_NE(FaultAfter(prepare, [](wire::Envelope& w) { w.prepare->participants[0].__isset.group = false; }),
            "");
}

TEST(CodecMessage, LongDetailsAreCutAtACharacter) {
  BranchAborted aborted = Sample<BranchAborted>();
  aborted.detail = std::string(codec::kDetailBytesMax - 1, 'x') + "\xc3\xa4" + "more";
  Envelope envelope{{GroupKind::kShard, 1}, NodeId{1}, {}, {GroupKind::kShard, 2}, {}, aborted};
  const auto back = ThroughTheWire(envelope);
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(std::get<BranchAborted>(back->message).detail, std::string(codec::kDetailBytesMax - 1, 'x'));
}

}  // namespace
}  // namespace assent
