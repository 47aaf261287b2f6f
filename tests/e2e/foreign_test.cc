// A resource manager of somebody else's (examples/ledger, in Python, with a durable file of its own) takes
// part in transactions beside two shards: whichever of coordinator and resource manager dies at whichever
// moment, the ledger's file and the shards agree, and nothing stays in doubt at either (G1, G6).
#include <assent/client.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>

#include <atomic>
#include <boost/process.hpp>
#include <boost/process/extend.hpp>
#include <chrono>
#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "Participant.h"
#include "cli/audit.h"
#include "common/number.h"
#include "runtime/transport/client.h"
#include "tests/e2e/test_cluster.h"
#include "thrift/codec_fields.h"

namespace assent::e2e {
namespace {

namespace bp = boost::process;
using std::chrono::steady_clock;

constexpr int kClients = 4;
constexpr int kDieMs = 60'000;
constexpr int kCallMs = 120'000;
constexpr double kSettleSeconds = 120;
constexpr GroupId kCoordinator{GroupKind::kCoordinator, 1};
constexpr char kPython[] = "/usr/bin/python3";  // Debian's: the one that python3-thrift is for

// The example's process.
class Ledger {
 public:
  Ledger(std::string journal, std::string cluster, uint16_t port)
      : journal_(std::move(journal)), cluster_(std::move(cluster)), port_(port) {}
  ~Ledger() { Kill(); }

  Status Start() {
    bp::environment environment = boost::this_process::environment();
    environment["PYTHONPATH"] = ASSENT_PYTHON_DIRECTORY;
    std::FILE* log = std::fopen((journal_ + ".log").c_str(), "ae");
    if (log == nullptr) return Status(StatusCode::kIo, "no log for the ledger");
    std::error_code error;
    child_ = bp::child(
        bp::exe = kPython,
        bp::args = {"-B", ASSENT_LEDGER, "serve", "--journal", journal_, "--cluster", cluster_, "--port",
                    std::to_string(port_)},
        environment, (bp::std_out & bp::std_err) > log, bp::std_in < bp::null, error,
        bp::extend::on_exec_setup = [](auto&) { prctl(PR_SET_PDEATHSIG, SIGKILL); });
    std::fclose(log);
    if (error) return Status(StatusCode::kIo, error.message());
    return AwaitAnswer();
  }

  void Kill() {
    std::error_code ignored;
    if (child_.valid() && child_.running(ignored)) kill(child_.id(), SIGKILL);
    if (child_.valid()) child_.wait(ignored);
  }

  // Transactions of the coordinator group that are prepared here.
  Result<size_t> Prepared() const {
    Connection<wire::ParticipantClient> connection({.peer = {"127.0.0.1", port_}, .service = "Participant"});
    wire::RecoverRequest request;
    request.__set_cluster(cluster_);
    request.__set_group(codec::Encode(kCoordinator));
    wire::RecoverReply reply;
    const CallStatus called =
        connection.Call([&](wire::ParticipantClient& client) { client.recover(reply, request); });
    if (!called.ok()) return called.status;
    if (reply.status != wire::ParticipantStatus::OK) return Status(StatusCode::kForeign, reply.detail);
    return reply.prepared.size();
  }

  // The contents of its file: `show` refuses to run beside the server, so this stops it and starts it again.
  Result<nlohmann::json> Show() {
    Kill();
    bp::ipstream out;
    std::error_code error;
    bp::child show(bp::exe = kPython, bp::args = {"-B", ASSENT_LEDGER, "show", "--journal", journal_},
                   bp::std_out > out, bp::std_in < bp::null, error);
    if (error) return Status(StatusCode::kIo, error.message());
    const std::string text((std::istreambuf_iterator<char>(out)), std::istreambuf_iterator<char>());
    show.wait(error);
    ASSENT_RETURN_IF_ERROR(Start());
    auto parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (parsed.is_discarded()) return Status(StatusCode::kDamaged, "`show` printed: " + text);
    return parsed;
  }

