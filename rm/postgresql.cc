#include "rm/postgresql.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <deque>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/xid.h"
#include "rm/database.h"
#include "rm/seen_server.h"
#include "thrift/codec_fields.h"

namespace assent::rm {
namespace {

// SQLSTATEs (PostgreSQL 15, appendix A).
constexpr std::string_view kUndefinedObject = "42704";         // no such prepared transaction
constexpr std::string_view kNotInPrerequisiteState = "55000";  // another session is ending it
constexpr std::string_view kInsufficientPrivilege = "42501";
constexpr std::string_view kFeatureNotSupported = "0A000";  // of COMMIT PREPARED: it is another database's
constexpr int kWaitForStandbyMax = 8;
constexpr std::string_view kReadOnlyTransaction = "25006";  // a standby

struct Deleter {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

// libpq's texts have lines.
std::string OneLine(std::string_view text) {
  std::string line;
  for (const char c : text) line += c == '\n' || c == '\t' ? ' ' : c;
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

// What came of a statement.
struct PgSaid {
  std::unique_ptr<PGresult, Deleter> result;  // null: no answer came, and the connection is closed
  bool sent = false;                          // the server may have got the statement
  std::string state;                          // SQLSTATE of an error
  std::string text;                           // why there is no answer, or the error

  bool ok() const { return result != nullptr && state.empty(); }
  std::string_view tag() const { return ok() ? PQcmdStatus(result.get()) : ""; }
  int rows() const { return ok() ? PQntuples(result.get()) : 0; }
  std::string Cell(int row, int column) const { return PQgetvalue(result.get(), row, column); }
  bool IsNull(int row, int column) const { return PQgetisnull(result.get(), row, column) != 0; }
};

// "pg <system identifier> <timeline> <xid8>"
struct Evidence {
  std::string server;
  uint64_t timeline = 0;
  std::string xid;
};

std::optional<Evidence> ParseEvidence(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t space = std::min(text.find(' '), text.size());
    words.emplace_back(text.substr(0, space));
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  if (words.size() != 4 || words[0] != "pg") return std::nullopt;
  Evidence evidence{words[1], 0, words[3]};
  const auto [end, error] =
      std::from_chars(words[2].data(), words[2].data() + words[2].size(), evidence.timeline);
  if (error != std::errc{} || end != words[2].data() + words[2].size()) return std::nullopt;
  return evidence;
}

class Postgresql final : public ResourceManager {
 public:
  explicit Postgresql(const Target& target) : target_(target) {}

  Status Open() override {
    if (wait_.interrupted()) return Status(StatusCode::kUnavailable, "stopped");
    call_until_ = Clock::now() + std::chrono::milliseconds(target_.connect_timeout_ms + target_.timeout_ms);
    // An idle server says nothing but that it goes. Meanwhile another connection may have seen a later
    // timeline.
    if (connection_ &&
        wait_.For(PQsocket(connection_.get()), POLLIN, Clock::now()) != SocketWait::End::kReady &&
        target_.seen->Check(server_, timeline_).ok()) {
      return Status();
    }
    return Connect();
  }

  void Rest() override {
    connection_.reset();
    claims_.Clear();
  }
  void Interrupt() override { wait_.Interrupt(); }

  void Prepare(const CallForeign&, ForeignReply& reply) override { RefuseToPrepare(target_, reply); }
  void Commit(const CallForeign& call, ForeignReply& reply) override {
    Finish(call, "COMMIT PREPARED", reply);
  }
  void Rollback(const CallForeign& call, ForeignReply& reply) override {
    Finish(call, "ROLLBACK PREPARED", reply);
  }

  void Recover(GroupId group, ForeignReply& reply) override {
    if (claims_.HasLeftOver()) {
      Rest();
      if (const Status opened = Open(); !opened.ok()) {
        reply.unsent = true;
        reply.detail = opened.message();
        return;
      }
    }
    if (!Claim(group, reply)) return;
    // In the same statement as the list: that of a standby is empty, whatever is prepared.
    const PgSaid said =
        Ask("SELECT pg_is_in_recovery(), gid FROM (SELECT 1) AS one LEFT JOIN pg_prepared_xacts "
            "ON database = current_database() AND starts_with(gid, $1)",
            {std::to_string(kXidFormat) + "_"});
    if (!said.ok()) return NotReached(said, reply);
    if (said.Cell(0, 0) != "f") return IsStandby(reply);
    const std::string cluster = ClusterDigits(target_.cluster);
    std::set<TxnId> prepared;
    for (int row = 0; row < said.rows(); ++row) {
      const auto branch = said.IsNull(row, 1) ? std::nullopt : ParseXid(said.Cell(row, 1));
      if (branch && branch->cluster == cluster && branch->resource_manager == target_.name &&
          branch->branch == 1 && branch->txn.coordinator == group) {
        prepared.insert(branch->txn);
      }
    }
    reply.prepared.assign(prepared.begin(), prepared.end());
    reply.prepared.resize(std::min(reply.prepared.size(), target_.recovered_max));
    reply.reached = true;
  }

 private:
  // To the host that was the right one last, or to the next that is, with a share of the time for each: libpq
  // by itself does not leave the first if that is silent.
  Status Connect() {
    auto password = ReadPassword(target_.password_file);
    if (!password.ok()) return password.status();
    char* problem = nullptr;
    const std::unique_ptr<PQconninfoOption, Deleter> options(PQconninfoParse(target_.dsn.c_str(), &problem));
    PQfreemem(problem);
    if (!options)
      return Status(StatusCode::kInvalid, "dsn is no connection string");  // CheckPostgresql saw it
    size_t hosts = 1;
    for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
      if (IsOfHosts(*option)) hosts = std::max(hosts, CountParts(option->val));
    }
    const std::chrono::milliseconds share(target_.connect_timeout_ms / static_cast<int>(hosts));
    Status status;
    for (size_t i = 0; i < hosts; ++i) {
      const size_t host = (host_ + i) % hosts;
      status = ConnectTo(host, *options, *password, share);
      if (status.ok()) status = CheckServer();
      if (status.ok()) {
        host_ = host;
        return status;
      }
      Rest();
    }
    return status;
  }

  static bool IsOfHosts(const PQconninfoOption& option) {
    const std::string_view key = option.keyword;
    return option.val != nullptr && (key == "host" || key == "hostaddr" || key == "port");
  }
  static size_t CountParts(std::string_view list) {
    return 1 + static_cast<size_t>(std::count(list.begin(), list.end(), ','));
  }
  // The last one stands for all that are missing: one port for all hosts.
  static std::string Part(std::string_view list, size_t index) {
    for (size_t comma = list.find(','); index > 0 && comma != std::string_view::npos;
         comma = list.find(',')) {
      list.remove_prefix(comma + 1);
      --index;
    }
    return std::string(list.substr(0, list.find(',')));
  }

  Status ConnectTo(size_t host, const PQconninfoOption& options, const std::string& password,
                   std::chrono::milliseconds within) {
    std::deque<std::string> parts;  // stay where they are
    std::vector<const char*> keys = {"fallback_application_name", "client_encoding"};
    std::vector<const char*> values = {"assent", "UTF8"};
    for (const PQconninfoOption* option = &options; option->keyword != nullptr; ++option) {
      if (option->val == nullptr) continue;
      keys.push_back(option->keyword);
      values.push_back(IsOfHosts(*option) ? parts.emplace_back(Part(option->val, host)).c_str()
                                          : option->val);
    }
    if (!password.empty()) {
      keys.push_back("password");
      values.push_back(password.c_str());
    }
    keys.push_back(nullptr);
    values.push_back(nullptr);
    connection_.reset(PQconnectStartParams(keys.data(), values.data(), /*expand_dbname=*/0));
    if (!connection_) return Status(StatusCode::kUnavailable, "no memory for a connection");
    PQsetNoticeReceiver(connection_.get(), &Postgresql::OnNotice, this);
    const auto until = Clock::now() + within;
    auto next = PQstatus(connection_.get()) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
      if (next == PGRES_POLLING_FAILED) return Unavailable(PQerrorMessage(connection_.get()));
      const short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
      if (wait_.For(PQsocket(connection_.get()), events, until) != SocketWait::End::kReady) {
        return Unavailable("no connection within " + std::to_string(within.count()) + " ms");
      }
      next = PQconnectPoll(connection_.get());
    }
    PQsetnonblocking(connection_.get(), 1);
    return Status();
  }

