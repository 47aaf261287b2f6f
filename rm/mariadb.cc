#include "rm/mariadb.h"

#include <mysql.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <map>
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

// Errors (MariaDB 10.11).
constexpr unsigned kShutdown = 1053;
constexpr unsigned kUnknownThread = 1094;
constexpr unsigned kLockWaitTimeout = 1205;  // of XA COMMIT: a backup holds the server's global read lock
constexpr unsigned kReadOnly = 1290;
constexpr unsigned kInterrupted = 1317;
constexpr unsigned kKilled = 1927;
constexpr unsigned kXaUnknown = 1397;     // not there, or another connection holds it
constexpr unsigned kXaRolledBack = 1402;  // there was nothing to commit, or it was rolled back
constexpr unsigned kClientErrors = 2000;  // from here on: the connection is lost

struct Closer {
  void operator()(MYSQL* connection) const { mysql_close(connection); }
  void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
};

using Settings = std::map<std::string, std::string>;

// "host=db1 port=3306 user=assent": nullopt where a word is no pair, or names nothing known; `problem` says
// which.
std::optional<Settings> ParseDsn(std::string_view dsn, std::string& problem) {
  static constexpr std::string_view kKnown[] = {"host",          "port",  "unix_socket", "user",
                                                "defaults_file", "group", "server_ids"};
  Settings settings;
  while (true) {
    dsn.remove_prefix(std::min(dsn.find_first_not_of(' '), dsn.size()));
    if (dsn.empty()) return settings;
    const std::string_view word = dsn.substr(0, dsn.find(' '));
    dsn.remove_prefix(word.size());
    const size_t equals = word.find('=');
    const std::string key(word.substr(0, equals));
    if (equals == std::string_view::npos ||
        std::find(std::begin(kKnown), std::end(kKnown), key) == std::end(kKnown)) {
      problem = "\"" + key +
                "\": it may have host, port, unix_socket, user, defaults_file, group and server_ids, "
                "each as key=value; a password goes into password_file or the option file";
      return std::nullopt;
    }
    settings[key] = word.substr(equals + 1);
  }
}

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// What came of a statement.
struct MariaSaid {
  bool answered = false;  // else the connection is closed
  bool sent = false;      // the server may have got the statement
  unsigned error = 0;
  std::string text;  // why there is no answer, or the error
  std::vector<std::vector<std::string>> rows;

  bool ok() const { return answered && error == 0; }
};

class Mariadb final : public ResourceManager {
 public:
  explicit Mariadb(const Target& target) : target_(target) {}

  Status Open() override {
    if (wait_.interrupted()) return Status(StatusCode::kUnavailable, "stopped");
    call_until_ = Clock::now() + std::chrono::milliseconds(target_.connect_timeout_ms + target_.timeout_ms);
    // A server that went has closed its end: nothing else is sent unasked.
    const bool live = connection_ && wait_.For(static_cast<int>(mysql_get_socket(connection_.get())), POLLIN,
                                               Clock::now()) != SocketWait::End::kReady;
    // One that became a replica, in a switch of roles, keeps its sessions.
    if (live && CheckServer().ok()) return Status();
    Rest();
    Status status = Connect();
    if (status.ok()) status = CheckServer();
    if (!status.ok()) Rest();
    return status;
  }

  void Rest() override {
    connection_.reset();
    claims_.Clear();
  }
  void Interrupt() override { wait_.Interrupt(); }

  void Prepare(const CallForeign&, ForeignReply& reply) override { RefuseToPrepare(target_, reply); }
  void Commit(const CallForeign& call, ForeignReply& reply) override { Finish(call, "XA COMMIT ", reply); }
  void Rollback(const CallForeign& call, ForeignReply& reply) override {
    Finish(call, "XA ROLLBACK ", reply);
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
    std::vector<BranchXid> listed;
    if (!List(listed, reply)) return;
    std::set<TxnId> prepared;
    for (const BranchXid& branch : listed) {
      if (branch.cluster == ClusterDigits(target_.cluster) && branch.resource_manager == target_.name &&
          branch.branch == 1 && branch.txn.coordinator == group) {
        prepared.insert(branch.txn);
      }
    }
    reply.prepared.assign(prepared.begin(), prepared.end());
    reply.prepared.resize(std::min(reply.prepared.size(), target_.recovered_max));
    reply.reached = true;
  }

