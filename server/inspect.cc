#include "server/inspect.h"

#include <algorithm>
#include <string>

#include "coordinator/coordinator.h"
#include "participant/participant.h"
#include "thrift/codec_fields.h"

namespace assent {
namespace {

wire::TxnState::type StateOf(coordinator::TxnState state) {
  switch (state) {
    case coordinator::TxnState::kActive:
    case coordinator::TxnState::kWorking:
    case coordinator::TxnState::kReading:
      return wire::TxnState::ACTIVE;
    case coordinator::TxnState::kPreparing:
    case coordinator::TxnState::kOnePhase:
    case coordinator::TxnState::kSettling:
      return wire::TxnState::PREPARING;
    case coordinator::TxnState::kCommitting:
    case coordinator::TxnState::kPhaseTwo:
      return wire::TxnState::COMMITTING;
    case coordinator::TxnState::kAborting:
      return wire::TxnState::ABORTING;
  }
  return wire::TxnState::UNSPECIFIED;
}

wire::Branch BranchOf(const Participant& participant) {
  wire::Branch branch;
  if (participant.foreign.empty()) {
    branch.__set_group(codec::Encode(participant.group));
  } else {
    branch.__set_foreign(participant.foreign);
  }
  branch.__set_writing(participant.writing);
  return branch;
}

std::string NameOf(const Participant& participant) {
  return participant.foreign.empty() ? ToString(participant.group) : participant.foreign;
}

bool IsInDoubt(coordinator::TxnState state) {
  return state == coordinator::TxnState::kCommitting || state == coordinator::TxnState::kPhaseTwo;
}

wire::TxnSummary SummaryOf(GroupId at, const coordinator::TxnInfo& info, const Instant& now) {
  wire::TxnSummary out;
  out.__set_txn(codec::Encode(info.txn));
  out.__set_at(codec::Encode(at));
  out.__set_state(StateOf(info.state));
  if (const auto age_us = AgeOf(info, now)) out.__set_age_us(static_cast<int64_t>(*age_us));
  if (IsInDoubt(info.state)) out.__set_decision(wire::Decision::COMMIT);
  if (info.state == coordinator::TxnState::kAborting) out.__set_decision(wire::Decision::ABORT);
  std::vector<wire::Branch> branches;
  for (const auto& branch : info.branches) branches.push_back(BranchOf(branch.participant));
  out.__set_participants(branches);
  std::string waiting;
  for (const Participant& participant : info.waiting_on)
    waiting += (waiting.empty() ? "" : ", ") + NameOf(participant);
  out.__set_waiting_on(waiting);
  return out;
}

wire::TxnSummary SummaryOf(GroupId at, const participant::ParticipantCore::InDoubtBranch& info) {
  wire::TxnSummary out;
  out.__set_txn(codec::Encode(info.txn));
  out.__set_at(codec::Encode(at));
  out.__set_state(wire::TxnState::PREPARED);
  out.__set_age_us(static_cast<int64_t>(info.in_doubt_us));
  std::vector<wire::Branch> branches;
  for (const Participant& participant : info.participants) branches.push_back(BranchOf(participant));
  out.__set_participants(branches);
  out.__set_waiting_on(ToString(info.txn.coordinator) + "'s decision");
  return out;
}

}  // namespace

RoleGauges GaugesOf(const Replica& replica, const Instant& now) {
  RoleGauges out;
  if (const auto* core = dynamic_cast<const coordinator::CoordinatorCore*>(replica.state().find_role())) {
    out.live = core->live_count();
    out.in_doubt = core->unended_count();
    for (const auto& info : core->ListTransactions(SIZE_MAX)) {
      if (!IsInDoubt(info.state)) continue;
      out.oldest_in_doubt_us = std::max(out.oldest_in_doubt_us, AgeOf(info, now).value_or(0));
    }
  } else if (const auto* shard =
                 dynamic_cast<const participant::ParticipantCore*>(replica.state().find_role())) {
    const auto gauges = shard->gauges();
    out.live = gauges.branches;
    out.in_doubt = gauges.in_doubt;
    for (const auto& info : shard->InDoubt(now)) {
      out.oldest_in_doubt_us = std::max(out.oldest_in_doubt_us, info.in_doubt_us);
    }
  }
  return out;
}

std::vector<wire::TxnSummary> SummariesOf(const Replica& replica, const Instant& now,
                                          wire::TxnFilter::type filter, size_t count_max) {
  std::vector<wire::TxnSummary> out;
  if (!replica.serving()) return out;
  if (const auto* core = dynamic_cast<const coordinator::CoordinatorCore*>(replica.state().find_role())) {
    for (const auto& info : core->ListTransactions(SIZE_MAX)) {
      if (out.size() == count_max) break;
      if (filter == wire::TxnFilter::IN_DOUBT && !IsInDoubt(info.state)) continue;
      out.push_back(SummaryOf(replica.group(), info, now));
    }
  } else if (const auto* shard =
                 dynamic_cast<const participant::ParticipantCore*>(replica.state().find_role())) {
    for (const auto& info : shard->InDoubt(now)) {
      if (out.size() == count_max) break;
      out.push_back(SummaryOf(replica.group(), info));
    }
  }
  return out;
}

std::optional<wire::TxnDetail> DetailOf(const Replica& replica, const Instant& now, const TxnId& txn) {
  if (!replica.serving()) return std::nullopt;
  wire::TxnDetail out;
  if (const auto* core = dynamic_cast<const coordinator::CoordinatorCore*>(replica.state().find_role())) {
    const auto info = core->FindTransaction(txn);
    if (!info) return std::nullopt;
    out.__set_summary(SummaryOf(replica.group(), *info, now));
    if (info->token.valid()) out.__set_token(codec::Encode(info->token));
    std::vector<std::string> notes = {"state " + std::string(coordinator::ToString(info->state))};
    for (const auto& branch : info->branches) {
      std::string note = NameOf(branch.participant) + ": " + std::string(coordinator::ToString(branch.state));
      if (branch.asked_us != 0)
        note += " for " + std::to_string((now.mono_us - branch.asked_us) / 1'000'000) + " s";
      if (branch.resends > 0) note += ", " + std::to_string(branch.resends + 1) + " times";
      if (!branch.trouble.empty()) note += "; it says: " + branch.trouble;
      notes.push_back(std::move(note));
    }
    out.__set_notes(notes);
    return out;
  }
  if (const auto* shard = dynamic_cast<const participant::ParticipantCore*>(replica.state().find_role())) {
    for (const auto& info : shard->InDoubt(now)) {
      if (info.txn != txn) continue;
      out.__set_summary(SummaryOf(replica.group(), info));
      out.__set_notes({std::to_string(info.writes) + " writes", std::to_string(info.locks) + " locks held",
                       std::to_string(shard->BlockedBy(txn)) + " requests wait for them",
                       std::to_string(info.inquiries) + " inquiries sent"});
      return out;
    }
  }
  return std::nullopt;
}

}  // namespace assent
