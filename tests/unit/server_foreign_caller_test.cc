// Calls to resource managers over real sockets: lanes, time, answers that are not believed.
#include <gtest/gtest.h>
#include <thrift/processor/TMultiplexedProcessor.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <stdexcept>

#include "Participant.h"
#include "runtime/transport/server.h"
#include "server/foreign_caller.h"
#include "thrift/codec_fields.h"

namespace assent {
namespace {

const GroupId kGroup{GroupKind::kCoordinator, 1};
TxnId Txn(uint64_t seq) {
  return {kGroup, Epoch{1}, seq};
}

// A resource manager over real sockets that answers as the test says.
class ResourceManager final : public wire::ParticipantIf {
 public:
  ResourceManager() {
    auto self = std::shared_ptr<ResourceManager>(this, [](ResourceManager*) {});
    auto multiplexed = std::make_shared<apache::thrift::TMultiplexedProcessor>();
    multiplexed->registerProcessor("Participant", std::make_shared<wire::ParticipantProcessor>(self));
    server_ = Server::Start({}, multiplexed).value();
  }
  ~ResourceManager() override { Stop(); }
  void Stop() {
    Release();
    server_->Stop();
  }
  Address address() const { return server_->address(); }
  void Release() {
    std::lock_guard lock(mutex_);
    released_ = true;
    release_.notify_all();
  }

  // Changes the fields below.
  template <typename Change>
  void Set(Change&& change) {
    std::lock_guard lock(mutex_);
    change();
  }

  wire::PrepareReply vote;
  bool echo = true;
  bool fail = false;
  bool slow_prepare = false;
  bool slow_finish = false;
  bool done = true;
  int finishing = 0;  // calls that are under way
  std::vector<TxnId> in_doubt;
  size_t page = 2;
  bool endless = false;

  void prepare(wire::PrepareReply& out, const wire::PrepareRequest& request) override {
    std::unique_lock lock(mutex_);
    if (slow_prepare) release_.wait(lock, [this] { return released_; });
    if (fail) throw std::runtime_error("failed");
    out = vote;
    out.txn = request.txn;
    if (!echo) ++out.txn.seq;
    out.detail += request.cluster + "/" + request.payload;
  }
  void commit(wire::FinishReply& out, const wire::FinishRequest& request) override {
    Finish(out, request, "commit");
  }
  void rollback(wire::FinishReply& out, const wire::FinishRequest& request) override {
    Finish(out, request, "rollback");
  }
  void recover(wire::RecoverReply& out, const wire::RecoverRequest& request) override {
    std::lock_guard lock(mutex_);
    out.status = wire::ParticipantStatus::OK;
    for (const TxnId& txn : in_doubt) {
      const wire::TxnId wire_txn = codec::Encode(txn);
      if (request.__isset.after && !endless &&
          std::pair(wire_txn.epoch, wire_txn.seq) <= std::pair(request.after.epoch, request.after.seq)) {
        continue;
      }
      if (out.prepared.size() == page) {
        out.more = true;
        break;
      }
      out.prepared.push_back(wire_txn);
    }
    out.more = out.more || endless;
  }

 private:
  void Finish(wire::FinishReply& out, const wire::FinishRequest& request, const char* verb) {
    std::unique_lock lock(mutex_);
    ++finishing;
    if (slow_finish) release_.wait(lock, [this] { return released_ || finishing >= finishing_wanted_; });
    release_.notify_all();
    out.status = wire::ParticipantStatus::OK;
    out.txn = request.txn;
    out.done = done;
    out.detail = verb;
  }

  std::mutex mutex_;
  std::condition_variable release_;
  bool released_ = false;
  const int finishing_wanted_ = 4;
  std::unique_ptr<Server> server_;
};

class CoordinatorForeignCaller : public testing::Test {
 protected:
  CoordinatorForeignCaller() {
    rm_.Set([&] { rm_.vote.status = wire::ParticipantStatus::OK; });
    rm_.Set([&] { rm_.vote.vote = wire::Vote::YES; });
  }

  void Start(ForeignCallerOptions options = {}) {
    options.cluster = "mine";
    ForeignTarget target{"rm", rm::FindKind("thrift").value(), rm_.address()};
    target.prepare_timeout_ms = 10'000;
    caller_.emplace(options, std::vector<ForeignTarget>{target}, [this](GroupId group, ForeignReply reply) {
      EXPECT_EQ(group, kGroup);
      std::lock_guard lock(mutex_);
      replies_.push_back(std::move(reply));
      came_.notify_all();
    });
  }

  ForeignReply Next() {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [this] { return !replies_.empty(); });
    ForeignReply reply = std::move(replies_.front());
    replies_.erase(replies_.begin());
    return reply;
  }
  ForeignReply Ask(ForeignVerb verb, uint64_t seq = 1) {
    caller_->Call(kGroup, {"rm", verb, verb == ForeignVerb::kRecover ? TxnId{} : Txn(seq), "payload"});
    return Next();
  }

