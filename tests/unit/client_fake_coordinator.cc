#include "client_fake_coordinator.h"

#include <thrift/processor/TMultiplexedProcessor.h>

#include <algorithm>
#include <stdexcept>

#include "common/check.h"
#include "thrift/codec_fields.h"

namespace assent::fake {
namespace {

constexpr int32_t kGroup = (1 << 16) | 1;

// A processor makes an answer without content of it: the client cannot know what was done.
[[noreturn]] void Lose() {
  throw std::runtime_error("lost");
}

}  // namespace

Coordinator::Coordinator() {
  auto self = std::shared_ptr<Coordinator>(this, [](Coordinator*) {});
  auto multiplexed = std::make_shared<apache::thrift::TMultiplexedProcessor>();
  multiplexed->registerProcessor("TransactionManager",
                                 std::make_shared<wire::TransactionManagerProcessor>(self));
  ServerOptions options;
  options.limits = kClientLimits;
  auto server = Server::Start(options, multiplexed);
  ASSENT_CHECK(server.ok(), server.status().message());
  server_ = std::move(server).value();
}

Coordinator::~Coordinator() {
  Stop();
}

void Coordinator::Stop() {
  Release();
  server_->Stop();
}

void Coordinator::Release() {
  std::lock_guard lock(mutex_);
  release_ = true;
  released_.notify_all();
}

void Coordinator::SetFaults(std::function<Fault()> next_fault) {
  std::lock_guard lock(mutex_);
  next_fault_ = std::move(next_fault);
}

std::string Coordinator::address() const {
  return ToString(server_->address());
}

void Coordinator::RunStalled() {
  std::lock_guard lock(mutex_);
  for (const wire::CommitTag& tag : std::exchange(stalled_, {})) {
    wire::ExecuteReply nobody;
    Judge(nobody, tag, Fault::kNone, 0);
  }
}

int Coordinator::effects(int64_t client, int64_t seq) const {
  std::lock_guard lock(mutex_);
  const auto record = tokens_.find({client, seq});
  return record == tokens_.end() ? 0 : record->second.effects;
}
int Coordinator::total_effects() const {
  std::lock_guard lock(mutex_);
  int sum = 0;
  for (const auto& [key, record] : tokens_) sum += record.effects;
  return sum;
}
int Coordinator::executes() const {
  std::lock_guard lock(mutex_);
  return executes_;
}
int Coordinator::sessions() const {
  std::lock_guard lock(mutex_);
  return static_cast<int>(next_client_) - 1;
}
wire::ExecuteRequest Coordinator::last_execute() const {
  std::lock_guard lock(mutex_);
  return last_execute_;
}
std::vector<wire::Operation> Coordinator::last_work() const {
  std::lock_guard lock(mutex_);
  return last_work_;
}
int64_t Coordinator::epoch() const {
  std::lock_guard lock(mutex_);
  return epoch_;
}
int Coordinator::kept_alive() const {
  std::lock_guard lock(mutex_);
  return kept_alive_;
}
wire::CommitRequest Coordinator::last_commit() const {
  std::lock_guard lock(mutex_);
  return last_commit_;
}
std::vector<wire::FinishedRequest> Coordinator::finishes() const {
  std::lock_guard lock(mutex_);
  return finishes_;
}
int Coordinator::begun() const {
  std::lock_guard lock(mutex_);
  return begun_;
}
int Coordinator::rolled_back() const {
  std::lock_guard lock(mutex_);
  return rolled_back_;
}

wire::Refusal Coordinator::Refuse(wire::RefusalCode::type code) const {
  wire::Refusal refusal;
  refusal.code = code;
  refusal.detail = "as the script says";
  refusal.__set_epoch(epoch_);
  return refusal;
}

void Coordinator::AwaitHanging() {
  std::unique_lock lock(mutex_);
  news_.wait(lock, [this] { return hanging_ > 0; });
}

void Coordinator::AwaitAsked(int times) {
  std::unique_lock lock(mutex_);
  const int until = asked_ + times;
  news_.wait(lock, [&] { return asked_ >= until; });
}

int Coordinator::asked() {
  std::lock_guard lock(mutex_);
  return asked_;
}

void Coordinator::TakeOverFrom(const Coordinator& old) {
  std::scoped_lock lock(mutex_, old.mutex_);
  epoch_ = old.epoch_ + 1;
  next_client_ = old.next_client_;
  tokens_ = old.tokens_;
  floors_ = old.floors_;
}

void Coordinator::Hang(std::unique_lock<std::mutex>& lock) {
  ++hanging_;
  news_.notify_all();
  released_.wait(lock, [this] { return release_; });
}

void Coordinator::where_is(wire::WhereIsReply& out, const wire::WhereIsRequest& request) {
  std::lock_guard lock(mutex_);
  ++asked_;
  news_.notify_all();
  out.cluster = cluster;
  if (!request.cluster.empty() && request.cluster != cluster) {
    out.__set_refusal(Refuse(wire::RefusalCode::WRONG_CLUSTER));
    return;
  }
  out.addresses = other_addresses;
  if (!knows_leader) return;
  wire::Leader leader;
  leader.group = kGroup;
  leader.epoch = epoch_;
  leader.node = 1;
  leader.address = leader_address.empty() ? address() : leader_address;
  out.leaders.push_back(leader);
}

void Coordinator::open_session(wire::OpenSessionReply& out, const wire::OpenSessionRequest&) {
  std::lock_guard lock(mutex_);
  out.client = next_client_++;
  out.birth_us = 1000 + out.client;
  out.epoch = epoch_;
}

// As C5 says, for a request that arrives now.
template <typename Reply>
void Coordinator::Judge(Reply& out, const wire::CommitTag& tag, Fault fault, size_t results) {
  out.__set_token(tag.token);
  out.__set_attempt(tag.attempt);
  if (tag.sent_to != epoch_) {
    out.__set_refusal(Refuse(wire::RefusalCode::STALE_EPOCH));
    return;
  }
  int64_t& floor = floors_[tag.token.client];
  floor = std::max(floor, tag.acked_below);
  if (tag.token.seq < floor) {
    out.__set_refusal(Refuse(wire::RefusalCode::TOKEN_EXPIRED));
    return;
  }
  Record& record = tokens_[{tag.token.client, tag.token.seq}];
  wire::Ending ending;
  ending.birth_us = 2000;
  wire::TxnId txn;
  txn.group = kGroup;
  txn.epoch = epoch_;
  txn.seq = next_txn_++;
  ending.__set_txn(txn);
  wire::Age age;
  age.begin_us = 500;
  age.txn = txn;
  ending.__set_age(age);
  if (record.effects > 0) {
    ending.outcome = wire::Outcome::COMMITTED;
    ending.repeated = true;
  } else if (tag.attempt <= record.refused) {
    ending.outcome = wire::Outcome::ABORTED;
    ending.__set_reason(wire::AbortReason::REFUSED_ATTEMPT);
  } else if (fault == Fault::kWounded || fault == Fault::kCheckFailed) {
    record.refused = tag.attempt;
    ending.outcome = wire::Outcome::ABORTED;
    ending.__set_reason(fault == Fault::kWounded ? wire::AbortReason::WOUNDED
                                                 : wire::AbortReason::CHECK_FAILED);
  } else {
    ++record.effects;
    ending.outcome = wire::Outcome::COMMITTED;
    ending.results.resize(results);
  }
  out.__set_ending(ending);
}

template <typename Reply>
void Coordinator::Serve(Reply& out, const wire::CommitTag& tag, size_t results) {
  std::unique_lock lock(mutex_);
  const Fault fault = next_fault_ ? next_fault_() : Fault::kNone;
  out.__set_token(tag.token);
  out.__set_attempt(tag.attempt);
  switch (fault) {
    case Fault::kLostRequest:
      Lose();
    case Fault::kStalled:
      stalled_.push_back(tag);
      Lose();
    case Fault::kOverloaded:
      return out.__set_refusal(Refuse(wire::RefusalCode::OVERLOADED));
    case Fault::kNotServing:
      return out.__set_refusal(Refuse(wire::RefusalCode::NOT_SERVING));
    case Fault::kTokenExpired:
      return out.__set_refusal(Refuse(wire::RefusalCode::TOKEN_EXPIRED));
    case Fault::kInvalid:
      return out.__set_refusal(Refuse(wire::RefusalCode::INVALID));
    case Fault::kUnknown: {
      wire::Ending ending;
      ending.outcome = wire::Outcome::UNKNOWN;
      return out.__set_ending(ending);
    }
    case Fault::kNewEpoch:
      ++epoch_;
      open_.clear();
      break;
    case Fault::kNone:
    case Fault::kLostReply:
    case Fault::kHang:
    case Fault::kWrongEcho:
    case Fault::kWounded:
    case Fault::kCheckFailed:
      break;
  }
  Judge(out, tag, fault, results);
  if (fault == Fault::kLostReply) Lose();
  if (fault == Fault::kHang) Hang(lock);
  if (fault == Fault::kWrongEcho) ++out.token.seq;
}

void Coordinator::execute(wire::ExecuteReply& out, const wire::ExecuteRequest& request) {
  {
    std::lock_guard lock(mutex_);
    ++executes_;
    last_execute_ = request;
  }
  Serve(out, request.tag, request.operations.size());
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < out.ending.results.size(); ++i) {  // none if it is an earlier run's
    if (request.operations[i].kind != wire::OperationKind::SCAN) continue;
    out.ending.results[i] = ResultOf(request.operations[i]);
  }
}

