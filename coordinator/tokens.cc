#include "coordinator/tokens.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/coverage.h"
#include "common/mutant.h"

namespace assent::coordinator {
namespace {

constexpr std::string_view kHorizonName = "horizon";
constexpr std::string_view kBornPrefix = "born/";

std::string BigEndian(uint64_t number) {
  std::string bytes(8, '\0');
  for (size_t i = 8; i-- > 0; number >>= 8) bytes[i] = static_cast<char>(number & 0xff);
  return bytes;
}

uint64_t FromBigEndian(std::string_view bytes) {
  uint64_t number = 0;
  for (const char byte : bytes) number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

// Another token of the same client.
Token WithSeq(Token token, uint64_t seq) {
  token.seq = seq;
  return token;
}

// A row of our own group's file that does not decode: the file is damaged, and going on would
// be a guess (G7).
template <typename T>
T Decoded(Result<T> row) {
  ASSENT_CHECK(row.ok(), row.ok() ? "" : row.status().message());
  return std::move(row).value();
}

}  // namespace

Tokens::Tokens(Overlay& overlay, size_t known_floors_max, uint64_t step_us)
    : overlay_(overlay), step_us_(step_us), known_floors_max_(known_floors_max) {
  if (const auto row = overlay_.Get(Table::kMeta, kHorizonName)) horizon_us_ = FromBigEndian(row->value);
}

std::string Tokens::BornKey(const Token& token) const {
  return BornBefore(token.birth_us) + ClientKey(token);
}

// Behind all keys of earlier buckets.
std::string Tokens::BornBefore(uint64_t birth_us) const {
  return std::string(kBornPrefix) + BigEndian(birth_us / step_us_);
}

void Tokens::OnCommitted(Lsn lsn, const Committed& record) {
  if (!record.token.valid()) return;
  const TokenOutcome old = RecordedOutcome(record.token);
  ASSENT_CHECK(!old.committed || Mutated(Mutant::kTokensNotReplicated), "token committed twice",
               ToString(record.token));  // I-X1
  ASSENT_CHECK(old.refused < record.attempt || Mutated(Mutant::kAbortedTokenRunsLater),
               "a refused attempt committed", ToString(record.token));
  PutCommitted(lsn, record, old);
}

// The shard's record decided (C6), whatever is known here: nothing to check it against.
void Tokens::OnCommittedByShard(Lsn lsn, const TokenCommitted& record) {
  const TokenOutcome old = RecordedOutcome(record.token);
  if (!old.committed) PutCommitted(lsn, record, old);
}

void Tokens::OnRefused(Lsn lsn, const AttemptRefused& record) {
  TokenOutcome row = RecordedOutcome(record.token);
  ASSENT_CHECK(!row.committed || Mutated(Mutant::kTokensNotReplicated), "a committed token refused",
               ToString(record.token));  // I-A2
  row.refused = std::max(row.refused, record.attempt);
  RaiseFloor(lsn, record.token, record.acked_below);
  PutOutcome(lsn, record.token, row);
}

TokenOutcome Tokens::RecordedOutcome(const Token& token) const {
  if (const auto row = overlay_.Get(Table::kOutcome, OutcomeKey(token))) {
    return Decoded(DecodeTokenOutcome(row->value));
  }
  TokenOutcome none;
  none.birth_us = token.birth_us;
  return none;
}

template <typename Record>
void Tokens::PutCommitted(Lsn lsn, const Record& record, TokenOutcome row) {
  row.committed = true;
  row.txn = record.txn;
  row.content = record.content;
  row.birth_us = record.token.birth_us;
  RaiseFloor(lsn, record.token, record.acked_below);
  PutOutcome(lsn, record.token, row);
}

void Tokens::PutOutcome(Lsn lsn, const Token& token, const TokenOutcome& row) {
  if (token.birth_us < horizon_us_ || token.seq < LoggedFloor(token)) return;  // refused without a row
  overlay_.Put(Table::kOutcome, OutcomeKey(token), EncodeRow(row), lsn);
  std::string born = BornKey(token);
  if (!overlay_.Get(Table::kMeta, born)) overlay_.Put(Table::kMeta, std::move(born), "", lsn);
}

void Tokens::RaiseFloor(Lsn lsn, const Token& token, uint64_t acked_below) {
  if (token.birth_us < horizon_us_) return;  // the horizon refuses all that this floor would
  ClientFloor floor;
  if (const auto old = overlay_.Get(Table::kFloor, ClientKey(token))) {
    floor = Decoded(DecodeClientFloor(old->value));
  }
  if (acked_below <= floor.floor) return;
  floor.floor = acked_below;
  floor.last_birth_us = std::max(floor.last_birth_us, token.birth_us);
  overlay_.Put(Table::kFloor, ClientKey(token), EncodeRow(floor), lsn);
  std::vector<std::string> below;
  overlay_.Scan(Table::kOutcome, OutcomeKey(WithSeq(token, 0)), OutcomeKey(WithSeq(token, acked_below)),
                [&](std::string_view key, const Row&) {
                  below.emplace_back(key);
                  return below.size() < kDropsPerRecord;  // the rest goes as the floor rises again
                });
  for (std::string& key : below) overlay_.Delete(Table::kOutcome, std::move(key), lsn);
}

void Tokens::OnHorizon(Lsn lsn, const HorizonRaised& record) {
  if (record.horizon_us > horizon_us_) {  // C5: it never falls
    horizon_us_ = record.horizon_us;
    overlay_.Put(Table::kMeta, std::string(kHorizonName), BigEndian(horizon_us_), lsn);
  }
  std::vector<std::string> born;
  overlay_.Scan(Table::kMeta, kBornPrefix, BornBefore(horizon_us_), [&](std::string_view key, const Row&) {
    born.emplace_back(key);
    return born.size() < kDropsPerRecord;
  });
  size_t drops = 0;
  for (std::string& index : born) {
    const std::string client = index.substr(kBornPrefix.size() + 8);
    std::vector<std::string> old;
    overlay_.Scan(Table::kOutcome, client, PrefixEnd(client), [&](std::string_view key, const Row& row) {
      // A younger one stops the walk: its own index row, in a later bucket, finds what lies behind it.
      if (Decoded(DecodeTokenOutcome(row.value)).birth_us >= horizon_us_) return false;
      old.emplace_back(key);
      return drops + old.size() < kDropsPerRecord;
    });
    drops += old.size();
    for (std::string& key : old) overlay_.Delete(Table::kOutcome, std::move(key), lsn);
    if (drops >= kDropsPerRecord) return;  // the index row stays: this client may have more
    if (const auto floor = overlay_.Get(Table::kFloor, client);
        floor && Decoded(DecodeClientFloor(floor->value)).last_birth_us < horizon_us_) {
      overlay_.Delete(Table::kFloor, client, lsn);
    }
    overlay_.Delete(Table::kMeta, std::move(index), lsn);
    ++drops;
  }
}

bool Tokens::HasMoreToDrop() const {
  bool more = false;
  overlay_.Scan(Table::kMeta, kBornPrefix, BornBefore(horizon_us_), [&](std::string_view, const Row&) {
    more = true;
    return false;
  });
  return more;
}

std::string Tokens::ExpiryOf(const Token& token) const {
  if (token.birth_us < horizon_us_) {
    Reached(Situation::kTokenBeforeHorizon);
    return "token " + ToString(token) + " is older than outcomes are kept for; open a new session";
  }
  if (token.seq < FloorOf(token) && !Mutated(Mutant::kAcknowledgedTokenRuns)) {
    Reached(Situation::kTokenBelowFloor);
    return "token " + ToString(token) +
           " lies below the client's own acknowledgement; use a new sequence number";
  }
  return "";
}

Tokens::Judgement Tokens::Judge(const Token& token, uint32_t attempt, uint64_t content) const {
  if (std::string expiry = ExpiryOf(token); !expiry.empty())
    return {Verdict::kExpired, {}, std::move(expiry)};
  const auto row = overlay_.Get(Table::kOutcome, OutcomeKey(token));
  if (!row) return {};
  const TokenOutcome outcome = Decoded(DecodeTokenOutcome(row->value));
  if (outcome.birth_us != token.birth_us || (outcome.committed && outcome.content != content)) {
    return {Verdict::kMismatch, outcome,
            "token " + ToString(token) + " was used for another request; use a new sequence number for each"};
  }
  if (outcome.committed) return {Verdict::kCommitted, outcome, ""};
  if (attempt <= outcome.refused && !Mutated(Mutant::kAbortedTokenRunsLater)) {
    return {Verdict::kRefused, outcome,
            "attempts up to " + std::to_string(outcome.refused) + " of token " + ToString(token) +
                " were aborted; raise the attempt to try again"};
  }
  return {Verdict::kRun, outcome, ""};
}

uint64_t Tokens::LoggedFloor(const Token& token) const {
  const auto row = overlay_.Get(Table::kFloor, ClientKey(token));
  return row ? Decoded(DecodeClientFloor(row->value)).floor : 0;
}

uint64_t Tokens::FloorOf(const Token& token) const {
  const auto known = known_floors_.find(token.client);
  return std::max(known == known_floors_.end() ? 0 : known->second, LoggedFloor(token));
}

void Tokens::NoteFloor(ClientId client, uint64_t acked_below) {
  if (acked_below == 0) return;
  const auto [entry, fresh] = known_floors_.try_emplace(client, acked_below);
  entry->second = std::max(entry->second, acked_below);
  if (!fresh) return;
  known_order_.push_back(client);
  if (known_order_.size() > known_floors_max_) {
    known_floors_.erase(known_order_.front());
    known_order_.pop_front();
  }
}

}  // namespace assent::coordinator