  // F11
  Status CheckServer() {
    // What the owner of the database has put in its way is not called.
    if (const PgSaid path = Ask("SET search_path = pg_catalog"); !path.ok()) return Unavailable(path.text);
    const PgSaid said =
        Ask("SELECT pg_is_in_recovery(), system_identifier, CASE WHEN pg_is_in_recovery() THEN '0' "
            "ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END FROM pg_control_system()");
    if (!said.ok()) return Unavailable(said.text);
    if (said.Cell(0, 0) != "f") return Unavailable(kStandby);
    server_ = said.Cell(0, 1);
    const std::string timeline = said.Cell(0, 2);
    timeline_ = 0;
    std::from_chars(timeline.data(), timeline.data() + timeline.size(), timeline_, 16);
    return target_.seen->Check(server_, timeline_);
  }

  // A call of `verb` on the branch of call.txn, and what it says (F6).
  void Finish(const CallForeign& call, std::string_view verb, ForeignReply& reply) {
    if (late_ && !MayWaitForStandby(reply)) return;
    const std::string id = XidText(target_, call.txn);
    const std::string sql = std::string(verb) + " '" + id + "'";  // an xid has nothing to quote
    PgSaid said = Ask(sql.c_str());
    if (said.state == kInsufficientPrivilege) said = AskAsOwner(id, sql, std::move(said));
    if (said.tag() == verb) {
      late_ = false;
      return Answer(ForeignAnswer::kDone, OneLine(notices_), reply);
    }
    if (said.state == kUndefinedObject) return LookUp(call, id, reply);
    if (said.state == kNotInPrerequisiteState) return Answer(ForeignAnswer::kBusy, said.text, reply);
    if (said.state == kReadOnlyTransaction) return IsStandby(reply);
    if (said.state == kInsufficientPrivilege || said.state == kFeatureNotSupported) {
      return Answer(ForeignAnswer::kRefused, said.text, reply);
    }
    NotReached(said, reply);
  }