wire::OperationResult Coordinator::ResultOf(const wire::Operation& operation) const {
  wire::OperationResult result;
  const auto add = [&result](const std::string& key, const std::string& value) {
    wire::ResultRow row;
    row.key = key;
    row.value = value;
    row.version = 3;
    result.rows.push_back(std::move(row));
    result.__isset.rows = true;
  };
  if (operation.kind == wire::OperationKind::GET) add(operation.key, "value");
  if (operation.kind == wire::OperationKind::SCAN) {
    const size_t most =
        operation.__isset.limit ? std::min(page_rows, static_cast<size_t>(operation.limit)) : page_rows;
    auto row = operation.__isset.after ? rows.upper_bound(operation.after) : rows.lower_bound(operation.key);
    for (; row != rows.end() && row->first.starts_with(operation.key); ++row) {
      if (result.rows.size() == most) {
        result.__set_truncated(true);
        break;
      }
      add(row->first, row->second);
    }
  }
  return result;
}

// Only who has heard it says it.
int64_t Coordinator::KeyOf(const wire::TxnId& txn) {
  return 1'000 + txn.seq;
}

void Coordinator::begin_txn(wire::BeginReply& out, const wire::BeginRequest&) {
  std::lock_guard lock(mutex_);
  ++begun_;
  out.txn.group = kGroup;
  out.txn.epoch = epoch_;
  out.txn.seq = next_txn_++;
  out.age.begin_us = 400;
  out.age.txn = out.txn;
  out.key = KeyOf(out.txn);
  open_.insert(out.txn.seq);
}

