#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "common/client_api.h"
#include "common/ids.h"
#include "common/overlay.h"
#include "common/records.h"

namespace assent::coordinator {

// C5: the fate of each token. It owns the rows of kOutcome and kFloor, the horizon, and the index that finds
// rows which the horizon has passed. The rows live in the tables, read through the overlay, never in memory.
// The core knows which tokens are live now; this class does not.
//
//   - a recorded outcome is dropped only below its client's floor or the group's horizon;
//   - below either a token is refused, whatever the rows say;
//   - the horizon never falls.
//
// How rows born before the horizon are found without a scan over all: births fall into buckets of
// a step each, and kMeta has a row "born/<bucket><client>" for each client that had a record born in that
// bucket, which is one row a client and step, not one a token. HorizonRaised walks these in order, up to
// the horizon, which lies on a bucket's edge. A client's outcomes are walked in sequence order and only while
// they were born before the horizon: a younger one has an index row of its own, which finds what lies behind
// it in its turn. One record drops at most kDropsPerRecord rows; the primary appends
// the next while HasMoreToDrop.
class Tokens {
 public:
  static constexpr size_t kDropsPerRecord = 1'024;

  // `step_us`: of the horizon and of births; the same whenever this group runs.
  Tokens(Overlay& overlay, size_t known_floors_max, uint64_t step_us);

  // ---- Records; the same on every replica ----
  void OnCommitted(Lsn lsn, const Committed& record);
  void OnCommittedByShard(Lsn lsn, const TokenCommitted& record);
  void OnRefused(Lsn lsn, const AttemptRefused& record);
  void OnHorizon(Lsn lsn, const HorizonRaised& record);

  uint64_t horizon_us() const { return horizon_us_; }
  bool HasMoreToDrop() const;

  // ---- The primary's questions ----
  enum class Verdict : uint8_t {
    kRun = 1,
    kCommitted,  // `outcome` says by which transaction
    kRefused,    // this attempt was ended: ABORTED
    kExpired,    // below the floor or the horizon
    kMismatch,   // used for other content
  };
  struct Judgement {
    Verdict verdict = Verdict::kRun;
    TokenOutcome outcome;
    std::string detail;
  };
  // Is the token below the client's floor or the horizon? Says which; empty = no.
  std::string ExpiryOf(const Token& token) const;
  Judgement Judge(const Token& token, uint32_t attempt, uint64_t content) const;
  // The client's floor, ahead of the record that will carry it. Lost with the process, which costs nothing:
  // outcomes are dropped only by records.
  void NoteFloor(ClientId client, uint64_t acked_below);

 private:
  TokenOutcome RecordedOutcome(const Token& token) const;
  template <typename Record>
  void PutCommitted(Lsn lsn, const Record& record, TokenOutcome row);
  void PutOutcome(Lsn lsn, const Token& token, const TokenOutcome& row);
  void RaiseFloor(Lsn lsn, const Token& token, uint64_t acked_below);
  uint64_t LoggedFloor(const Token& token) const;
  uint64_t FloorOf(const Token& token) const;

  std::string BornKey(const Token& token) const;
  std::string BornBefore(uint64_t birth_us) const;

  Overlay& overlay_;
  const uint64_t step_us_;
  uint64_t horizon_us_ = 0;
  const size_t known_floors_max_;
  std::map<ClientId, uint64_t> known_floors_;
  std::deque<ClientId> known_order_;  // oldest first
};

}  // namespace assent::coordinator