  // After a call that took too long. Where a synchronous standby is away the server's process goes on waiting
  // for it, though nobody listens any more: not each try may leave one more, until the application finds none
  // free.
  bool MayWaitForStandby(ForeignReply& reply) {
    const PgSaid waiting =
        Ask("SELECT count(*) FROM pg_stat_activity WHERE usename = session_user AND wait_event = 'SyncRep'");
    if (!waiting.ok()) {
      NotReached(waiting, reply);
      return false;
    }
    if (waiting.Cell(0, 0).size() == 1 && waiting.Cell(0, 0)[0] - '0' < kWaitForStandbyMax) return true;
    reply.unsent = true;
    reply.detail =
        waiting.Cell(0, 0) + " sessions of this role wait for a synchronous standby that does not answer";
    return false;
  }

  // Its owner may end it: one of whose role this user is a member.
  PgSaid AskAsOwner(const std::string& id, const std::string& sql, PgSaid refused) {
    const PgSaid owner = Ask("SELECT owner FROM pg_prepared_xacts WHERE gid = $1", {id});
    if (!owner.ok()) return PgSaid{nullptr, refused.sent, "", owner.text};
    if (owner.rows() == 0) return refused;
    const std::string role = owner.Cell(0, 0);
    const std::unique_ptr<char, void (*)(void*)> quoted(
        PQescapeIdentifier(connection_.get(), role.data(), role.size()), PQfreemem);
    if (!quoted) return refused;
    const PgSaid as_owner = Ask((std::string("SET ROLE ") + quoted.get()).c_str());
    if (!as_owner.ok()) {
      refused.text +=
          ". It is " + role + "'s: GRANT " + role + " TO the user of the dsn (" + as_owner.text + ")";
      return refused;
    }
    PgSaid said = Ask(sql.c_str());
    const std::string notices = notices_;
    if (!said.result || !Ask("RESET ROLE").ok()) Rest();
    notices_ = notices;
    return said;
  }