void Coordinator::work(wire::WorkReply& out, const wire::WorkRequest& request) {
  std::unique_lock lock(mutex_);
  const Fault fault = next_fault_ ? next_fault_() : Fault::kNone;
  out.txn = request.txn;
  if (fault == Fault::kHang) Hang(lock);
  if (fault == Fault::kLostRequest || fault == Fault::kLostReply) Lose();
  if (fault == Fault::kOverloaded) return out.__set_refusal(Refuse(wire::RefusalCode::OVERLOADED));
  if (fault == Fault::kNewEpoch) {
    ++epoch_;
    open_.clear();
  }
  if (fault == Fault::kWounded) {
    open_.erase(request.txn.seq);
    wire::Ending ending;
    ending.outcome = wire::Outcome::ABORTED;
    ending.__set_reason(wire::AbortReason::WOUNDED);
    return out.__set_ending(ending);
  }
  if (request.key != KeyOf(request.txn) || open_.count(request.txn.seq) == 0)
    return out.__set_refusal(Refuse(wire::RefusalCode::NO_SUCH_TXN));
  last_work_ = request.operations;
  out.results.resize(request.operations.size());
  for (size_t i = 0; i < request.operations.size(); ++i) out.results[i] = ResultOf(request.operations[i]);
  out.shards = {(2 << 16) | 1};
}

