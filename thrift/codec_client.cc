#include "thrift/codec_client.h"

#include <type_traits>
#include <utility>

#include "thrift/codec_fields.h"
#include "thrift/codec_foreign.h"

namespace assent::codec {
namespace {

Status Invalid(const Fault& fault) {
  return Status(StatusCode::kInvalid, fault.what);
}

// ---- Parts of requests

wire::CommitTag EncodeTag(const CommitTag& tag) {
  wire::CommitTag out;
  out.token = Encode(tag.token);
  out.sent_to = Number(tag.sent_to);
  out.attempt = SmallNumber(tag.attempt);
  out.acked_below = Number(tag.acked_below);
  return out;
}

// C5: without any one of these the request could not be told from another, or repeated.
bool DecodeTag(const wire::CommitTag& in, CommitTag& out, Fault& fault) {
  if (in.sent_to < 1)
    return fault.Set("tag.sent_to: name the epoch of the coordinator group, as where_is gave it");
  if (in.attempt < 1) return fault.Set("tag.attempt: attempts are numbered from 1");
  out.sent_to = static_cast<Epoch>(in.sent_to);
  out.attempt = static_cast<uint32_t>(in.attempt);
  return Decode(in.token, out.token, fault) && DecodeNumber(in.acked_below, out.acked_below, fault);
}

bool DecodeCoordinator(int32_t in, GroupId& out, Fault& fault) {
  return Decode(in, out, fault) &&
         (out.kind == GroupKind::kCoordinator || fault.Set("not a coordinator group"));
}

bool DecodeAgeIf(bool isset, const wire::Age& in, Age& out, Fault& fault) {
  return !isset || Decode(in, out, fault);
}

// ---- Parts of replies

bool DecodeRefusal(wire::Refusal& in, Refusal& out, Fault& fault) {
  out.detail = CutDetail(std::move(in.detail));
  return Decode(in.code, out.code, fault) && DecodeNumber(in.epoch, out.epoch, fault);
}

bool DecodeEnding(wire::Ending& in, Ending& out, Fault& fault) {
  if (!Decode(in.outcome, out.outcome, fault)) return false;
  if (in.__isset.txn && !Decode(in.txn, out.txn, fault)) return false;
  if (!DecodeAgeIf(in.__isset.age, in.age, out.age, fault)) return false;
  if (in.__isset.reason && !Decode(in.reason, out.reason, fault)) return false;
  out.detail = CutDetail(std::move(in.detail));
  out.repeated = in.repeated;
  if (in.__isset.finished) out.finished = in.finished;
  if (!Decode(in.heuristics, out.heuristics, fault)) return false;
  return Decode(in.results, out.results, fault) && DecodeNumber(in.birth_us, out.birth_us, fault);
}

// A refusal where there is one, else an ending: the whole of a commit's reply.
template <typename Wire>
Result<ClientReply> DecodeCommitReply(Wire& in, const CommitTag& asked) {
  Fault fault;
  if (in.__isset.refusal == in.__isset.ending) {
    fault.Set("reply that is not exactly one thing");
    return Invalid(fault);
  }
  Token token;
  // A reply echoes what it answers (thrift/assent.thrift, "Conventions"), here by token and attempt: a reply
  // to another request, somebody else's or an earlier one of ours, must not be taken for ours.
  if (!in.__isset.token || !Decode(in.token, token, fault) || token != asked.token ||
      in.attempt != SmallNumber(asked.attempt)) {
    fault.Set("reply to another request");
    return Invalid(fault);
  }
  if (in.__isset.refusal) {
    Refusal refusal;
    if (!DecodeRefusal(in.refusal, refusal, fault)) return Invalid(fault);
    return ClientReply(std::move(refusal));
  }
  Ending ending;
  if (!DecodeEnding(in.ending, ending, fault)) return Invalid(fault);
  return ClientReply(std::move(ending));
}

// True if there is a refusal; then `out` holds it, or `fault` why not.
template <typename Wire>
bool TakeRefusal(Wire& in, ClientReply& out, Fault& fault) {
  if (!in.__isset.refusal) return false;
  DecodeRefusal(in.refusal, out.template emplace<Refusal>(), fault);
  return true;
}

// A reply about a transaction echoes its id.
template <typename Wire>
bool IsOf(const Wire& in, const TxnId& asked, Fault& fault) {
  TxnId txn;
  return (Decode(in.txn, txn, fault) && txn == asked) || fault.Set("reply to another request");
}

Result<ClientReply> Finish(ClientReply&& reply, const Fault& fault) {
  if (fault.what != nullptr) return Invalid(fault);
  return std::move(reply);
}

template <typename Wire>
void SetRefusal(Refusal&& refusal, Wire& out) {
  out.refusal = EncodeRefusal(std::move(refusal));
  out.__isset.refusal = true;
}

template <typename Wire>
void SetEnding(Ending&& ending, Wire& out) {
  out.ending = EncodeEnding(std::move(ending));
  out.__isset.ending = true;
}

// Takes a refusal out of `reply`, if it is one.
template <typename Wire>
bool EncodedRefusal(ClientReply& reply, Wire& out) {
  auto* const refusal = std::get_if<Refusal>(&reply);
  if (refusal != nullptr) SetRefusal(std::move(*refusal), out);
  return refusal != nullptr;
}

template <typename T>
T& As(ClientReply& reply) {
  T* const value = std::get_if<T>(&reply);
  ASSENT_CHECK(value != nullptr, "a core answered a client's request with another one's reply",
               reply.index());
  return *value;
}

}  // namespace

// ---- Client side

wire::OpenSessionRequest EncodeRequest(const std::string& cluster, GroupId group, const OpenSession&) {
  wire::OpenSessionRequest out;
  out.cluster = cluster;
  out.group = Encode(group);
  return out;
}

wire::ExecuteRequest EncodeRequest(const std::string& cluster, GroupId group, Execute&& request) {
  wire::ExecuteRequest out;
  out.cluster = cluster;
  out.group = Encode(group);
  out.tag = EncodeTag(request.tag);
  out.operations = Encode(std::move(request.operations));
  out.foreign = EncodeForeign(std::move(request.foreign));
  if (request.retry_of.begin_us != 0) out.__set_retry_of(Encode(request.retry_of));
  return out;
}

wire::BeginRequest EncodeRequest(const std::string& cluster, GroupId group, const Begin& request) {
  wire::BeginRequest out;
  out.cluster = cluster;
  out.group = Encode(group);
  if (request.retry_of.begin_us != 0) out.__set_retry_of(Encode(request.retry_of));
  if (request.idle_us != 0) out.__set_idle_ms(SmallNumber(request.idle_us / 1'000));
  if (request.life_us != 0) out.__set_life_ms(SmallNumber(request.life_us / 1'000));
  out.enlist = request.enlist;
  return out;
}

wire::WorkRequest EncodeRequest(const std::string& cluster, Work&& request) {
  wire::WorkRequest out;
  out.cluster = cluster;
  out.txn = Encode(request.txn);
  out.operations = Encode(std::move(request.operations));
  out.key = Number(request.key);
  return out;
}

wire::CommitRequest EncodeRequest(const std::string& cluster, Commit&& request) {
  wire::CommitRequest out;
  out.cluster = cluster;
  out.txn = Encode(request.txn);
  out.tag = EncodeTag(request.tag);
  out.foreign = EncodeForeign(std::move(request.foreign));
  out.shards.reserve(request.shards.size());
  for (const GroupId shard : request.shards) out.shards.push_back(Encode(shard));
  out.key = Number(request.key);
  if (request.wait_finished_us != 0)
    out.__set_wait_finished_ms(SmallNumber(request.wait_finished_us / 1'000));
  return out;
}

wire::RollbackRequest EncodeRequest(const std::string& cluster, const Rollback& request) {
  wire::RollbackRequest out;
  out.cluster = cluster;
  out.txn = Encode(request.txn);
  out.key = Number(request.key);
  return out;
}

wire::EnlistRequest EncodeRequest(const std::string& cluster, const Enlist& request) {
  wire::EnlistRequest out;
  out.cluster = cluster;
  out.txn = Encode(request.txn);
  out.key = Number(request.key);
  out.resource_manager = request.resource_manager;
  return out;
}

wire::KeepAliveRequest EncodeRequest(const std::string& cluster, const KeepAlive& request) {
  wire::KeepAliveRequest out;
  out.cluster = cluster;
  out.txn = Encode(request.txn);
  out.key = Number(request.key);
  return out;
}

wire::FinishedRequest EncodeRequest(const std::string& cluster, const Finished& request) {
  wire::FinishedRequest out;
  out.cluster = cluster;
  out.txn = Encode(request.txn);
  out.key = Number(request.key);
  out.resource_manager = request.resource_manager;
  out.branch = SmallNumber(request.branch);
  out.decision = Encode(request.decision);
  return out;
}

Result<ClientReply> DecodeReply(wire::OpenSessionReply&& in) {
  Fault fault;
  ClientReply out;
  if (!TakeRefusal(in, out, fault)) {
    auto& opened = out.emplace<SessionOpened>();
    DecodeNumber(in.client, opened.client, fault);
    DecodeNumber(in.birth_us, opened.birth_us, fault);
    DecodeNumber(in.epoch, opened.epoch, fault);
    if (opened.client == ClientId{} || opened.birth_us == 0 || opened.epoch == Epoch{}) {
      fault.Set("session without a client id, birth time or epoch");
    }
  }
  return Finish(std::move(out), fault);
}

Result<ClientReply> DecodeReply(wire::ExecuteReply&& in, const CommitTag& asked) {
  return DecodeCommitReply(in, asked);
}

Result<ClientReply> DecodeReply(wire::BeginReply&& in) {
  Fault fault;
  ClientReply out;
  if (!TakeRefusal(in, out, fault)) {
    auto& begun = out.emplace<Begun>();
    Decode(in.txn, begun.txn, fault) && Decode(in.age, begun.age, fault) &&
        DecodeNumber(in.key, begun.key, fault) && DecodeSmallNumber(in.idle_ms, begun.idle_us, fault) &&
        DecodeSmallNumber(in.life_ms, begun.life_us, fault);
    begun.idle_us *= 1'000;
    begun.life_us *= 1'000;
    if (in.enlisted.size() > kForeignWorkMax) fault.Set("more branches than resource managers");
    for (wire::Enlisted& branch : in.enlisted) {
      if (fault.what == nullptr) Decode(branch, begun.enlisted.emplace_back(), fault);
    }
  }
  return Finish(std::move(out), fault);
}

Result<ClientReply> DecodeReply(wire::WorkReply&& in, const TxnId& asked) {
  Fault fault;
  ClientReply out;
  if (!IsOf(in, asked, fault)) return Invalid(fault);
  if (TakeRefusal(in, out, fault)) {
    DecodeGroups(in.shards, std::get<Refusal>(out).shards, fault);
    return Finish(std::move(out), fault);
  }
  if (in.__isset.ending) {
    DecodeEnding(in.ending, out.emplace<Ending>(), fault);
    return Finish(std::move(out), fault);
  }
  auto& done = out.emplace<WorkDone>();
  Decode(in.results, done.results, fault) && DecodeGroups(in.shards, done.shards, fault);
  return Finish(std::move(out), fault);
}

Result<ClientReply> DecodeReply(wire::CommitReply&& in, const CommitTag& asked) {
  return DecodeCommitReply(in, asked);
}

Result<ClientReply> DecodeReply(wire::RollbackReply&& in, const TxnId& asked) {
  Fault fault;
  ClientReply out;
  if (!IsOf(in, asked, fault)) return Invalid(fault);
  if (!TakeRefusal(in, out, fault)) out = RolledBack{};
  return Finish(std::move(out), fault);
}

Result<ClientReply> DecodeReply(wire::EnlistReply&& in, const TxnId& asked) {
  Fault fault;
  ClientReply out;
  if (!IsOf(in, asked, fault)) return Invalid(fault);
  if (in.__isset.enlisted) {
    Decode(in.enlisted, out.emplace<EnlistedBranch>(), fault);
  } else if (in.__isset.ending) {
    DecodeEnding(in.ending, out.emplace<Ending>(), fault);
  } else if (!TakeRefusal(in, out, fault)) {
    fault.Set("reply that is nothing");
  }
  return Finish(std::move(out), fault);
}

Result<ClientReply> DecodeReply(wire::KeepAliveReply&& in, const TxnId& asked) {
  Fault fault;
  ClientReply out;
  if (!IsOf(in, asked, fault)) return Invalid(fault);
  if (in.__isset.ending) {
    DecodeEnding(in.ending, out.emplace<Ending>(), fault);
  } else if (!TakeRefusal(in, out, fault)) {
    out = KeptAlive{};
  }
  return Finish(std::move(out), fault);
}

Result<ClientReply> DecodeReply(wire::FinishedReply&& in, const TxnId& asked) {
  Fault fault;
  ClientReply out;
  if (!IsOf(in, asked, fault)) return Invalid(fault);
  if (!TakeRefusal(in, out, fault)) out = FinishNoted{};
  return Finish(std::move(out), fault);
}

// ---- Server side

Result<AddressedRequest> DecodeRequest(wire::OpenSessionRequest&& in) {
  AddressedRequest out{{}, OpenSession{}};
  Fault fault;
  if (!DecodeCoordinator(in.group, out.group, fault)) return Invalid(fault);
  return out;
}

Result<AddressedRequest> DecodeRequest(wire::ExecuteRequest&& in) {
  AddressedRequest out{{}, Execute{}};
  auto& execute = std::get<Execute>(out.request);
  Fault fault;
  if (!DecodeCoordinator(in.group, out.group, fault) || !DecodeTag(in.tag, execute.tag, fault) ||
      !Decode(in.operations, execute.operations, fault) ||
      !DecodeForeign(in.foreign, execute.foreign, fault) ||
      !DecodeAgeIf(in.__isset.retry_of, in.retry_of, execute.retry_of, fault)) {
    return Invalid(fault);
  }
  if (execute.tag.token.coordinator != out.group) {
    fault.Set("the token belongs to another coordinator group");
    return Invalid(fault);
  }
  return out;
}

Result<AddressedRequest> DecodeRequest(wire::BeginRequest&& in) {
  AddressedRequest out{{}, Begin{}};
  Fault fault;
  auto& begin = std::get<Begin>(out.request);
  if (!DecodeCoordinator(in.group, out.group, fault) ||
      !DecodeAgeIf(in.__isset.retry_of, in.retry_of, begin.retry_of, fault)) {
    return Invalid(fault);
  }
  if ((in.__isset.idle_ms && in.idle_ms < 1) || (in.__isset.life_ms && in.life_ms < 1)) {
    fault.Set("idle_ms, life_ms: at least 1, or leave them out");
  }
  if (in.__isset.idle_ms) begin.idle_us = static_cast<uint64_t>(in.idle_ms) * 1'000;
  if (in.__isset.life_ms) begin.life_us = static_cast<uint64_t>(in.life_ms) * 1'000;
  if (in.enlist.size() > kForeignWorkMax) fault.Set("enlist: more than 64 resource managers");
  for (std::string& name : in.enlist) {
    if (fault.what == nullptr) DecodeManager(name, begin.enlist.emplace_back(), fault);
  }
  if (fault.what != nullptr) return Invalid(fault);
  return out;
}

Result<AddressedRequest> DecodeRequest(wire::WorkRequest&& in) {
  AddressedRequest out{{}, Work{}};
  auto& work = std::get<Work>(out.request);
  Fault fault;
  if (!Decode(in.txn, work.txn, fault) || !Decode(in.operations, work.operations, fault) ||
      !DecodeNumber(in.key, work.key, fault))
    return Invalid(fault);
  if (work.operations.empty()) {
    fault.Set("work without operations");
    return Invalid(fault);
  }
  out.group = work.txn.coordinator;
  return out;
}

Result<AddressedRequest> DecodeRequest(wire::CommitRequest&& in) {
  AddressedRequest out{{}, Commit{}};
  auto& commit = std::get<Commit>(out.request);
  Fault fault;
  if (!Decode(in.txn, commit.txn, fault) || !DecodeTag(in.tag, commit.tag, fault) ||
      !DecodeForeign(in.foreign, commit.foreign, fault) || !DecodeGroups(in.shards, commit.shards, fault) ||
      !DecodeNumber(in.key, commit.key, fault)) {
    return Invalid(fault);
  }
  if (in.__isset.wait_finished_ms) {
    if (in.wait_finished_ms < 0 || in.wait_finished_ms > kFinishedWaitMsMax) {
      fault.Set("wait_finished_ms: 0 to 5,000");
    }
    commit.wait_finished_us = static_cast<uint64_t>(in.wait_finished_ms) * 1'000;
  }
  if (commit.shards.size() > kParticipantsMax) fault.Set("more shards than there are slots");
  for (const GroupId shard : commit.shards) {
    if (shard.kind != GroupKind::kShard) fault.Set("shards: not a shard");
  }
  if (commit.tag.token.coordinator != commit.txn.coordinator) {
    fault.Set("the token belongs to another coordinator group");
  }
  if (fault.what != nullptr) return Invalid(fault);
  out.group = commit.txn.coordinator;
  return out;
}

Result<AddressedRequest> DecodeRequest(wire::RollbackRequest&& in) {
  AddressedRequest out{{}, Rollback{}};
  auto& rollback = std::get<Rollback>(out.request);
  Fault fault;
  if (!Decode(in.txn, rollback.txn, fault) || !DecodeNumber(in.key, rollback.key, fault))
    return Invalid(fault);
  out.group = rollback.txn.coordinator;
  return out;
}

Result<AddressedRequest> DecodeRequest(wire::EnlistRequest&& in) {
  AddressedRequest out{{}, Enlist{}};
  auto& enlist = std::get<Enlist>(out.request);
  Fault fault;
  if (!Decode(in.txn, enlist.txn, fault) || !DecodeNumber(in.key, enlist.key, fault) ||
      !DecodeManager(in.resource_manager, enlist.resource_manager, fault))
    return Invalid(fault);
  out.group = enlist.txn.coordinator;
  return out;
}

Result<AddressedRequest> DecodeRequest(wire::KeepAliveRequest&& in) {
  AddressedRequest out{{}, KeepAlive{}};
  auto& keep_alive = std::get<KeepAlive>(out.request);
  Fault fault;
  if (!Decode(in.txn, keep_alive.txn, fault) || !DecodeNumber(in.key, keep_alive.key, fault))
    return Invalid(fault);
  out.group = keep_alive.txn.coordinator;
  return out;
}

Result<AddressedRequest> DecodeRequest(wire::FinishedRequest&& in) {
  AddressedRequest out{{}, Finished{}};
  auto& finished = std::get<Finished>(out.request);
  Fault fault;
  if (!Decode(in.txn, finished.txn, fault) || !DecodeNumber(in.key, finished.key, fault) ||
      !DecodeManager(in.resource_manager, finished.resource_manager, fault) ||
      !Decode(in.decision, finished.decision, fault))
    return Invalid(fault);
  if (in.branch < 1) {
    fault.Set("branch: as enlist gave it, from 1");
    return Invalid(fault);
  }
  finished.branch = static_cast<uint32_t>(in.branch);
  out.group = finished.txn.coordinator;
  return out;
}

wire::Refusal EncodeRefusal(Refusal&& refusal) {
  wire::Refusal out;
  out.code = Encode(refusal.code);
  out.detail = CutDetail(std::move(refusal.detail));
  if (refusal.epoch != Epoch{}) out.__set_epoch(Number(refusal.epoch));
  return out;
}

wire::Ending EncodeEnding(Ending&& ending) {
  wire::Ending out;
  out.outcome = Encode(ending.outcome);
  if (ending.txn.valid()) out.__set_txn(Encode(ending.txn));
  if (ending.age.txn.valid()) out.__set_age(Encode(ending.age));
  if (ending.reason != AbortReason::kNone) out.__set_reason(Encode(ending.reason));
  out.detail = CutDetail(std::move(ending.detail));
  out.results = Encode(std::move(ending.results));
  out.repeated = ending.repeated;
  out.birth_us = Number(ending.birth_us);
  if (ending.finished) out.__set_finished(*ending.finished);
  out.heuristics = Encode(std::move(ending.heuristics));
  return out;
}

void EncodeReply(ClientReply&& reply, wire::OpenSessionReply& out) {
  if (EncodedRefusal(reply, out)) return;
  const auto& opened = As<SessionOpened>(reply);
  out.client = Number(opened.client);
  out.birth_us = Number(opened.birth_us);
  out.epoch = Number(opened.epoch);
}

void EncodeReply(ClientReply&& reply, wire::ExecuteReply& out) {
  if (!EncodedRefusal(reply, out)) SetEnding(std::move(As<Ending>(reply)), out);
}

void EncodeReply(ClientReply&& reply, wire::BeginReply& out) {
  if (EncodedRefusal(reply, out)) return;
  auto& begun = As<Begun>(reply);
  out.txn = Encode(begun.txn);
  out.age = Encode(begun.age);
  out.key = Number(begun.key);
  out.idle_ms = SmallNumber(begun.idle_us / 1'000);
  out.life_ms = SmallNumber(begun.life_us / 1'000);
  for (EnlistedBranch& branch : begun.enlisted) out.enlisted.push_back(Encode(std::move(branch)));
}

void EncodeReply(ClientReply&& reply, wire::WorkReply& out) {
  const auto set_shards = [&out](const std::vector<GroupId>& shards) {
    for (const GroupId shard : shards) out.shards.push_back(Encode(shard));
  };
  if (const auto* const refusal = std::get_if<Refusal>(&reply)) set_shards(refusal->shards);
  if (EncodedRefusal(reply, out)) return;
  if (auto* const ending = std::get_if<Ending>(&reply)) return SetEnding(std::move(*ending), out);
  auto& done = As<WorkDone>(reply);
  out.results = Encode(std::move(done.results));
  set_shards(done.shards);
}

void EncodeReply(ClientReply&& reply, wire::CommitReply& out) {
  if (!EncodedRefusal(reply, out)) SetEnding(std::move(As<Ending>(reply)), out);
}

void EncodeReply(ClientReply&& reply, wire::RollbackReply& out) {
  if (!EncodedRefusal(reply, out)) As<RolledBack>(reply);
}

void EncodeReply(ClientReply&& reply, wire::EnlistReply& out) {
  if (EncodedRefusal(reply, out)) return;
  if (auto* const ending = std::get_if<Ending>(&reply)) return SetEnding(std::move(*ending), out);
  out.__set_enlisted(Encode(std::move(As<EnlistedBranch>(reply))));
}

void EncodeReply(ClientReply&& reply, wire::KeepAliveReply& out) {
  if (EncodedRefusal(reply, out)) return;
  if (auto* const ending = std::get_if<Ending>(&reply)) return SetEnding(std::move(*ending), out);
  As<KeptAlive>(reply);
}

void EncodeReply(ClientReply&& reply, wire::FinishedReply& out) {
  if (!EncodedRefusal(reply, out)) As<FinishNoted>(reply);
}

}  // namespace assent::codec
