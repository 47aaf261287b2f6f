#include "sim/client.h"

#include <algorithm>
#include <utility>

#include "client/outcome.h"
#include "sim/describe.h"
#include "sim/durations.h"

namespace assent::sim {
namespace {

using Next = CommitProgress::Next;

constexpr uint64_t kAttemptsMax = 6;
constexpr int kRollbacksMax = 10;
constexpr uint64_t kThinkStepUs = 200 * kMs;  // so soon it sees that it is to stop
constexpr uint64_t kBusyBeforeUs = 300 * kMs;
constexpr uint64_t kBusyAfterUs = 2'000 * kMs;  // a node that was cut off dies within 1.9 s
constexpr size_t kElementsMax = 30;             // of a list, before it is begun anew
constexpr uint64_t kPerPrefix = 8;              // transactions before the next prefix is scanned

}  // namespace

// One call, and the wait for its answer; nullopt: none came in time.
struct Client::Reply {
  Reply(Client& its_client, NodeId whom, ClientRequest what, uint64_t patience)
      : client(its_client), to(whom), request(std::move(what)), patience_us(patience) {}

  Client& client;
  const NodeId to;
  const ClientRequest request;
  const uint64_t patience_us;
  std::optional<ClientReply> answer;

  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> self) {
    World& world = client.world_;
    const uint64_t call = ++client.call_;
    const auto wake = [this, &caller = client, call, self](std::optional<ClientReply> reply) {
      if (call != caller.call_) return;  // given up: this is gone
      ++caller.call_;
      answer = std::move(reply);
      self.resume();
    };
    world.CallOverNetwork(to, client.plan_.coordinator, request, wake);
    world.After(patience_us, [wake] { wake(std::nullopt); });
  }
  void await_resume() const {}
};

struct Client::Pause {
  Pause(World& its_world, uint64_t for_us) : world(its_world), us(for_us) {}

  World& world;
  const uint64_t us;
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> self) const {
    world.After(us, [self] { self.resume(); });
  }
  void await_resume() const {}
};

Client::Client(World& world, uint32_t number, uint64_t seed, const ClientPlan& plan)
    : world_(world), number_(number), plan_(plan), random_(seed * 1'000'003 + number), run_(Run()) {}

void Client::Trace(std::string_view what, const std::string& text) {
  world_.trace().Line(world_.now_us(), NodeId{}, GroupId{}, what, "k" + std::to_string(number_) + " " + text);
}

NodeId Client::Target() {
  if (leader_) return *leader_;
  return plan_.nodes[Below(plan_.nodes.size())];
}