  // The server has no such branch, or not any more. By the evidence of the vote it can say how it ended.
  void LookUp(const CallForeign& call, const std::string& id, ForeignReply& reply) {
    const bool commit = call.verb == ForeignVerb::kCommit;
    const PgSaid listed =
        Ask("SELECT pg_is_in_recovery(), count(*) FROM pg_prepared_xacts WHERE gid = $1 AND "
            "database = current_database()",
            {id});
    if (!listed.ok()) return NotReached(listed, reply);
    if (listed.Cell(0, 0) != "f") return IsStandby(reply);
    if (listed.Cell(0, 1) != "0") return Answer(ForeignAnswer::kBusy, "the branch has only just come", reply);
    const auto evidence = ParseEvidence(call.evidence);
    if (!evidence) return Answer(ForeignAnswer::kAbsent, "no such branch, and no evidence of its end", reply);
    if (evidence->server != server_ || evidence->timeline != timeline_) {
      return Answer(ForeignAnswer::kAbsent,
                    "no such branch; it was prepared on timeline " + std::to_string(evidence->timeline) +
                        " of server " + evidence->server + ", and this is timeline " +
                        std::to_string(timeline_) + " of " + server_,
                    reply);
    }
    const PgSaid status = Ask("SELECT pg_xact_status($1::text::xid8)", {evidence->xid});
    if (!status.result) return NotReached(status, reply);
    const std::string ended = status.ok() && !status.IsNull(0, 0) ? status.Cell(0, 0) : "";
    const std::string detail =
        "pg_xact_status(" + evidence->xid + ") is " + (ended.empty() ? "not known" : ended);
    if (ended == "in progress") return Answer(ForeignAnswer::kBusy, detail, reply);
    if (ended.empty()) return Answer(ForeignAnswer::kAbsent, "no such branch; " + detail, reply);
    Answer((ended == "committed") == commit ? ForeignAnswer::kDone : ForeignAnswer::kContradicted, detail,
           reply);
  }

  // F10: only one process at a time takes what it does not know for an orphan.
  bool Claim(GroupId group, ForeignReply& reply) {
    if (claims_.Has(group)) return true;
    if (PQserverVersion(connection_.get()) >= 140'000) {
      const std::string set = "SET idle_session_timeout = '" + std::to_string(kClaimLostSeconds) + "s'";
      if (const PgSaid timeout = Ask(set.c_str()); !timeout.ok()) {
        NotReached(timeout, reply);
        return false;
      }
    }
    const PgSaid said =
        Ask("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", {ClaimName(target_, group)});
    if (!said.ok()) {
      NotReached(said, reply);
      return false;
    }
    if (said.Cell(0, 0) != "t") {
      reply.detail = kClaimedElsewhere;
      return false;
    }
    claims_.Add(group);
    return true;
  }