 private:
  Status AwaitAnswer() {
    const auto begun = steady_clock::now();
    for (;;) {
      if (Prepared().ok()) return {};
      std::error_code ignored;
      if (!child_.running(ignored))
        return Status(StatusCode::kIo, "the ledger ended; see " + journal_ + ".log");
      if (SecondsSince(begun) > kSettleSeconds)
        return Status(StatusCode::kUnavailable, "the ledger does not serve");
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  const std::string journal_;
  const std::string cluster_;
  const uint16_t port_;
  bp::child child_;
};

// Clients that add 1 to a row on each shard and to an account of the ledger, in one transaction; every third
// is refused by the ledger (an overdraft), after the shards may have prepared.
class ThreeWayLoad {
 public:
  ThreeWayLoad(std::vector<std::string> addresses, const Placement& placement)
      : addresses_(std::move(addresses)) {
    for (const GroupId shard : placement.shards()) {
      for (int number = 0; keys_.size() < kClients * (1 + static_cast<size_t>(shard.number - 1)); ++number) {
        const std::string key = "three/" + std::to_string(number);
        if (placement.ShardOf(key) == shard) keys_.push_back(key);
      }
    }
  }
  ~ThreeWayLoad() { Stop(); }

  void Start() {
    stop_ = false;
    for (int who = 0; who < kClients; ++who) threads_.emplace_back([this, who] { Run(who); });
  }
  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  bool AwaitCommitted(int64_t count) const {
    const auto begun = steady_clock::now();
    while (total_ < count && SecondsSince(begun) < kSettleSeconds) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return total_ >= count;
  }
  int64_t total() const { return total_; }
  uint64_t aborted() const { return aborted_; }
  int64_t committed(int who) const { return committed_[who]; }
  static std::string Account(int who) { return "account-" + std::to_string(who); }
  // The keys of client `who`, one on each shard.
  std::vector<std::string> Keys(int who) const {
    return {keys_[static_cast<size_t>(who)], keys_[static_cast<size_t>(kClients) + static_cast<size_t>(who)]};
  }

 private:
  void Run(int who) {
    ClientOptions options;
    options.deadline_ms = kCallMs;
    options.attempts = 1'000;
    auto client = Client::Connect(addresses_, options);
    ASSERT_TRUE(client.ok()) << client.status().ToString();
    const auto keys = Keys(who);
    for (uint64_t n = 0; !stop_; ++n) {
      const bool overdraft = n % 3 == 2;
      const std::string payload = R"({"moves": [{"account": ")" + Account(who) + R"(", "delta": )" +
                                  (overdraft ? "-1000000" : "1") + "}]}";
      const std::vector<Operation> operations = {op::Add(keys[0], 1), op::Add(keys[1], 1)};
      const auto token = client->NewToken();
      ASSERT_TRUE(token.ok()) << token.status().ToString();
      CommitResult result = client->Execute(*token, operations, {{"ledger", payload}});
      while (result.outcome == Outcome::kUnknown && result.refused.ok()) {
        result = client->Execute(*token, operations, {{"ledger", payload}});
      }
      client->Release(*token);
      ASSERT_TRUE(result.refused.ok()) << Describe(result);
      if (result.committed()) {
        EXPECT_FALSE(overdraft) << "committed against the ledger's no";
        ++committed_[who];
        ++total_;
      } else {
        // Besides its overdrafts the ledger refuses while an account is locked, as it is after a crash.
        ++aborted_;
      }
    }
  }

  const std::vector<std::string> addresses_;
  std::vector<std::string> keys_;
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> total_{0};
  std::atomic<uint64_t> aborted_{0};
  std::atomic<int64_t> committed_[kClients] = {};
  std::vector<std::thread> threads_;
};

class Foreign : public testing::Test {
 protected:
  void SetUp() override {
    cluster_.options().crash_points = true;
    const uint16_t port = cluster_.ports().port(TestCluster::kFreePort);
    cluster_.options().resource_managers = {{"ledger", {"127.0.0.1", port}}};
    const Status prepared = cluster_.Prepare();
    ASSERT_TRUE(prepared.ok()) << prepared.ToString();
    ledger_.emplace(cluster_.directory() + "/ledger.journal", cluster_.nodes().cluster(), port);
    const Status serves = ledger_->Start();
    ASSERT_TRUE(serves.ok()) << serves.ToString();
    const Status started = cluster_.StartAll();
    ASSERT_TRUE(started.ok()) << started.ToString();
    load_.emplace(cluster_.addresses(), cluster_.placement());
  }

  void Kill(const std::string& point) {
    const Status armed = cluster_.nodes().ArmCrash(1, point, 3);
    ASSERT_TRUE(armed.ok()) << armed.ToString();
    const Status died = cluster_.nodes().AwaitExit(1, kDieMs);
    ASSERT_TRUE(died.ok()) << died.ToString();
  }

  // With nothing running.
  void Audit(const std::string& what) {
    const auto view = cluster_.View();
    ASSERT_TRUE(view.ok()) << view.status().ToString();
    const auto begun = steady_clock::now();
    const auto settled = cli::AwaitNothingInDoubt(*view, kSettleSeconds);
    ASSERT_TRUE(settled.ok()) << settled.status().ToString();
    Result<size_t> prepared = size_t{0};
    do {
      prepared = ledger_->Prepared();
      ASSERT_TRUE(prepared.ok()) << prepared.status().ToString();
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    } while (*prepared > 0 && SecondsSince(begun) < kSettleSeconds);
    const double settled_s = SecondsSince(begun);
    EXPECT_EQ(*prepared, 0U) << "the ledger is still in doubt";
    const auto shown = ledger_->Show();
    ASSERT_TRUE(shown.ok()) << shown.status().ToString();
    EXPECT_TRUE((*shown)["in_doubt"].empty()) << shown->dump();
    auto client = Client::Connect(cluster_.addresses());
    ASSERT_TRUE(client.ok()) << client.status().ToString();
    for (int who = 0; who < kClients; ++who) {
      EXPECT_EQ((*shown)["balances"].value(ThreeWayLoad::Account(who), int64_t{0}), load_->committed(who));
      for (const std::string& key : load_->Keys(who)) {
        const auto row = client->Get(key);
        ASSERT_TRUE(row.ok()) << row.status().ToString();
        EXPECT_EQ(row->has_value() ? LeadingNumber((*row)->value).value_or(-1) : 0, load_->committed(who));
      }
    }
    const Status equal = cli::CompareReplicas(*view, kSettleSeconds);
    EXPECT_TRUE(equal.ok()) << equal.ToString();
    std::cout << what << ": committed " << load_->total() << ", aborted " << load_->aborted()
              << "; nothing in doubt after " << settled_s << " s" << std::endl;
  }

  TestCluster cluster_{"foreign"};
  std::optional<Ledger> ledger_;
  std::optional<ThreeWayLoad> load_;
};

TEST_F(Foreign, AgreesWithTheShardsAfterTheCoordinatorDiedAtEachPoint) {
  for (const char* point :
       {"coordinator.before-prepare", "coordinator.before-decision", "coordinator.before-answer",
        "coordinator.before-phase-two", "coordinator.before-end", "coordinator.before-abort"}) {
    SCOPED_TRACE(point);
    load_->Start();
    ASSERT_TRUE(load_->AwaitCommitted(load_->total() + 3));
    ASSERT_NO_FATAL_FAILURE(Kill(point));
    const Status serving = cluster_.Restart(1);
    ASSERT_TRUE(serving.ok()) << serving.ToString();
    EXPECT_TRUE(load_->AwaitCommitted(load_->total() + 3)) << "no progress afterwards";
    load_->Stop();
    ASSERT_NO_FATAL_FAILURE(Audit(point));
  }
}

TEST_F(Foreign, AgreesWithTheShardsAfterItDiedBetweenItsYesAndTheDecision) {
  for (const char* point : {"coordinator.before-decision", "coordinator.before-phase-two"}) {
    SCOPED_TRACE(point);
    load_->Start();
    ASSERT_TRUE(load_->AwaitCommitted(load_->total() + 3));
    // All have said yes; nobody, or the coordinator alone, knows the decision.
    ASSERT_NO_FATAL_FAILURE(Kill(point));
    const auto prepared = ledger_->Prepared();
    ASSERT_TRUE(prepared.ok()) << prepared.status().ToString();
    EXPECT_GT(*prepared, 0U);
    ledger_->Kill();
    // The coordinator comes back first, and finds nobody.
    Status serving = cluster_.Restart(1);
    ASSERT_TRUE(serving.ok()) << serving.ToString();
    serving = ledger_->Start();
    ASSERT_TRUE(serving.ok()) << serving.ToString();
    EXPECT_TRUE(load_->AwaitCommitted(load_->total() + 3)) << "no progress afterwards";
    load_->Stop();
    ASSERT_NO_FATAL_FAILURE(Audit(std::string(point) + ", and the ledger"));
  }
}

TEST_F(Foreign, AgreesWithTheShardsAfterItDiedAtRandomMoments) {
  std::mt19937_64 random(Seed(5));
  load_->Start();
  for (int kill = 0; kill < 5; ++kill) {
    ASSERT_TRUE(load_->AwaitCommitted(load_->total() + 1 + static_cast<int64_t>(random() % 20)));
    ledger_->Kill();
    const Status serving = ledger_->Start();
    ASSERT_TRUE(serving.ok()) << serving.ToString();
  }
  load_->Stop();
  Audit("5 kills of the ledger");
}

}  // namespace
}  // namespace assent::e2e
