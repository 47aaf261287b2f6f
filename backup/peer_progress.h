#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "common/ids.h"
#include "common/view.h"

namespace assent::backup {

// Bounds of what is on the way to one peer. A Ship fits a peer frame (4 MiB) with room to spare; a record is
// at most a branch (1 MiB) and a little, and goes alone if it does not fit beside others.
inline constexpr size_t kShipBytesMax = 1 << 20;
inline constexpr size_t kShipEntriesMax = 4096;
inline constexpr size_t kInFlightBytesMax = 4 << 20;
// Enough to keep a link busy across a round trip and a force; beyond it records gather
// for the next Ship (R10).
inline constexpr size_t kShipsInFlightMax = 4;
inline constexpr size_t kSnapshotPieceBytes = 256 << 10;
inline constexpr size_t kSnapshotInFlightBytesMax = 1 << 20;

// A primary's knowledge of one other replica in its epoch: what it acknowledged, and what is on the way. It
// begins anew with each epoch (R4), and decides nothing about the view.
//
//   Probe --acked at or above the probe--> Stream --mismatch--> Probe
//   either --the log no longer holds what a learner needs--> Snapshot --installed--> Probe
struct PeerProgress {
  enum class Mode : uint8_t {
    kProbe,     // looking for the last common record: one Ship at a time, `probe` its prev
    kStream,    // everything below `next` was sent, in order
    kSnapshot,  // a learner: pieces of the store go out, no log
  };

  struct Snapshot {
    std::optional<LogPosition> at;  // once the first piece was read
    uint64_t sent = 0;
    uint64_t sent_max = 0;  // before it went back
    uint64_t acked = 0;
    bool all_sent = false;
    uint64_t size = 0;     // once the last piece was read
    bool reading = false;  // ReadSnapshot is unanswered
  };

  Member member;
  bool in_view = false;
  Mode mode = Mode::kProbe;
  Lsn probe{};            // kProbe
  Lsn next{1};            // kStream
  LogPosition acked;      // durable there, and matched in this epoch
  Lsn told_replicated{};  // as of the last Ship
  bool has_acked = false;
  // R5: when the latest beacon of this epoch that it answered was sent, and when the answer came;
  // 0 = none yet.
  uint64_t beacon_sent_us = 0;
  uint64_t beacon_acked_us = 0;
  // Since when it says that it is about to stop, and when it last did; 0 = it does not.
  uint64_t leaving_since_us = 0;
  uint64_t leaving_heard_us = 0;
  uint64_t force_age_us = 0;     // R11, as the latest answer said
  uint64_t last_durable_us = 0;  // `acked` rose, or the first of what is outstanding was sent
  uint64_t last_ack_us = 0;
  uint64_t last_sent_us = 0;
  uint64_t last_progress_us = 0;  // an ack rose, something was sent into silence, or a probe
  std::deque<std::pair<Lsn, size_t>>
      in_flight;  // kStream: last LSN and bytes of each Ship not yet acknowledged
  uint64_t in_flight_bytes = 0;
  Snapshot snapshot;

  void StartProbe(Lsn at, uint64_t now_us) {
    mode = Mode::kProbe;
    probe = at;
    ClearFlight();
    last_progress_us = now_us;
  }
  void StartStream(Lsn from, uint64_t now_us) {
    mode = Mode::kStream;
    next = from;
    ClearFlight();
    last_progress_us = now_us;
  }
  void StartSnapshot(uint64_t now_us) {
    mode = Mode::kSnapshot;
    snapshot = {};
    ClearFlight();
    last_progress_us = now_us;
  }

  bool WindowOpen() const {
    return in_flight.size() < kShipsInFlightMax && in_flight_bytes < kInFlightBytesMax;
  }
  bool Outstanding() const { return mode != Mode::kStream || Raw(next) > Raw(acked.lsn) + 1; }
  void Sent(Lsn last, size_t bytes, uint64_t now_us) {
    if (!Outstanding()) last_progress_us = last_durable_us = now_us;  // the silence that matters begins here
    in_flight.emplace_back(last, bytes);
    in_flight_bytes += bytes;
    next = Next(last);
  }
  // False if this says nothing new.
  bool Acked(LogPosition durable, uint64_t now_us) {
    if (durable.lsn <= acked.lsn) return false;
    acked = durable;
    last_progress_us = last_durable_us = now_us;
    while (!in_flight.empty() && in_flight.front().first <= durable.lsn) {
      in_flight_bytes -= in_flight.front().second;
      in_flight.pop_front();
    }
    if (mode == Mode::kStream && next <= durable.lsn) next = Next(durable.lsn);
    return true;
  }

 private:
  void ClearFlight() {
    in_flight.clear();
    in_flight_bytes = 0;
  }
};

}  // namespace assent::backup