  PgSaid Ask(const char* sql, std::initializer_list<std::string> texts = {}) {
    PgSaid said;
    notices_.clear();
    if (!connection_) {
      said.text = "the connection is lost";
      return said;
    }
    std::vector<const char*> values;
    for (const std::string& text : texts) values.push_back(text.c_str());
    // All statements of one call have the time of one.
    const auto until = std::min(Clock::now() + std::chrono::milliseconds(target_.timeout_ms), call_until_);
    if (PQsendQueryParams(connection_.get(), sql, static_cast<int>(values.size()), nullptr, values.data(),
                          nullptr, nullptr, 0) == 0) {
      return Lost(std::move(said), PQerrorMessage(connection_.get()));
    }
    said.sent = true;
    for (int left = PQflush(connection_.get()); left != 0; left = PQflush(connection_.get())) {
      if (left < 0 || !Receive(POLLIN | POLLOUT, until)) return Lost(std::move(said), NoAnswer(until));
    }
    while (true) {
      while (PQisBusy(connection_.get()) != 0) {
        if (!Receive(POLLIN, until)) return Lost(std::move(said), NoAnswer(until));
      }
      std::unique_ptr<PGresult, Deleter> result(PQgetResult(connection_.get()));
      if (!result) break;
      said.result = std::move(result);
    }
    if (!said.result || PQstatus(connection_.get()) == CONNECTION_BAD) {
      return Lost(std::move(said), PQerrorMessage(connection_.get()));
    }
    const ExecStatusType status = PQresultStatus(said.result.get());
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return said;
    const char* state = PQresultErrorField(said.result.get(), PG_DIAG_SQLSTATE);
    said.state = state == nullptr ? "?" : state;
    said.text = OneLine(PQresultErrorMessage(said.result.get()));
    return said;
  }

  bool Receive(short events, Clock::time_point until) {
    return wait_.For(PQsocket(connection_.get()), events, until) == SocketWait::End::kReady &&
           PQconsumeInput(connection_.get()) == 1;
  }

  std::string NoAnswer(Clock::time_point until) {
    if (wait_.interrupted()) return "stopped";
    if (Clock::now() >= until) {
      late_ = true;
      return "no answer within " + std::to_string(target_.timeout_ms) + " ms";
    }
    return PQerrorMessage(connection_.get());
  }

  // Closed, never cancelled: what is cancelled while it waits for a standby is reported as done, and may be
  // lost.
  PgSaid Lost(PgSaid said, const std::string& why) {
    said.text = OneLine(why);
    said.result.reset();
    said.state.clear();
    Rest();
    return said;
  }

  static void NotReached(const PgSaid& said, ForeignReply& reply) {
    reply.unsent = !said.sent;
    reply.detail = codec::CutDetail(said.text);
  }
  void IsStandby(ForeignReply& reply) {
    reply.detail = kStandby;
    Rest();
  }
  Status Unavailable(const std::string& why) const { return Status(StatusCode::kUnavailable, OneLine(why)); }

  static void OnNotice(void* self, const PGresult* result) {
    static_cast<Postgresql*>(self)->notices_ += PQresultErrorMessage(result);
  }

  static constexpr const char* kStandby =
      "is a standby, which cannot end branches and lists none: name the primary in the dsn, or all servers "
      "and "
      "target_session_attrs=read-write";
  const Target target_;
  SocketWait wait_;
  std::unique_ptr<PGconn, Deleter> connection_;
  std::string server_;
  uint64_t timeline_ = 0;
  Claims claims_;
  size_t host_ = 0;  // of the dsn's, that was the right one last
  Clock::time_point call_until_;
  bool late_ = false;    // a statement had no answer in time, and none was done since
  std::string notices_;  // of the last statement
};

}  // namespace

std::unique_ptr<ResourceManager> MakePostgresql(const Target& target) {
  return std::make_unique<Postgresql>(target);
}

Status CheckPostgresql(const Target& target) {
  if (target.dsn.empty()) {
    return Status(StatusCode::kInvalid, "is a database, which is reached by a dsn, not by an address");
  }
  char* problem = nullptr;
  const std::unique_ptr<PQconninfoOption, Deleter> options(PQconninfoParse(target.dsn.c_str(), &problem));
  const std::string text = OneLine(problem == nullptr ? "" : problem);
  PQfreemem(problem);
  if (!options) return Status(StatusCode::kInvalid, "dsn: " + text);
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (std::string_view(option->keyword) == "password" && option->val != nullptr) {
      return Status(StatusCode::kInvalid,
                    "dsn: a password goes into password_file, or into a file of libpq's");
    }
  }
  return Status();
}

}  // namespace assent::rm