 private:
  Status Connect() {
    auto password = ReadPassword(target_.password_file);
    if (!password.ok()) return password.status();
    std::string problem;
    Settings settings = ParseDsn(target_.dsn, problem).value_or(Settings{});  // CheckMariadb saw it
    connection_.reset(mysql_init(nullptr));
    if (!connection_) return Status(StatusCode::kUnavailable, "no memory for a connection");
    MYSQL* const mysql = connection_.get();
    mysql_options(mysql, MYSQL_OPT_NONBLOCK, nullptr);
    mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (settings.contains("defaults_file")) {
      mysql_options(mysql, MYSQL_READ_DEFAULT_FILE, settings["defaults_file"].c_str());
    }
    if (settings.contains("group")) mysql_options(mysql, MYSQL_READ_DEFAULT_GROUP, settings["group"].c_str());
    const auto text = [&](const char* key) {
      return settings.contains(key) ? settings[key].c_str() : nullptr;
    };
    const auto port = static_cast<unsigned>(ParseNumber(settings["port"]).value_or(0));
    const auto until = Clock::now() + std::chrono::milliseconds(target_.connect_timeout_ms);
    MYSQL* connected = nullptr;
    int events = mysql_real_connect_start(&connected, mysql, text("host"), text("user"),
                                          password->empty() ? nullptr : password->c_str(), nullptr, port,
                                          text("unix_socket"), 0);
    while (events != 0) events = mysql_real_connect_cont(&connected, mysql, Wait(events, until));
    if (connected == nullptr) {
      const bool late = Clock::now() >= until;
      return Status(StatusCode::kUnavailable,
                    late ? "no connection within " + std::to_string(target_.connect_timeout_ms) + " ms"
                         : mysql_error(mysql));
    }
    return Status();
  }

  // F11. A replica that is read-only obeys XA COMMIT, and its replication breaks (MDEV-30978).
  Status CheckServer() {
    const MariaSaid said = Ask("SELECT @@read_only, @@server_id");
    if (!said.ok() || said.rows.size() != 1) return Status(StatusCode::kUnavailable, said.text);
    if (said.rows[0][0] != "0") {
      return Status(StatusCode::kUnavailable,
                    "is read-only, so it may be a replica: name the primary in the dsn");
    }
    const std::string id = said.rows[0][1];
    std::string problem;
    const std::string allowed = ParseDsn(target_.dsn, problem).value_or(Settings{})["server_ids"];
    if (allowed.empty()) return target_.seen->Check("with server_id " + id, 0);
    if (("," + allowed + ",").find("," + id + ",") != std::string::npos) return Status();
    return Status(StatusCode::kForeign,
                  "reaches the server with server_id " + id + ", and server_ids allows " + allowed);
  }

  // A call of `verb` on the branch of call.txn, and what it says (F6).
  void Finish(const CallForeign& call, const std::string& verb, ForeignReply& reply) {
    const bool commit = call.verb == ForeignVerb::kCommit;
    const Xid xid = XidOf({ClusterDigits(target_.cluster), call.txn, target_.name, 1});
    // An xid has nothing to quote.
    const MariaSaid said =
        Ask(verb + "'" + xid.gtrid + "','" + xid.bqual + "'," + std::to_string(xid.format_id));
    if (said.ok()) return Answer(ForeignAnswer::kDone, "", reply);
    if (!said.answered || said.error == kReadOnly) return NotReached(said, reply);
    if (said.error == kShutdown || said.error == kInterrupted || said.error == kKilled) {  // it may be done
      Rest();
      return NotReached(said, reply);
    }
    if (said.error == kXaUnknown) return LookUp(call, reply);
    if (said.error == kXaRolledBack) {
      return Answer(commit ? ForeignAnswer::kContradicted : ForeignAnswer::kDone, said.text, reply);
    }
    Answer(said.error == kLockWaitTimeout ? ForeignAnswer::kBusy : ForeignAnswer::kRefused, said.text, reply);
  }

  // The server does not know such a branch, which it also says of one that another connection holds.
  void LookUp(const CallForeign& call, ForeignReply& reply) {
    std::vector<BranchXid> listed;
    if (!List(listed, reply)) return;
    const BranchXid wanted{ClusterDigits(target_.cluster), call.txn, target_.name, 1};
    if (std::find(listed.begin(), listed.end(), wanted) == listed.end()) {
      return Answer(ForeignAnswer::kAbsent, "no such branch, and MariaDB keeps no record of its end", reply);
    }
    std::string detail = "the connection that prepared it holds it";
    if (const auto holder = ParseNumber(call.holder)) {
      const MariaSaid killed = Ask("KILL " + std::to_string(*holder));
      if (!killed.answered) return NotReached(killed, reply);
      detail = "connection " + call.holder + " held it, and was ended";
      if (killed.error == kUnknownThread)
        detail = "connection " + call.holder + " held it, and is gone";
      else if (killed.error != 0)
        detail = "connection " + call.holder + " holds it: " + killed.text;
    }
    Answer(ForeignAnswer::kBusy, detail, reply);
  }

  // All prepared branches of the server that are of some cluster of ours.
  bool List(std::vector<BranchXid>& listed, ForeignReply& reply) {
    const MariaSaid said = Ask("XA RECOVER");
    if (!said.ok()) {
      NotReached(said, reply);
      return false;
    }
    for (const std::vector<std::string>& row : said.rows) {
      const auto format = row.size() == 4 ? ParseNumber(row[0]) : std::nullopt;
      const auto gtrid = row.size() == 4 ? ParseNumber(row[1]) : std::nullopt;
      if (!format || !gtrid || *format != static_cast<uint64_t>(kXidFormat) || *gtrid > row[3].size())
        continue;
      const Xid xid{kXidFormat, row[3].substr(0, *gtrid), row[3].substr(*gtrid)};
      if (auto branch = ParseXid(xid)) listed.push_back(std::move(*branch));
    }
    return true;
  }