Flow<std::optional<ClientReply>> Client::Ask(ClientRequest request, uint64_t patience_us) {
  const NodeId to = Target();
  if (world_.trace().prints()) Trace("asks", ToString(to) + ": " + Describe(request));
  const bool ends = std::holds_alternative<Execute>(request) || std::holds_alternative<Commit>(request);
  std::function<void()> once_answered;
  if (ends && !calm_ && Chance(plan_.duplicates)) {  // a stalled duplicate
    duplicated_ = true;
    std::function<void()> come = [this, request, other = plan_.nodes[Below(plan_.nodes.size())]] {
      world_.Call(other, plan_.coordinator, request, [](const auto&) {});
    };
    if (Chance(0.3)) {
      once_answered = std::move(come);
    } else {
      world_.After(Below(Chance(0.5) ? 400 * kMs : 8'000 * kMs), std::move(come));
    }
  }
  Reply wait(*this, to, std::move(request), patience_us);
  co_await wait;
  std::optional<ClientReply> reply = std::move(wait.answer);
  if (once_answered) world_.After(Below(100 * kMs), std::move(once_answered));
  leader_ = to;
  if (!reply) {
    leader_.reset();
  } else if (const auto* refusal = std::get_if<Refusal>(&*reply)) {
    if (refusal->code == RefusalCode::kNotServing) leader_.reset();
    if (refusal->code == RefusalCode::kStaleEpoch && refusal->epoch <= epoch_) leader_.reset();
    epoch_ = std::max(epoch_, refusal->epoch);
  } else if (const auto* ending = std::get_if<Ending>(&*reply)) {
    if (ending->birth_us != 0 && !Chance(plan_.stale_births)) birth_us_ = ending->birth_us;
  }
  if (world_.trace().prints()) Trace("is told", reply ? Describe(*reply) : "nothing");
  co_return reply;
}

Flow<bool> Client::OpenSession() {
  while (!stopping_ || calm_) {
    ClientRequest request = assent::OpenSession();
    const std::optional<ClientReply> reply = co_await Ask(std::move(request), 500 * kMs);
    if (reply) {
      if (const auto* opened = std::get_if<SessionOpened>(&*reply)) {
        client_ = opened->client;
        birth_us_ = opened->birth_us;
        epoch_ = std::max(epoch_, opened->epoch);
        seq_ = 0;
        acked_below_ = 0;
        co_return true;
      }
    }
    co_await Pause(world_, 5 * kMs + Below(100 * kMs));
  }
  co_return false;
}

CommitTag Client::NextTag() {
  ++seq_;
  CommitTag tag;
  tag.token = Token{plan_.coordinator, *client_, seq_, birth_us_};
  tag.acked_below = acked_below_;
  return tag;
}

Flow<Outcome> Client::Settle(ClientRequest request) {
  const bool one_shot = std::holds_alternative<Execute>(request);
  CommitProgress progress(CommitProgress::TokenKind::kFresh,
                          one_shot ? 1 + static_cast<int>(Below(kAttemptsMax)) : 1);
  last_results_.clear();
  last_repeated_ = false;
  int sends = 0;
  for (;;) {
    CommitTag& tag = one_shot ? std::get<Execute>(request).tag : std::get<Commit>(request).tag;
    tag.sent_to = epoch_;
    tag.attempt = progress.attempt();
    if (one_shot) std::get<Execute>(request).retry_of = progress.retry_of();
    if (!one_shot && sends++ > 0 &&
        Chance(plan_.forgets)) {  // which shards it was, as clients of others' make may
      std::vector<GroupId>& shards = std::get<Commit>(request).shards;
      if (shards.size() > 1) {
        shards.pop_back();
      } else {
        shards.clear();
      }
    }
    if (!calm_ && Chance(plan_.quits)) {  // it dies; the request goes its way
      world_.CallOverNetwork(Target(), plan_.coordinator, request, [](const auto&) {});
      client_.reset();
      co_return Outcome::kUnknown;
    }
    std::optional<ClientReply> reply = co_await Ask(request, 300 * kMs + Below(3'000 * kMs));
    // Nobody answers for the duplicate: that this send is refused says nothing about it.
    if (std::exchange(duplicated_, false)) progress.OnLost(Status(StatusCode::kUnavailable, "sent twice"));
    const Next next = reply ? progress.OnReply(std::move(*reply))
                            : progress.OnLost(Status(StatusCode::kUnavailable, "no answer"));
    if (next == Next::kDone) break;
    if (next == Next::kNewToken) {  // it was never run
      client_.reset();
      co_return Outcome::kAborted;
    }
    co_await Pause(world_, next == Next::kSendAtOnce ? kMs : 10 * kMs + Below(150 * kMs));
  }
  CommitResult result = progress.TakeResult();
  last_results_ = std::move(result.results);
  last_repeated_ = result.repeated;
  last_reason_ = result.reason;
  co_return result.outcome;
}

// ---- Transactions ----

Flow<bool> Client::Run() {
  while (!stopping_) {
    if (!client_) {
      const bool opened = co_await OpenSession();
      if (!opened) break;
    }
    const Kind kind = DrawKind();
    const bool committed = co_await OneTransaction(kind);
    if (committed) {
      acked_below_ = seq_;
      CountCommitted(kind);
    }
    uint64_t think_us = ThinkUs();
    size_t moments = plan_.busy_at_us.size();
    while (think_us > 0 && !stopping_) {
      if (std::exchange(moments, plan_.busy_at_us.size()) != plan_.busy_at_us.size()) {  // one is now
        think_us = std::min(think_us, Below(plan_.think_us_max));
      }
      const uint64_t part_us = std::min(think_us, kThinkStepUs);
      co_await Pause(world_, part_us);
      think_us -= part_us;
    }
  }
  idle_ = true;
  co_return true;
}

uint64_t Client::ThinkUs() {
  const uint64_t busy_us = Below(plan_.think_us_max);
  const uint64_t now_us = world_.now_us();
  const auto& moments = plan_.busy_at_us;
  const auto next = std::upper_bound(moments.begin(), moments.end(), now_us);
  if (next != moments.begin() && now_us < *std::prev(next) + kBusyAfterUs) return busy_us;
  const uint64_t begins_us = next == moments.end() ? UINT64_MAX : *next - std::min(*next, kBusyBeforeUs);
  if (begins_us <= now_us) return busy_us;
  return std::min(plan_.quiet_times * busy_us, begins_us - now_us + busy_us);
}

Client::Kind Client::DrawKind() {
  constexpr std::pair<Kind, uint64_t> kShares[] = {
      {Kind::kOneShot, 24},     {Kind::kOneKey, 18},  {Kind::kSwap, 12}, {Kind::kAppend, 12},
      {Kind::kInteractive, 16}, {Kind::kReadOnly, 8}, {Kind::kScan, 6},  {Kind::kRollBack, 4}};
  uint64_t drawn = Below(100);
  for (const auto& [kind, share] : kShares) {
    if (drawn < share) return kind;
    drawn -= share;
  }
  return Kind::kOneShot;
}

void Client::CountCommitted(Kind kind) {
  if (kind == Kind::kRollBack) return;
  const Form form = kind == Kind::kOneKey                               ? Form::kOneKey
                    : kind == Kind::kReadOnly                           ? Form::kReadOnly
                    : kind == Kind::kInteractive || kind == Kind::kScan ? Form::kInteractive
                                                                        : Form::kOneShot;
  ++committed_[static_cast<size_t>(form)];
}

// Named variables and plain functions around each co_await: GCC 12 destroys some temporaries
// of a coroutine twice.
Client::Operations Client::DrawOneShot(Kind kind, std::string& marker) {
  Operations operations;
  switch (kind) {
    case Kind::kOneShot: {
      const std::vector<std::string> accounts = Pick(plan_.accounts, 2);
      const auto amount = static_cast<int64_t>(Below(100));
      operations = {AddOp{accounts[0], -amount, {}}, AddOp{accounts[1], amount, {}}};
      if (Chance(0.8)) marker = "m" + NextName();
      break;
    }
    case Kind::kOneKey:
      if (Chance(0.5)) {
        marker = "m" + NextName();
      } else {
        const std::string key = Pick(plan_.registers, 1)[0];
        operations = {GetOp{key}, PutOp{key, NextLongName()}};
      }
      break;
    case Kind::kSwap:
      for (const std::string& key : Pick(plan_.registers, 3)) {
        operations.push_back(GetOp{key});
        operations.push_back(PutOp{key, NextLongName()});
      }
      break;
    case Kind::kAppend:
      operations = DrawAppend();
      break;
    default:
      for (const std::string& key : Pick(plan_.registers, 3)) operations.push_back(GetOp{key});
      break;
  }
  if (!marker.empty()) operations.push_back(AddOp{marker, 1, {}});
  return operations;
}

// Appends to lists as they were last seen, if they still are so; or looks at them.
Client::Operations Client::DrawAppend() {
  Operations operations;
  const std::vector<std::string> keys = Pick(plan_.lists, 2);
  const auto unseen = [this](const std::string& key) { return !last_seen_.contains(key); };
  const bool look = Chance(0.3) || std::any_of(keys.begin(), keys.end(), unseen);
  for (const std::string& key : keys) {
    if (look) {
      operations.push_back(GetOp{key});
      continue;
    }
    const checker::Read& seen = last_seen_[key];
    CheckOp check{key, CheckKind::kAbsent, "", 0};
    if (seen.value) {
      check.kind = seen.version != 0 && Chance(0.5) ? CheckKind::kVersion : CheckKind::kValue;
      check.value = check.kind == CheckKind::kValue ? *seen.value : "";
      check.version = check.kind == CheckKind::kVersion ? seen.version : 0;
    }
    operations.push_back(std::move(check));
    operations.push_back(PutOp{key, NextValue(key)});
  }
  return operations;
}

// The requests of an interactive transaction. A put without a value gets one that follows from what was read.
std::vector<Client::Operations> Client::DrawSteps(Kind kind, std::string& marker) {
  std::vector<Operations> steps;
  const auto add = [&steps](Operation operation) { steps.push_back({std::move(operation)}); };
  if (kind == Kind::kScan) {
    const std::string prefix = plan_.scan_prefix + std::to_string(transactions_.size() / kPerPrefix) + "/";
    const std::string name = NextName();
    add(ScanOp{prefix, 0, {}});
    add(PutOp{prefix + name, name});
    return steps;
  }
  if (kind == Kind::kInteractive && Chance(0.3)) {  // read and written in one request
    for (const std::string& key : Pick(plan_.registers, 1 + Below(2))) {
      steps.push_back({GetOp{key}, PutOp{key, NextLongName()}});
    }
    return steps;
  }
  std::vector<std::string> keys = plan_.registers;
  keys.insert(keys.end(), plan_.lists.begin(), plan_.lists.end());
  keys = Pick(keys, 1 + Below(3));
  for (const std::string& key : keys) add(GetOp{key});
  if (kind == Kind::kReadOnly) return steps;
  if (keys.size() > 1 && Chance(0.3)) keys.resize(1);  // invites write skew
  for (const std::string& key : keys) add(PutOp{key, ""});
  if (Chance(0.3)) {
    marker = "m" + NextName();
    add(AddOp{marker, 1, {}});
  }
  return steps;
}

// At one of them or both, in any order, over three rows, one of which is refused now and then.
std::vector<ForeignWork> Client::DrawForeign(const std::string& marker) {
  if (!plan_.has_foreign || marker.empty() || Chance(0.6)) return {};
  std::vector<ForeignWork> works;
  const bool both = Chance(0.4);
  const size_t first = Below(kForeignNames.size());
  for (size_t i = 0; i < (both ? kForeignNames.size() : 1); ++i) {
    const std::string row = Chance(0.02) ? "no" : "row" + std::to_string(Below(3));
    works.push_back({std::string(kForeignNames[(first + i) % kForeignNames.size()]), row + " " + marker});
  }
  return works;
}

namespace {

std::vector<std::string> NamesOf(const std::vector<ForeignWork>& works) {
  std::vector<std::string> names;
  for (const ForeignWork& work : works) names.push_back(work.resource_manager);
  return names;
}

}  // namespace

Flow<bool> Client::OneTransaction(Kind kind) {
  const bool interactive = kind == Kind::kInteractive || kind == Kind::kScan || kind == Kind::kRollBack ||
                           (kind == Kind::kReadOnly && Chance(0.5));
  if (interactive) {
    const bool done = co_await Interactive(kind);
    co_return done;
  }
  std::string marker;
  Operations operations = DrawOneShot(kind, marker);
  const Outcome outcome = co_await OneShot(std::move(operations), std::move(marker));
  co_return outcome == Outcome::kCommitted;
}

Flow<Outcome> Client::OneShot(Operations operations, std::string marker) {
  Execute execute;
  execute.tag = NextTag();
  execute.operations = operations;
  execute.foreign = DrawForeign(marker);
  const size_t told = told_.size();
  told_.push_back({execute.tag.token, std::move(marker), Outcome::kUnknown, NamesOf(execute.foreign)});
  StartRecord();
  ClientRequest request = std::move(execute);
  const Outcome outcome = co_await Settle(std::move(request));
  told_[told].outcome = outcome;
  const bool seen = outcome == Outcome::kCommitted && !last_repeated_;
  Record(operations, seen ? &last_results_ : nullptr);
  EndRecord(outcome);
  co_return outcome;
}

Flow<bool> Client::Interactive(Kind kind) {
  StartRecord();
  ClientRequest request = Begin{last_reason_ == AbortReason::kWounded ? last_age_ : Age{}};
  std::optional<ClientReply> reply = co_await Ask(std::move(request), 1'000 * kMs);
  last_reason_ = AbortReason::kNone;
  const Begun* begun = reply ? std::get_if<Begun>(&*reply) : nullptr;
  if (begun == nullptr) {
    co_await Pause(world_, 20 * kMs + Below(100 * kMs));
    co_return false;
  }
  last_age_ = begun->age;
  const TxnId txn = begun->txn;
  const uint64_t key = begun->key;
  std::string marker;
  std::vector<Operations> steps = DrawSteps(kind, marker);
  std::vector<GroupId> shards;
  for (Operations& operations : steps) {
    if (auto* put = std::get_if<PutOp>(&operations[0]); put != nullptr && put->value.empty()) {
      put->value = NextValue(put->key);
    }
    if (Chance(0.3)) co_await Pause(world_, Below(plan_.dwell_us_max));
    request = Work{txn, operations, key};
    reply = co_await Ask(std::move(request), 4'000 * kMs);
    const WorkDone* done = reply ? std::get_if<WorkDone>(&*reply) : nullptr;
    Record(operations, done != nullptr ? &done->results : nullptr);
    if (done == nullptr) {  // nothing can commit it any more
      if (reply) NoteAbort(*reply);
      // As the library does, unless it dies; a calm one goes on until it meets the leader.
      for (int tries = calm_ ? kRollbacksMax : Chance(0.5) ? 1 : 0; tries > 0; --tries) {
        request = Rollback{txn, key};
        reply = co_await Ask(std::move(request), 300 * kMs);
        const auto* refusal = reply ? std::get_if<Refusal>(&*reply) : nullptr;
        if (reply && (refusal == nullptr || refusal->code == RefusalCode::kNoSuchTxn)) break;
      }
      EndRecord(Outcome::kAborted);
      co_return false;
    }
    shards = done->shards;
  }
  if (kind == Kind::kRollBack) {
    request = Rollback{txn, key};
    reply = co_await Ask(std::move(request), 1'000 * kMs);
    EndRecord(Outcome::kAborted);
    co_return true;
  }
  if (Chance(0.3)) co_await Pause(world_, Below(plan_.dwell_us_max));
  Commit commit;
  commit.tag = NextTag();
  commit.txn = txn;
  commit.shards = shards;
  commit.key = key;
  commit.foreign = DrawForeign(marker);
  const size_t told = told_.size();
  told_.push_back({commit.tag.token, marker, Outcome::kUnknown, NamesOf(commit.foreign)});
  request = std::move(commit);
  const Outcome outcome = co_await Settle(std::move(request));
  told_[told].outcome = outcome;
  EndRecord(outcome);
  co_return outcome == Outcome::kCommitted;
}

void Client::NoteAbort(const ClientReply& reply) {
  if (const auto* ending = std::get_if<Ending>(&reply)) last_reason_ = ending->reason;
}

Flow<bool> Client::ReadAll() {
  Operations operations;
  for (const auto* keys : {&plan_.registers, &plan_.lists}) {
    for (const std::string& key : *keys) operations.push_back(GetOp{key});
  }
  operations.push_back(ScanOp{plan_.scan_prefix, 0});
  for (int attempt = 0; attempt < 20; ++attempt) {
    if (!client_) {
      const bool opened = co_await OpenSession();
      if (!opened) co_return false;
    }
    Operations reads = operations;
    std::string marker;
    const Outcome outcome = co_await OneShot(std::move(reads), std::move(marker));
    if (outcome == Outcome::kCommitted && !last_repeated_) {
      idle_ = true;
      co_return true;
    }
  }
  co_return false;
}

// ---- The record ----

void Client::StartRecord() {
  current_ = checker::Transaction();
  current_.client = number_;
  current_.invoke_ns = world_.now_us() * 1'000;
}

void Client::EndRecord(Outcome outcome) {
  current_.outcome = outcome;
  current_.complete_ns = outcome == Outcome::kUnknown ? checker::kNever : world_.now_us() * 1'000;
  if (outcome != Outcome::kUnknown) ++ended_;
  transactions_.push_back(std::move(current_));
  Trace("ends", std::string(ToString(outcome)));
}

// `results`: null where there was no answer. Writes are noted in any case: they may have happened.
void Client::Record(const Operations& operations, const std::vector<OperationResult>* results) {
  for (size_t i = 0; i < operations.size(); ++i) {
    const OperationResult* result = results != nullptr && i < results->size() ? &(*results)[i] : nullptr;
    if (const auto* put = std::get_if<PutOp>(&operations[i])) {
      current_.events.emplace_back(checker::Write{put->key, put->value});
    } else if (const auto* check = std::get_if<CheckOp>(&operations[i])) {
      // The transaction's fate does not matter: if it happened, the key was as last seen.
      current_.events.emplace_back(last_seen_[check->key]);
    } else if (const auto* get = std::get_if<GetOp>(&operations[i]); get != nullptr && result != nullptr) {
      checker::Read read{get->key, std::nullopt, 0};
      if (!result->rows.empty()) {
        read.value = result->rows.front().value;
        read.version = result->rows.front().version;
      }
      last_seen_[get->key] = read;
      current_.events.emplace_back(std::move(read));
    } else if (const auto* scan = std::get_if<ScanOp>(&operations[i]); scan != nullptr && result != nullptr) {
      current_.events.emplace_back(checker::Scan{scan->prefix, result->rows, result->truncated});
    }
  }
}

// A value that nobody wrote to this key: of a list, as last seen, one element more.
std::string Client::NextValue(const std::string& key) {
  const bool is_list = std::find(plan_.lists.begin(), plan_.lists.end(), key) != plan_.lists.end();
  const std::optional<std::string>& old = last_seen_[key].value;
  if (!is_list || !old || checker::ListElements(*old).size() >= kElementsMax) return NextName();
  return *old + "," + NextName();
}

std::vector<std::string> Client::Pick(std::vector<std::string> keys, size_t count) {
  for (size_t i = keys.size(); i > 1; --i) std::swap(keys[i - 1], keys[Below(i)]);
  keys.resize(std::min(count, keys.size()));
  return keys;
}

}  // namespace assent::sim
