#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "sim/checker/history.h"
#include "sim/flow.h"
#include "sim/world.h"

// A simulated application: one session with a coordinator group, one transaction after the other, told what
// became of each. It behaves as the client library does (tokens, attempts, epochs, UNKNOWN), over calls that
// may be lost, answered late, or arrive twice.
namespace assent::sim {

struct ClientPlan {
  GroupId coordinator;
  std::vector<NodeId> nodes;           // with a replica of it
  std::vector<std::string> accounts;   // numbers that transfers add to; all begin at 0, so their sum stays 0
  std::vector<std::string> registers;  // hold unique values
  std::vector<std::string> lists;      // appended to
  std::string scan_prefix;
  uint64_t think_us_max = 200'000;  // between two transactions
  uint64_t quiet_times = 1;         // as long, but about these moments (ascending), so that faults meet work
  std::vector<uint64_t> busy_at_us;
  bool has_foreign = false;        // resource managers of somebody else take part now and then
  uint64_t dwell_us_max = 60'000;  // now and then, between two requests of an interactive transaction
  size_t padding = 0;              // of values, so that a record takes more than a sector
  double duplicates = 0.05;        // of requests that come again, late
  double stale_births = 0.7;       // of replies whose birth time it does not take for its next tokens
  double forgets = 0.8;            // of commits sent again: a shard, or all
  double quits = 0.01;             // of calls that it does not wait for: what became of it stays unknown
};

// Forms of transactions that a coordinator treats differently. kOneKey: committed in one phase.
enum class Form : uint8_t { kOneShot, kOneKey, kInteractive, kReadOnly };
inline constexpr std::array<const char*, 4> kForms = {"one-shot", "one key, in one phase", "interactive",
                                                      "read-only"};
using FormCounts = std::array<uint64_t, kForms.size()>;

// A token: the use that was made of it, and the outcome that its client was told.
struct Told {
  Token token;
  std::string marker;  // a key that the transaction adds 1 to; empty: none
  Outcome outcome = Outcome::kUnknown;
  std::vector<std::string> foreign;  // the marker is one at these resource managers, too
};

class Client {
 public:
  // Its random numbers do not depend on what others draw.
  Client(World& world, uint32_t number, uint64_t seed, const ClientPlan& plan);

  void Go() { run_.Start(); }
  void Stop() { stopping_ = true; }
  bool idle() const { return idle_; }
  // From now on it makes no trouble: no late duplicates, and it waits for each outcome.
  void Calm() { calm_ = true; }

  const std::vector<Told>& told() const { return told_; }
  const std::vector<checker::Transaction>& transactions() const { return transactions_; }
  const FormCounts& committed() const { return committed_; }
  uint64_t ended() const { return ended_; }  // transactions whose outcome is known

  // Reads all keys of the plan in one transaction; the world must be healthy. True: it committed.
  Flow<bool> ReadAll();

 private:
  using Operations = std::vector<Operation>;
  enum class Kind : uint8_t { kOneShot, kOneKey, kSwap, kAppend, kInteractive, kReadOnly, kScan, kRollBack };

  Flow<bool> Run();
  Flow<bool> OpenSession();
  Flow<bool> OneTransaction(Kind kind);
  Flow<bool> Interactive(Kind kind);
  Flow<Outcome> OneShot(Operations operations, std::string marker);
  // Sends the request until its outcome is known, or the client gives up.
  Flow<Outcome> Settle(ClientRequest request);
  Flow<std::optional<ClientReply>> Ask(ClientRequest request, uint64_t patience_us);

  // Awaitables.
  struct Reply;
  struct Pause;

  CommitTag NextTag();
  Operations DrawOneShot(Kind kind, std::string& marker);
  Operations DrawAppend();
  std::vector<Operations> DrawSteps(Kind kind, std::string& marker);
  std::vector<ForeignWork> DrawForeign(const std::string& marker);
  void NoteAbort(const ClientReply& reply);
  Kind DrawKind();
  void CountCommitted(Kind kind);
  void StartRecord();
  void EndRecord(Outcome outcome);
  void Record(const Operations& operations, const std::vector<OperationResult>* results);
  std::string NextValue(const std::string& key);
  std::string NextName() { return std::to_string(number_) + "." + std::to_string(++names_); }
  std::string NextLongName() { return NextName() + std::string(plan_.padding, '.'); }
  std::vector<std::string> Pick(std::vector<std::string> keys, size_t count);
  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : random_() % bound; }
  bool Chance(double p) { return static_cast<double>(random_() % 1'000'000) < p * 1e6; }
  uint64_t ThinkUs();
  NodeId Target();
  void Trace(std::string_view what, const std::string& text);

  World& world_;
  const uint32_t number_;
  const ClientPlan& plan_;
  std::mt19937_64 random_;
  std::optional<ClientId> client_;
  std::optional<NodeId> leader_;
  uint64_t birth_us_ = 0;
  Epoch epoch_{};
  uint64_t seq_ = 0;
  uint64_t acked_below_ = 0;  // of its tokens: what became of them it does not ask any more
  bool last_repeated_ = false;
  bool duplicated_ = false;  // the request that was sent last
  AbortReason last_reason_ = AbortReason::kNone;
  std::vector<OperationResult> last_results_;
  Age last_age_;
  uint64_t names_ = 0;
  uint64_t call_ = 0;
  uint64_t ended_ = 0;
  FormCounts committed_{};
  bool stopping_ = false;
  bool idle_ = false;
  bool calm_ = false;
  std::map<std::string, checker::Read> last_seen_;
  std::vector<Told> told_;
  checker::Transaction current_;
  std::vector<checker::Transaction> transactions_;
  Flow<bool> run_;
};

}  // namespace assent::sim