void Coordinator::commit(wire::CommitReply& out, const wire::CommitRequest& request) {
  {
    std::lock_guard lock(mutex_);
    last_commit_ = request;
    const bool known = tokens_.count({request.tag.token.client, request.tag.token.seq}) != 0;
    if (request.key != KeyOf(request.txn) || (open_.erase(request.txn.seq) == 0 && !known)) {
      out.__set_token(request.tag.token);
      out.__set_attempt(request.tag.attempt);
      return out.__set_refusal(Refuse(wire::RefusalCode::NO_SUCH_TXN));
    }
  }
  Serve(out, request.tag, 0);
}

void Coordinator::rollback(wire::RollbackReply& out, const wire::RollbackRequest& request) {
  std::lock_guard lock(mutex_);
  out.txn = request.txn;
  ++rolled_back_;
  if (request.key != KeyOf(request.txn) || open_.erase(request.txn.seq) == 0)
    out.__set_refusal(Refuse(wire::RefusalCode::NO_SUCH_TXN));
}

void Coordinator::enlist(wire::EnlistReply& out, const wire::EnlistRequest& request) {
  std::lock_guard lock(mutex_);
  const Fault fault = next_fault_ ? next_fault_() : Fault::kNone;
  out.txn = request.txn;
  if (fault == Fault::kLostReply) Lose();
  if (fault == Fault::kInvalid) return out.__set_refusal(Refuse(wire::RefusalCode::INVALID));
  if (request.key != KeyOf(request.txn) || open_.count(request.txn.seq) == 0)
    return out.__set_refusal(Refuse(wire::RefusalCode::NO_SUCH_TXN));
  wire::Enlisted enlisted;
  enlisted.resource_manager = request.resource_manager;
  enlisted.branch = 1;
  enlisted.xid.format_id = 1'095'978'580;
  enlisted.xid.gtrid = "fake";
  enlisted.xid.bqual = request.resource_manager + ".1";
  enlisted.kind = "postgresql";
  out.__set_enlisted(enlisted);
}

void Coordinator::keep_alive(wire::KeepAliveReply& out, const wire::KeepAliveRequest& request) {
  std::lock_guard lock(mutex_);
  out.txn = request.txn;
  if (request.key != KeyOf(request.txn) || open_.count(request.txn.seq) == 0)
    return out.__set_refusal(Refuse(wire::RefusalCode::NO_SUCH_TXN));
  ++kept_alive_;
}

void Coordinator::finished(wire::FinishedReply& out, const wire::FinishedRequest& request) {
  std::lock_guard lock(mutex_);
  out.txn = request.txn;
  finishes_.push_back(request);
}

ClientOptions Quick() {
  ClientOptions options;
  options.connect_timeout_ms = 500;
  options.call_timeout_ms = 10'000;
  options.deadline_ms = 10'000;
  options.backoff_min_ms = 1;
  options.backoff_max_ms = 1;
  return options;
}

std::function<Fault()> Script(std::deque<Fault> faults) {
  return [faults = std::move(faults)]() mutable {
    if (faults.empty()) return Fault::kNone;
    const Fault next = faults.front();
    faults.pop_front();
    return next;
  };
}

Client Connected(Coordinator& coordinator, const ClientOptions& options) {
  // The deadlines that some tests ask for may be too short for a connect on a busy machine, which
  // is not their point.
  for (int tries = 1;; ++tries) {
    auto client = Client::Connect({coordinator.address()}, options);
    if (client.ok() || tries == 100) return std::move(client).value();
  }
}

CommitResult Transfer(Client& client) {
  return client.Execute({op::Add("a", -1, 0), op::Add("b", 1)});
}

}  // namespace assent::fake