  ResourceManager rm_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<ForeignReply> replies_;
  std::optional<ForeignCaller> caller_;  // goes first
};

TEST_F(CoordinatorForeignCaller, VotesAndEndsComeBack) {
  Start();
  const ForeignReply yes = Ask(ForeignVerb::kPrepare);
  EXPECT_TRUE(yes.reached);
  EXPECT_EQ(yes.vote, Vote::kYes);
  EXPECT_EQ(yes.txn, Txn(1));
  EXPECT_EQ(yes.detail, "mine/payload");
  const ForeignReply committed = Ask(ForeignVerb::kCommit);
  EXPECT_TRUE(committed.reached && committed.answer == ForeignAnswer::kDone);
  EXPECT_EQ(committed.detail, "commit");
  rm_.Set([&] { rm_.done = false; });
  const ForeignReply refused = Ask(ForeignVerb::kRollback);
  EXPECT_TRUE(refused.reached);
  EXPECT_EQ(refused.answer, ForeignAnswer::kRefused);
  EXPECT_EQ(refused.detail, "rollback");
}

// The rules that assent.thrift gives for PrepareReply.
TEST_F(CoordinatorForeignCaller, OnlyAWholeAnswerToThisRequestIsAVote) {  // I-A3
  Start();
  const auto reached = [&] {
    const ForeignReply reply = Ask(ForeignVerb::kPrepare);
    EXPECT_TRUE(reply.reached || (!reply.unsent && !reply.detail.empty()));
    return reply.reached;
  };
  rm_.Set([&] { rm_.echo = false; });
  EXPECT_FALSE(reached());
  rm_.Set([&] { rm_.echo = true; });
  rm_.Set([&] { rm_.fail = true; });
  EXPECT_FALSE(reached());
  rm_.Set([&] { rm_.fail = false; });
  rm_.Set([&] { rm_.vote.status = wire::ParticipantStatus::UNAVAILABLE; });
  EXPECT_FALSE(reached());
  rm_.Set([&] { rm_.vote.status = wire::ParticipantStatus::OK; });
  const auto is_no = [&](const std::string& why) {
    const ForeignReply reply = Ask(ForeignVerb::kPrepare);
    EXPECT_NE(reply.detail.find(why), std::string::npos) << reply.detail;
    return reply.reached && reply.vote == Vote::kNo;
  };
  for (const auto vote : {wire::Vote::UNSPECIFIED, static_cast<wire::Vote::type>(99)}) {
    rm_.Set([&] { rm_.vote.vote = vote; });
    EXPECT_TRUE(is_no("gave no vote"));
  }
  rm_.Set([&] { rm_.vote.vote = wire::Vote::YES; });
  for (const auto& [status, why] : std::map<wire::ParticipantStatus::type, std::string>{
           {wire::ParticipantStatus::UNSPECIFIED, "unusable answer"},
           {wire::ParticipantStatus::WRONG_CLUSTER, "another cluster"},
           {wire::ParticipantStatus::INVALID, "found the request invalid: mine/payload"}}) {
    rm_.Set([&, answer = status] { rm_.vote.status = answer; });
    EXPECT_TRUE(is_no(why));
  }
  rm_.Set([&] { rm_.vote.status = wire::ParticipantStatus::OK; });
  EXPECT_TRUE(reached());
}

TEST_F(CoordinatorForeignCaller, SlowPrepareHoldsUpNeitherCommitNorRecovery) {
  rm_.Set([&] { rm_.slow_prepare = true; });
  Start();
  for (uint64_t seq = 1; seq <= 6; ++seq) {  // more than there are connections
    caller_->Call(kGroup, {"rm", ForeignVerb::kPrepare, Txn(seq), ""});
  }
  EXPECT_EQ(Ask(ForeignVerb::kCommit, 9).answer, ForeignAnswer::kDone);
  EXPECT_TRUE(Ask(ForeignVerb::kRecover).reached);
  rm_.Release();
  for (int i = 0; i < 6; ++i) EXPECT_EQ(Next().verb, ForeignVerb::kPrepare);
}

TEST_F(CoordinatorForeignCaller, AsManyFinishAsPrepareAndNoneHoldsUpTheList) {
  rm_.Set([&] { rm_.slow_finish = true; });  // until four of them are there
  Start();
  for (uint64_t seq = 1; seq <= 3; ++seq) caller_->Call(kGroup, {"rm", ForeignVerb::kCommit, Txn(seq), ""});
  EXPECT_TRUE(Ask(ForeignVerb::kRecover).reached);
  caller_->Call(kGroup, {"rm", ForeignVerb::kRollback, Txn(4), ""});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(Next().answer, ForeignAnswer::kDone);
}

// The core would count it as lost, and call once more.
TEST_F(CoordinatorForeignCaller, CallThatFoundNoConnectionFreeInItsTimeIsUnsent) {
  ForeignCallerOptions options;
  options.wait_max_ms = -1;
  Start(options);
  const ForeignReply reply = Ask(ForeignVerb::kCommit);
  EXPECT_TRUE(reply.unsent && !reply.reached);
  EXPECT_NE(reply.detail.find("taken up"), std::string::npos) << reply.detail;
}

TEST_F(CoordinatorForeignCaller, RecoverReadsAllPages) {
  rm_.Set([&] { rm_.in_doubt = {Txn(1), Txn(2), Txn(5), {kGroup, Epoch{2}, 1}, {kGroup, Epoch{2}, 9}}; });
  Start();
  const ForeignReply all = Ask(ForeignVerb::kRecover);
  EXPECT_TRUE(all.reached);
  EXPECT_EQ(all.prepared, rm_.in_doubt);
}

TEST_F(CoordinatorForeignCaller, RecoverListThatIsNotOursOrNeverEndsIsNotBelieved) {
  Start();
  rm_.Set([&] { rm_.in_doubt = {{{GroupKind::kCoordinator, 2}, Epoch{1}, 1}}; });
  EXPECT_FALSE(Ask(ForeignVerb::kRecover).reached);
  rm_.Set([&] { rm_.in_doubt = {Txn(1), Txn(2)}; });
  rm_.Set([&] { rm_.endless = true; });
  EXPECT_FALSE(Ask(ForeignVerb::kRecover).reached);
}

TEST_F(CoordinatorForeignCaller, FullQueueAndUnknownNameAreAnsweredAtOnce) {  // G8
  rm_.Set([&] { rm_.slow_prepare = true; });
  ForeignCallerOptions options;
  options.queue_max = 2;
  options.connections = 1;
  Start(options);
  int refused = 0;
  for (uint64_t seq = 1; seq <= 10; ++seq) {
    caller_->Call(kGroup, {"rm", ForeignVerb::kPrepare, Txn(seq), ""});
  }
  {
    std::lock_guard lock(mutex_);
    for (const ForeignReply& reply : replies_) refused += reply.unsent ? 1 : 0;
  }
  EXPECT_GE(refused, 7);  // one under way at most, two queued
  rm_.Release();
  for (int i = 0; i < 10; ++i) Next();
  caller_->Call(kGroup, {"nobody", ForeignVerb::kCommit, Txn(1), ""});
  EXPECT_TRUE(Next().unsent);
}

TEST_F(CoordinatorForeignCaller, DeadResourceManagerIsNotReachedAndTheCallerEndsPromptly) {
  Start();
  rm_.Stop();
  for (const ForeignVerb verb :
       {ForeignVerb::kPrepare, ForeignVerb::kCommit, ForeignVerb::kRollback, ForeignVerb::kRecover}) {
    const ForeignReply reply = Ask(verb);
    EXPECT_TRUE(reply.unsent && !reply.reached);
    EXPECT_NE(reply.detail.find("cannot connect to " + ToString(rm_.address())), std::string::npos)
        << reply.detail;
  }
}

TEST_F(CoordinatorForeignCaller, DestroyedWhileACallHangs) {
  rm_.Set([&] { rm_.slow_prepare = true; });
  Start();
  caller_->Call(kGroup, {"rm", ForeignVerb::kPrepare, Txn(1), ""});
  EXPECT_EQ(Ask(ForeignVerb::kCommit, 2).answer, ForeignAnswer::kDone);
  caller_.reset();
}

TEST(ResourceManagerKind, UnknownOneNamesThoseThereAre) {
  EXPECT_TRUE(rm::FindKind("thrift").ok());
  EXPECT_EQ(rm::FindKind("oracle").status().message(),
            "\"oracle\" is no kind of resource manager; known: thrift, postgresql, mariadb");
}

// Counts how often it was told to rest.
class RestingManager final : public rm::ResourceManager {
 public:
  static inline std::atomic<int> rests = 0;
  Status Open() override { return Status(); }
  void Prepare(const CallForeign&, ForeignReply&) override {}
  void Commit(const CallForeign&, ForeignReply& reply) override { reply.reached = true; }
  void Rollback(const CallForeign&, ForeignReply&) override {}
  void Recover(GroupId, ForeignReply&) override {}
  void Rest() override {
    ++rests;
    rests.notify_all();
  }
  void Interrupt() override {}
};

TEST(CoordinatorForeignLanes, WithoutCallsConnectionsAreGivenUpOnceAndTakenUpAgain) {
  const rm::Kind kind{"resting",
                      [](const rm::Target&) -> std::unique_ptr<rm::ResourceManager> {
                        return std::make_unique<RestingManager>();
                      },
                      [](const rm::Target&) { return Status(); }};
  ForeignCallerOptions options;
  options.connections = 1;  // of three lanes
  options.rest_ms = 1;
  std::atomic<int> answers = 0;
  ForeignCaller caller(options, {ForeignTarget{"rm", &kind}}, [&](GroupId, const ForeignReply& reply) {
    if (reply.reached) ++answers;
    answers.notify_all();
  });
  for (int before = 0; before < 3; before = RestingManager::rests) RestingManager::rests.wait(before);
  caller.Call(kGroup, {"rm", ForeignVerb::kCommit, Txn(1)});
  answers.wait(0);
  RestingManager::rests.wait(3);  // of the lane that had the call
  EXPECT_EQ(RestingManager::rests, 4);
}

}  // namespace
}  // namespace assent