  // F10: only one process at a time takes what it does not know for an orphan.
  bool Claim(GroupId group, ForeignReply& reply) {
    if (claims_.Has(group)) return true;
    const MariaSaid timeout = Ask("SET SESSION wait_timeout = " + std::to_string(kClaimLostSeconds));
    if (!timeout.ok()) {
      NotReached(timeout, reply);
      return false;
    }
    // A lock's name has at most 64 characters.
    const MariaSaid said = Ask("SELECT GET_LOCK(SHA1('" + ClaimName(target_, group) + "'), 0)");
    if (!said.ok() || said.rows.size() != 1) {
      NotReached(said, reply);
      return false;
    }
    if (said.rows[0][0] != "1") {
      reply.detail = kClaimedElsewhere;
      return false;
    }
    claims_.Add(group);
    return true;
  }

  MariaSaid Ask(const std::string& sql) {
    MariaSaid said;
    if (!connection_) {
      said.text = "the connection is lost";
      return said;
    }
    MYSQL* const mysql = connection_.get();
    // All statements of one call have the time of one.
    const auto until = std::min(Clock::now() + std::chrono::milliseconds(target_.timeout_ms), call_until_);
    said.sent = true;
    int failed = 0;
    int events = mysql_real_query_start(&failed, mysql, sql.data(), sql.size());
    while (events != 0) events = mysql_real_query_cont(&failed, mysql, Wait(events, until));
    MYSQL_RES* rows = nullptr;
    if (failed == 0) {
      events = mysql_store_result_start(&rows, mysql);
      while (events != 0) events = mysql_store_result_cont(&rows, mysql, Wait(events, until));
    }
    const std::unique_ptr<MYSQL_RES, Closer> result(rows);
    said.error = mysql_errno(mysql);
    said.text = mysql_error(mysql);
    said.answered = said.error < kClientErrors;
    if (!said.answered) {
      if (wait_.interrupted())
        said.text = "stopped";
      else if (Clock::now() >= until)
        said.text = "no answer within " + std::to_string(target_.timeout_ms) + " ms";
      Rest();
      return said;
    }
    for (MYSQL_ROW row; result && (row = mysql_fetch_row(result.get())) != nullptr;) {
      const unsigned long* bytes = mysql_fetch_lengths(result.get());
      std::vector<std::string>& cells = said.rows.emplace_back();
      for (unsigned i = 0; i < mysql_num_fields(result.get()); ++i) {
        cells.emplace_back(row[i] == nullptr ? "" : row[i], row[i] == nullptr ? 0 : bytes[i]);
      }
    }
    return said;
  }

  // Which of `events` (MYSQL_WAIT_...) came. What takes too long, or is interrupted, hears of a timeout and
  // fails.
  int Wait(int events, Clock::time_point until) const {
    const short polled = static_cast<short>(((events & MYSQL_WAIT_READ) != 0 ? POLLIN : 0) |
                                            ((events & MYSQL_WAIT_WRITE) != 0 ? POLLOUT : 0) |
                                            ((events & MYSQL_WAIT_EXCEPT) != 0 ? POLLPRI : 0));
    const int fd = static_cast<int>(mysql_get_socket(connection_.get()));
    if (wait_.For(fd, polled, until) != SocketWait::End::kReady) return MYSQL_WAIT_TIMEOUT;
    return events & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE | MYSQL_WAIT_EXCEPT);
  }

  static void NotReached(const MariaSaid& said, ForeignReply& reply) {
    reply.unsent = !said.sent;
    reply.detail = codec::CutDetail(said.text);
  }

  const Target target_;
  SocketWait wait_;
  std::unique_ptr<MYSQL, Closer> connection_;
  Claims claims_;
  Clock::time_point call_until_;
};

}  // namespace

std::unique_ptr<ResourceManager> MakeMariadb(const Target& target) {
  return std::make_unique<Mariadb>(target);
}

Status CheckMariadb(const Target& target) {
  if (target.dsn.empty()) {
    return Status(StatusCode::kInvalid, "is a database, which is reached by a dsn, not by an address");
  }
  std::string problem;
  auto settings = ParseDsn(target.dsn, problem);
  if (!settings) return Status(StatusCode::kInvalid, "dsn: " + problem);
  if (settings->contains("port") && ParseNumber((*settings)["port"]).value_or(0) - 1 >= 65'535) {
    return Status(StatusCode::kInvalid, "dsn: port is \"" + (*settings)["port"] + "\"; use 1 to 65535");
  }
  return Status();
}

}  // namespace assent::rm
