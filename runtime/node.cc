#include "runtime/node.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "directory/embedded.h"
#include "runtime/random_number.h"
#include "runtime/transport/socket.h"
#include "thrift/peer_wire.h"

namespace assent {
namespace {

// How often the views of all groups are read, beside the times when a message tells of a new epoch: bounds
// how long a node sends to a primary that has gone.
constexpr uint64_t kRefreshUs = 500'000;

// How often it is said again that the directory does not answer.
constexpr uint64_t kTroubleRepeatUs = 60'000'000;

// A planned stop: for so long others are asked to take over, and so often it is looked whether they have.
constexpr uint64_t kLeaveMaxUs = 20'000'000;
constexpr uint64_t kLeavePollUs = 10'000;

// Messages that wait for the loop. A loop that is busy for a second, at a checkpoint say, gets about this
// from the links of a fast network.
constexpr size_t kInboundBytesMax = 128 << 20;
// The share of them in one post: some 100 us of work, but for a branch's (ParticipantConfig::step_work_max).
constexpr size_t kPostEnvelopesMax = 16;
constexpr size_t kPostBytes = 64 << 10;

backup::CasOutcome OutcomeOf(CasOutcome outcome) {
  switch (outcome) {
    case CasOutcome::kWon:
      return backup::CasOutcome::kOk;
    case CasOutcome::kLost:
      return backup::CasOutcome::kLost;
    case CasOutcome::kFailed:
      return backup::CasOutcome::kFailed;
    case CasOutcome::kUnknown:
      return backup::CasOutcome::kUnknown;
  }
  return backup::CasOutcome::kUnknown;
}

std::string Describe(const backup::OperatorChange& change) {
  const std::string node = ToString(change.member.node);
  switch (change.kind) {
    case backup::ChangeKind::kAddReplica:
      return "add-replica " + node;
    case backup::ChangeKind::kRemoveReplica:
      return "remove-replica " + node;
    case backup::ChangeKind::kPromote:
      return "promote " + node + (change.force ? " --force" : "");
  }
  return "change of " + node;
}

}  // namespace

Node::Node(NodeOptions options)
    : options_(std::move(options)), life_(RandomNumber()), started_us_(Loop::Now().mono_us) {}

Node::~Node() = default;

Result<std::unique_ptr<Node>> Node::Open(NodeOptions options) {
  std::unique_ptr<Node> node(new Node(std::move(options)));
  ASSENT_RETURN_IF_ERROR(node->OpenAll());
  return node;
}

Status Node::OpenAll() {
  const NodeConfig& config = options_.config;
  auto data = DataDirectory::Open(config.data, config.cluster, config.node);
  if (!data.ok()) return data.status();
  data_ = std::move(data).value();
  ASSENT_RETURN_IF_ERROR(OpenDirectory());
  if (options_.allow_crash_points) {
    auto faulty = std::make_unique<FaultyDirectory>(std::move(directory_));
    faulty_directory_ = faulty.get();
    directory_ = std::move(faulty);
  }

  std::vector<GroupId> shards;
  for (const GroupEntry& group : config.groups) {
    if (group.id.kind == GroupKind::kShard) shards.push_back(group.id);
  }
  auto placement = directory_->ReadPlacement();
  if (!placement.ok() && placement.status().code() == StatusCode::kNotFound) {
    ASSENT_RETURN_IF_ERROR(directory_->CreatePlacement(Placement::Even(shards)));
    placement = directory_->ReadPlacement();
  }
  if (!placement.ok()) return placement.status();
  placement_ = std::move(placement).value();

  ASSENT_RETURN_IF_ERROR(CheckNothingIsLeftOut());

  for (const NodeEntry& peer : config.nodes) {
    if (peer.id == config.node) continue;
    auto& link = links_[peer.id];
    link = std::make_unique<PeerLink>(peer.address, config.cluster, config.node, peer.id);
    if (!link->valid()) return NoDescriptors();
  }
  ASSENT_RETURN_IF_ERROR(OpenReplicas());
  ASSENT_RETURN_IF_ERROR(ClaimRegister());
  loop_.SetIdleHook([this] { FlushAll(); });
  return {};
}

// R12: a node whose replicas belong to a directory makes none in its place, and acts by no other.
Status Node::OpenDirectory() {
  const NodeConfig& config = options_.config;
  auto known = data_->KnownDirectories();
  if (!known.ok()) return known.status();
  EmbeddedOptions options;
  options.path = config.directory_path;
  options.cluster = config.cluster;
  options.fresh = DirectoryIncarnation{RandomNumber()};
  options.first_epoch = FirstEpoch(Loop::Now().wall_us);
  options.life = life_;
  options.may_create = known->empty();
  options.report = [](const std::string& text) { LOG(WARNING) << "the directory: " << text; };
  auto opened = EmbeddedDirectory::Open(options);
  if (!opened.ok()) return opened.status();
  if (const auto& adoption = (*opened)->adoption(); adoption && known->contains(adoption->succeeds)) {
    ASSENT_RETURN_IF_ERROR(data_->Follow(*adoption, (*opened)->incarnation()));
    known = data_->KnownDirectories();
    if (!known.ok()) return known.status();
  }
  if (!known->empty() && !known->contains((*opened)->incarnation())) {
    return Status(StatusCode::kForeign, "directory.path: " + config.directory_path +
                                            ": this is not the directory that the replicas in " +
                                            config.data + " know (R12); is the right one mounted?");
  }
  directory_ = std::move(opened).value();
  return {};
}

// A group that fell out of the configuration is a mistake: its keys would be out of reach, or a view one
// replica short, and nobody would miss it.
Status Node::CheckNothingIsLeftOut() const {
  const NodeConfig& config = options_.config;
  for (const GroupId shard : placement_.slots()) {
    if (config.FindGroup(shard) != nullptr) continue;
    return Status(StatusCode::kInvalid,
                  "the configuration does not name " + ToString(shard) +
                      ", which holds keys by the cluster's placement: put its [[groups]] "
                      "back");
  }
  const auto held = data_->Replicas();
  if (!held.ok()) return held.status();
  const std::vector<GroupEntry> own = config.OwnGroups();
  for (const GroupId group : *held) {
    if (std::any_of(own.begin(), own.end(), [&](const GroupEntry& entry) { return entry.id == group; }))
      continue;
    const std::string name = ToString(group);
    const std::string self = ToString(config.node);
    const auto read = directory_->Read(group);
    if (!read.ok()) return read.status();
    if (read->view && read->view->Find(config.node) != nullptr) {
      return Status(StatusCode::kInvalid, data_->ReplicaPath(group) + " holds a replica of " + name +
                                              " that its view names, and the configuration gives " + self +
                                              " none: put " + self + " back into the replicas of " + name +
                                              ". To give it up, first let another node run `assent " +
                                              "group remove-replica " + name + " " + self +
                                              "` while this one is configured with it");
    }
    LOG(INFO) << data_->ReplicaPath(group)
              << " is of no use any more: neither the configuration nor the view of " << name
              << " names this node. It is left as it is, and may be removed";
  }
  return {};
}

Status Node::Run() {
  loop_.Post([this] {
    for (auto& [id, hosted] : hosted_) {
      if (hosted.replica) StartReplica(id, hosted);
    }
    RefreshPeriodically();
    registrar_->Keep(
        loop_, directory_worker_, [this] { return ConfirmedPositions(); },
        [this](const std::string& why) {
          for (auto& [id, hosted] : hosted_) {
            if (hosted.replica) hosted.replica->Halt(why);
          }
        });
  });
  loop_.Run();

  directory_worker_.Stop();
  disk_worker_.Stop();
  for (auto& [id, link] : links_) link->Stop();
  const std::vector<Confirmed> positions = ConfirmedPositions();
  Status closed;
  for (auto& [id, hosted] : hosted_) {
    if (hosted.replica == nullptr) continue;
    if (const Status status = hosted.replica->Close(); !status.ok() && closed.ok()) closed = status;
    hosted.log.reset();
  }
  if (closed.ok()) registrar_->TakeLeave(positions);
  return closed;
}

void Node::Stop() {
  loop_.Stop();
}

void Node::Leave() {
  loop_.Post([this] {
    for (auto& [id, hosted] : hosted_) {
      if (hosted.replica) hosted.replica->OnReplicationEvent(backup::Leave{});
    }
    StopOnceLeft(Now().mono_us + kLeaveMaxUs);
  });
}

void Node::StopOnceLeft(uint64_t until_us) {
  const uint64_t now_us = Now().mono_us;
  std::string waits_for;
  bool hands_over = false;
  for (auto& [id, hosted] : hosted_) {
    if (hosted.replica == nullptr || hosted.replica->MayStop()) continue;
    waits_for += " " + ToString(id);
    // One at a time: see backup::Leave.
    const bool leads = hosted.replica->replication().role() == backup::Role::kPrimary;
    if (!leads || std::exchange(hands_over, true)) continue;
    hosted.replica->OnReplicationEvent(backup::Leave{.hands_over = true});
  }
  if (waits_for.empty()) return Stop();
  if (now_us >= until_us) {
    LOG(WARNING) << "stops without having left" << waits_for
                 << ": nobody took that over, or went on without it, in " << kLeaveMaxUs / 1'000'000 << " s";
    return Stop();
  }
  loop_.PostAt(now_us + kLeavePollUs, [this, until_us] { StopOnceLeft(until_us); });
}

// ---- Any thread ----

void Node::Deliver(std::vector<Envelope> envelopes) {
  // In several posts: between two of them the loop may look at its timers.
  for (auto next = envelopes.begin(); next != envelopes.end();) {
    std::vector<Envelope> few;
    size_t bytes = 0;
    while (next != envelopes.end() && few.size() < kPostEnvelopesMax && bytes < kPostBytes) {
      bytes += WireBytes(*next);
      few.push_back(std::move(*next++));
    }
    // G8: what is dropped here is as good as lost on the way; and what comes behind it, too, or it would seem
    // to have arrived.
    if (inbound_bytes_.fetch_add(bytes) + bytes > kInboundBytesMax ||
        !loop_.TryPost([this, bytes, few = std::move(few)]() mutable {
          inbound_bytes_ -= bytes;
          for (Envelope& envelope : few) DeliverOne(std::move(envelope));
        })) {
      inbound_bytes_ -= bytes;
      return;
    }
  }
}

bool Node::Submit(GroupId group, RequestId id, ClientRequest request, ReplyTo<ClientReply> reply) {
  return loop_.TryPost([this, group, id, request = std::move(request), reply = std::move(reply)]() mutable {
    Replica* replica = Find(group);
    if (replica == nullptr) {
      reply(Refusal{RefusalCode::kNotServing, WhyNoReplica(group), {}});
      return;
    }
    client_calls_.emplace(id, std::move(reply));
    replica->OnClient(id, std::move(request));
  });
}

void Node::Abandon(GroupId group, RequestId id) {
  loop_.Post([this, group, id] {
    client_calls_.erase(id);
    if (Replica* replica = Find(group)) replica->OnClientGone(id);
  });
}

void Node::OnForeignReply(GroupId group, ForeignReply reply) {
  loop_.Post([this, group, reply = std::move(reply)]() mutable {
    if (Replica* replica = Find(group)) replica->OnForeign(std::move(reply));
  });
}

void Node::Change(GroupId group, const backup::OperatorChange& change,
                  std::function<void(const Status&)> reply) {
  loop_.Post([this, group, change = backup::OperatorChange(change), reply = std::move(reply)]() mutable {
    Replica* replica = Find(group);
    if (replica == nullptr) return reply(Status(StatusCode::kNotFound, WhyNoReplica(group)));
    change.id = RequestId{next_change_++};
    const std::string what = "an operator's " + Describe(change);
    LOG(INFO) << ToString(group) << ": " << what;
    operator_calls_.emplace(change.id, [group, what, reply](const Status& status) {
      LOG(INFO) << ToString(group) << ": " << what << ": " << (status.ok() ? "done" : status.message());
      reply(status);
    });
    replica->OnReplicationEvent(change);
  });
}

Status Node::Arm(std::string point, uint64_t count) {
  if (!options_.allow_crash_points) {
    return Status(StatusCode::kForeign, "this node was not started with --allow-crash-points");
  }
  if (faulty_directory_->Arm(point, count)) return {};
  const auto& points = AllCrashPoints();
  if (std::none_of(points.begin(), points.end(), [&](const CrashPoint& p) { return p.name == point; })) {
    return Status(StatusCode::kInvalid, "no such crash point: " + point);
  }
  loop_.Post([this, point = std::move(point), count] { crash_points_.Arm(point, count); });
  return {};
}

// ---- Loop thread ----

Replica* Node::Find(GroupId group) {
  const auto hosted = hosted_.find(group);
  return hosted == hosted_.end() ? nullptr : hosted->second.replica.get();
}

Replica* Node::Find(GroupId group, uint64_t opening) {
  const auto hosted = hosted_.find(group);
  return hosted == hosted_.end() || hosted->second.opening != opening ? nullptr
                                                                      : hosted->second.replica.get();
}

const Replica* Node::FindReplica(GroupId group) const {
  const auto hosted = hosted_.find(group);
  return hosted == hosted_.end() ? nullptr : hosted->second.replica.get();
}

std::vector<const Replica*> Node::replicas() const {
  std::vector<const Replica*> replicas;
  for (const auto& [id, hosted] : hosted_) {
    if (hosted.replica) replicas.push_back(hosted.replica.get());
  }
  return replicas;
}

std::optional<View> Node::ViewOf(GroupId group) const {
  const auto view = views_.find(group);
  if (view == views_.end()) return std::nullopt;
  return view->second;
}

std::vector<View> Node::Views() const {
  const std::lock_guard lock(views_mutex_);
  std::vector<View> views;
  for (const auto& [group, view] : views_) views.push_back(view);
  return views;
}

void Node::FlushAll() {
  const uint64_t now_us = Now().mono_us;
  uint64_t next_us = UINT64_MAX;
  for (auto& [id, hosted] : hosted_) {
    if (hosted.replica == nullptr) continue;
    if (hosted.replica->NextDeadline() <= now_us) hosted.replica->OnTime();
    hosted.replica->Flush();
    TellChanges(id, hosted);
    next_us = std::min(next_us, hosted.replica->NextDeadline());
  }
  if (next_us == timer_us_) return;
  if (timer_us_ != UINT64_MAX) loop_.Cancel(timer_);
  timer_us_ = next_us;
  // The hook runs after timers, too, so a timer need do nothing but be due.
  if (next_us != UINT64_MAX) timer_ = loop_.PostAt(next_us, [this] { timer_us_ = UINT64_MAX; });
}

bool Node::Serves(const Replica& replica, uint64_t now_us) {
  return replica.serving() && replica.replication().LeaseHolds(now_us);
}

uint64_t Node::ServingAge(GroupId group, uint64_t now_us) const {
  const auto hosted = hosted_.find(group);
  return hosted == hosted_.end() ? 0
                                 : now_us - std::max(started_us_, hosted->second.watch.serving_since_us());
}

// Lines for an operator to find in the log afterwards: who led when, and why not.
void Node::TellChanges(GroupId group, Hosted& hosted) {
  const Replica& replica = *hosted.replica;
  if (const std::string view = hosted.watch.NoticeView(replica.replication().view()); !view.empty()) {
    LOG(INFO) << ToString(group) << ": " << view;
  }
  const uint64_t now_us = Now().mono_us;
  const std::string serving = hosted.watch.NoticeServing(
      Serves(replica, now_us), now_us, [&] { return replica.replication().WaitsFor(now_us); });
  if (!serving.empty() && !replica.halted()) LOG(INFO) << ToString(group) << " " << serving;
}

void Node::DeliverOne(Envelope envelope) {
  if (Replica* replica = Find(envelope.to_group)) replica->OnMessage(std::move(envelope));
}

void Node::Transmit(NodeId to, Envelope envelope) {
  if (to == options_.config.node) {
    loop_.Post([this, envelope = std::move(envelope)]() mutable { DeliverOne(std::move(envelope)); });
    return;
  }
  if (const auto link = links_.find(to); link != links_.end()) link->second->Post(std::move(envelope));
}

std::optional<Leader> Node::LeaderOf(GroupId group) {
  const auto view = views_.find(group);
  if (view == views_.end()) return std::nullopt;
  return Leader{view->second.primary, view->second.epoch};
}

std::vector<GroupId> Node::Groups() {
  std::vector<GroupId> groups;
  for (const auto& [group, view] : views_) groups.push_back(group);
  return groups;
}

void Node::LearnView(const View& view) {
  {
    const std::lock_guard lock(views_mutex_);
    View& known = views_[view.group];
    if (view.epoch <= known.epoch) return;
    known = view;
  }
  // Posted: a replica may be in the middle of a step.
  loop_.Post([this, group = view.group, epoch = view.epoch] {
    for (auto& [id, hosted] : hosted_) {
      if (hosted.replica) hosted.replica->OnGroupEpoch(group, epoch);
    }
  });
}

void Node::LearnEpoch(GroupId group, Epoch epoch) {
  const auto view = views_.find(group);
  if (view == views_.end() || view->second.epoch < epoch) RefreshViews();
}

void Node::RefreshViews() {
  if (refreshing_) {
    refresh_again_ = true;
    return;
  }
  refreshing_ = true;
  directory_worker_.Post([this] {
    std::vector<View> views;
    for (const GroupEntry& group : options_.config.groups) {
      auto read = directory_->Read(group.id);
      if (read.ok() && read->view) views.push_back(std::move(*read->view));
    }
    loop_.Post([this, views = std::move(views)] {
      for (const View& view : views) LearnView(view);
      refreshing_ = false;
      if (std::exchange(refresh_again_, false)) RefreshViews();
    });
  });
}

void Node::RefreshPeriodically() {
  RefreshViews();
  LookAtDisk();
  loop_.PostAt(Now().mono_us + kRefreshUs, [this] { RefreshPeriodically(); });
}

void Node::ReadDirectory(GroupId group) {
  directory_worker_.Post([this, group, opening = hosted_.at(group).opening] {
    backup::Event event = backup::ViewUnread{};
    std::optional<View> view;
    auto read = directory_->Read(group);
    NoteDirectory(read.status());
    if (read.ok()) {
      backup::ViewRead shown;
      shown.view = read->view;
      shown.directory_incarnation = Incarnation{Raw(read->incarnation)};
      shown.first_epoch = read->first_epoch;
      shown.registered = read->registrations;
      view = read->view;
      event = std::move(shown);
    }
    loop_.Post([this, group, opening, view = std::move(view), event = std::move(event)]() mutable {
      if (view) LearnView(*view);
      if (Replica* replica = Find(group, opening)) replica->OnReplicationEvent(std::move(event));
    });
  });
}

// Directory thread. Replicas ask several times a second: what is wrong is said when it begins,
// and once a minute.
void Node::NoteDirectory(const Status& status) {
  const uint64_t now_us = Loop::Now().mono_us;
  if (status.ok()) {
    if (!directory_trouble_.empty()) LOG(WARNING) << "the directory answers again";
    directory_trouble_.clear();
  } else if (directory_trouble_.empty() || now_us - directory_trouble_us_ > kTroubleRepeatUs) {
    LOG(ERROR) << "the directory does not answer: " << status.ToString()
               << ". What is served goes on; no primary can be replaced meanwhile";
    directory_trouble_ = status.ToString();
    directory_trouble_us_ = now_us;
  }
}

void Node::ProposeView(const View& view) {
  directory_worker_.Post([this, view, opening = hosted_.at(view.group).opening] {
    const CasResult result = directory_->CompareAndSwap(view);
    Warn(view.group,
         result.outcome == CasOutcome::kFailed ? "a view cannot be made" : "a view's fate is unknown",
         result.error);
    const bool is_refused = result.error.code() == StatusCode::kForeign;
    loop_.Post([this, opening, is_refused,
                done = backup::CasDone{view, OutcomeOf(result.outcome), result.error.message()}] {
      if (is_refused) registrar_->Doubt();
      if (Replica* replica = Find(done.attempted.group, opening)) replica->OnReplicationEvent(done);
    });
  });
}

void Node::Register(GroupId group, const Member& self) {
  directory_worker_.Post([this, group, self] {
    Warn(group, "cannot register", directory_->Register(group, self.node, self.incarnation));
  });
}

// Logs a failure that comes again and again the first time, and then once a minute.
void Node::Warn(GroupId group, const std::string& what, const Status& status) {
  const std::string kind = ToString(group) + ": " + what;
  if (status.ok()) return failures_.GoesWell(kind);
  if (const auto more = failures_.Fails(kind, Now().mono_us)) {
    LOG(WARNING) << kind << ": " << status.ToString() << *more;
  }
}

Status Node::PersistView(GroupId group, const backup::PersistView& seen) {
  ReplicaIdentity& identity = hosted_.at(group).identity;
  identity.highest_epoch = seen.seen_epoch;
  identity.directory = DirectoryIncarnation{Raw(seen.directory_incarnation)};
  return data_->UpdateReplica(identity);
}

void Node::AnswerClient(RequestId id, ClientReply reply) {
  const auto call = client_calls_.find(id);
  if (call == client_calls_.end()) return;
  ReplyTo<ClientReply> answer = std::move(call->second);
  client_calls_.erase(call);
  answer(std::move(reply));
}

void Node::AnswerOperator(RequestId id, const Status& status) {
  const auto call = operator_calls_.find(id);
  if (call == operator_calls_.end()) return;
  const auto answer = std::move(call->second);
  operator_calls_.erase(call);
  answer(status);
}

void Node::PerformForeign(GroupId group, const CallForeign& call) {
  options_.call_foreign(group, call);
}

void Node::Report(GroupId group, const std::string& text, bool halted) {
  if (halted) {
    LOG(ERROR) << ToString(group) << " has stopped on this node: " << text;
  } else {
    LOG(WARNING) << ToString(group) << ": " << text;
  }
}

}  // namespace assent
