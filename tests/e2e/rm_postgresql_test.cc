// rm/postgresql against real servers: what it answers, and that it touches nothing of others.
#include <libpq-fe.h>

#include <chrono>
#include <future>
#include <map>
#include <string>
#include <vector>

#include "rm/postgresql.h"
#include "rm_testing.h"

namespace assent::rm {
namespace {

// A session of somebody else.
class Session {
 public:
  explicit Session(const std::string& dsn) : connection_(PQconnectdb(dsn.c_str()), PQfinish) {
    EXPECT_EQ(PQstatus(connection_.get()), CONNECTION_OK) << PQerrorMessage(connection_.get());
  }
  // The cells of the first row, or what the command said.
  std::vector<std::string> Sql(const std::string& sql) {
    const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQexec(connection_.get(), sql.c_str()),
                                                                PQclear);
    const ExecStatusType status = PQresultStatus(result.get());
    EXPECT_TRUE(status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        << sql << PQerrorMessage(connection_.get());
    std::vector<std::string> cells;
    for (int i = 0; PQntuples(result.get()) > 0 && i < PQnfields(result.get()); ++i) {
      cells.emplace_back(PQgetvalue(result.get(), 0, i));
    }
    return cells;
  }
  std::string Cell(const std::string& sql) {
    const std::vector<std::string> cells = Sql(sql);
    return cells.empty() ? "" : cells[0];
  }
  // Prepares a branch that writes a row, and returns its evidence.
  std::string Prepare(const std::string& gid, uint64_t row) {
    Sql("BEGIN");
    Sql("INSERT INTO rows VALUES (" + std::to_string(row) + ")");
    const std::string evidence = "pg " + Cell("SELECT system_identifier FROM pg_control_system()") + " " +
                                 Timeline() + " " + Cell("SELECT pg_current_xact_id()");
    Sql("PREPARE TRANSACTION '" + gid + "'");
    return evidence;
  }
  std::string Timeline() {
    return Cell("SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int");
  }
  bool HasRow(uint64_t row) {
    return Cell("SELECT count(*) FROM rows WHERE id = " + std::to_string(row)) == "1";
  }
  bool Lists(const std::string& gid) {
    return Cell("SELECT count(*) FROM pg_prepared_xacts WHERE gid = '" + gid + "'") == "1";
  }

 private:
  std::unique_ptr<PGconn, void (*)(PGconn*)> connection_;
};

class RmPostgresql : public testing::Test {
 protected:
  const std::string dsn_ = Environment("DSN");  // of a role that is a member of the application's
  Session app_{Environment("APP")};
  Session super_{Environment("SUPER")};
  std::unique_ptr<ResourceManager> manager_ = MakePostgresql(TargetOf(dsn_));
};

TEST_F(RmPostgresql, CommitsAndKnowsThatItDid) {  // F6
  const std::string evidence = app_.Prepare(ToString(XidFor(Txn(1))), 1);
  ExpectAnswer(Call(*manager_, ForeignVerb::kCommit, Txn(1), evidence), ForeignAnswer::kDone);
  EXPECT_TRUE(app_.HasRow(1));
  ExpectAnswer(Call(*manager_, ForeignVerb::kCommit, Txn(1), evidence), ForeignAnswer::kDone, "is committed");
  ExpectAnswer(Call(*manager_, ForeignVerb::kRollback, Txn(1), evidence), ForeignAnswer::kContradicted,
               "is committed");
  ExpectAnswer(Call(*manager_, ForeignVerb::kCommit, Txn(1)), ForeignAnswer::kAbsent, "no evidence");
}

TEST_F(RmPostgresql, RollsBackAndKnowsThatItDid) {  // F6
  const std::string evidence = app_.Prepare(ToString(XidFor(Txn(2))), 2);
  ExpectAnswer(Call(*manager_, ForeignVerb::kRollback, Txn(2), evidence), ForeignAnswer::kDone);
  EXPECT_FALSE(app_.HasRow(2));
  ExpectAnswer(Call(*manager_, ForeignVerb::kRollback, Txn(2), evidence), ForeignAnswer::kDone, "is aborted");
  ExpectAnswer(Call(*manager_, ForeignVerb::kCommit, Txn(2), evidence), ForeignAnswer::kContradicted,
               "is aborted");
  ExpectAnswer(Call(*manager_, ForeignVerb::kRollback, Txn(2)), ForeignAnswer::kAbsent);
}

TEST_F(RmPostgresql, EvidenceOfAnotherServerOrTimelineOrOfNothingIsNotBelieved) {  // F6
  const std::string server = super_.Cell("SELECT system_identifier FROM pg_control_system()");
  const std::string timeline = super_.Timeline();
  for (const std::string& evidence :
       {"pg " + server + " 99 3", "pg 1 " + timeline + " 3",
        "pg " + server + " " + timeline + " 999999999999", "pg " + server + " " + timeline + " x",
        std::string("nonsense"), std::string("pg  ")}) {
    ExpectAnswer(Call(*manager_, ForeignVerb::kCommit, Txn(3), evidence), ForeignAnswer::kAbsent,
                 "no such branch");
  }
}

TEST_F(RmPostgresql, ListsItsOwnAndTouchesNoOther) {  // F9
  const TxnId other_group{GroupId{GroupKind::kCoordinator, 2}, Epoch{1}, 12};
  const std::vector<std::string> others = {
      ToString(XidFor(other_group)),
      ToString(XidFor(Txn(13), "stock")),
      ToString(XidFor(Txn(14), "orders", "ffffffff-89ab-cdef-0123-456789abcdef")),
      std::to_string(kXidFormat) + "_not_ours",
      "somebody else's",
      "1_bm90_b3Vycw=="};
  std::string quoted;
  for (size_t i = 0; i < others.size(); ++i) {
    quoted = others[i];
    if (const size_t at = quoted.find('\''); at != std::string::npos) quoted.insert(at, "'");
    app_.Prepare(quoted, 120 + i);
  }
  Session elsewhere(Environment("OTHER"));  // another database of the server
  elsewhere.Prepare(ToString(XidFor(Txn(15))), 15);
  app_.Prepare(ToString(XidFor(Txn(17))), 17);
  app_.Prepare(ToString(XidFor(Txn(16))), 16);

  const ForeignReply listed = Call(*manager_, ForeignVerb::kRecover, {});
  EXPECT_TRUE(listed.reached) << listed.detail;
  EXPECT_EQ(listed.prepared, (std::vector<TxnId>{Txn(16), Txn(17)}));
  // One of another database cannot be ended here.
  ExpectAnswer(Call(*manager_, ForeignVerb::kRollback, Txn(15)), ForeignAnswer::kRefused, "another database");

  for (const uint64_t seq : {16u, 17u}) {
    ExpectAnswer(Call(*manager_, ForeignVerb::kRollback, Txn(seq)), ForeignAnswer::kDone);
  }
  for (const std::string& gid : others) {
    quoted = gid;
    if (const size_t at = quoted.find('\''); at != std::string::npos) quoted.insert(at, "'");
    EXPECT_TRUE(super_.Lists(quoted)) << gid;
    app_.Sql("ROLLBACK PREPARED '" + quoted + "'");
  }
  elsewhere.Sql("ROLLBACK PREPARED '" + ToString(XidFor(Txn(15))) + "'");
}

TEST_F(RmPostgresql, OnlyAsManyAsAreAskedForAreListed) {  // G8
  for (const uint64_t seq : {22u, 21u, 23u}) app_.Prepare(ToString(XidFor(Txn(seq))), seq);
  Target target = TargetOf(dsn_);
  target.recovered_max = 2;
  EXPECT_EQ(Call(*MakePostgresql(target), ForeignVerb::kRecover, {}).prepared,
            (std::vector<TxnId>{Txn(21), Txn(22)}));
  for (const uint64_t seq : {21u, 22u, 23u}) {
    ExpectAnswer(Call(*manager_, ForeignVerb::kRollback, Txn(seq)), ForeignAnswer::kDone);
  }
}

TEST_F(RmPostgresql, ABranchOfARoleThatItIsNoMemberOf) {
  super_.Sql("CREATE ROLE stranger LOGIN; GRANT ALL ON rows TO stranger");
  Session stranger(Environment("STRANGER"));
  stranger.Prepare(ToString(XidFor(Txn(31))), 31);
  ExpectAnswer(Call(*manager_, ForeignVerb::kCommit, Txn(31)), ForeignAnswer::kRefused, "GRANT stranger TO");
  super_.Sql("GRANT stranger TO assent_rec");
  ExpectAnswer(Call(*manager_, ForeignVerb::kCommit, Txn(31)), ForeignAnswer::kDone);
  EXPECT_TRUE(app_.HasRow(31));
}

TEST_F(RmPostgresql, ACommitThatWaitsForAStandbyIsNotReachedThenBusyThenDone) {  // a row of the answers
  const std::string late = app_.Prepare(ToString(XidFor(Txn(42))), 42);
  std::map<uint64_t, std::string> evidence;
  for (uint64_t seq = 400; seq < 420; ++seq) evidence[seq] = app_.Prepare(ToString(XidFor(Txn(seq))), seq);
  super_.Sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
  super_.Sql("SELECT pg_reload_conf()");
  Target target = TargetOf(dsn_);
  target.timeout_ms = 1'000;
  const auto hasty = MakePostgresql(target);
  // Until the server's checkpointer comes to it, commits do not wait.
  uint64_t hung = 400;
  ForeignReply reply = Call(*hasty, ForeignVerb::kCommit, Txn(hung), evidence[hung]);
  while (reply.reached && hung < 419) {
    super_.Sql("SELECT pg_sleep(0.25)");
    ++hung;
    reply = Call(*hasty, ForeignVerb::kCommit, Txn(hung), evidence[hung]);
  }
  ASSERT_FALSE(reply.reached);
  ExpectNotReached(reply, "no answer within 1000 ms");
  EXPECT_FALSE(reply.unsent);
  EXPECT_TRUE(super_.Lists(ToString(XidFor(Txn(hung)))));
  ExpectAnswer(Call(*hasty, ForeignVerb::kCommit, Txn(hung), evidence[hung]), ForeignAnswer::kBusy,
               "is busy");

  // One that hangs is ended at once (the node stops).
  Target patient_target = TargetOf(dsn_);
  patient_target.timeout_ms = 600'000;
  const auto patient = MakePostgresql(patient_target);
  auto waiting =
      std::async(std::launch::async, [&] { return Call(*patient, ForeignVerb::kCommit, Txn(42), late); });
  while (super_.Cell("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") != "2") {
  }
  patient->Interrupt();
  ExpectNotReached(waiting.get(), "stopped");

  super_.Sql("ALTER SYSTEM RESET synchronous_standby_names");
  super_.Sql("SELECT pg_reload_conf()");
  while (super_.Lists(ToString(XidFor(Txn(hung)))) || super_.Lists(ToString(XidFor(Txn(42))))) {
    super_.Sql("SELECT pg_sleep(0.05)");
  }
  ExpectAnswer(Call(*hasty, ForeignVerb::kCommit, Txn(hung), evidence[hung]), ForeignAnswer::kDone,
               "is committed");
  ExpectAnswer(Call(*hasty, ForeignVerb::kCommit, Txn(42), late), ForeignAnswer::kDone, "is committed");
  while (++hung < 420) ExpectAnswer(Call(*hasty, ForeignVerb::kRollback, Txn(hung)), ForeignAnswer::kDone);
}

TEST_F(RmPostgresql, ALostConnectionIsOpenedAgain) {
  ASSERT_TRUE(manager_->Open().ok());
  super_.Sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'assent'");
  while (super_.Cell("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'assent'") != "0") {
  }
  app_.Prepare(ToString(XidFor(Txn(51))), 51);
  ExpectAnswer(Call(*manager_, ForeignVerb::kCommit, Txn(51)), ForeignAnswer::kDone);
}

TEST_F(RmPostgresql, OneScansAtATime) {  // F10
  const auto clone = MakePostgresql(TargetOf(dsn_));
  EXPECT_TRUE(Call(*manager_, ForeignVerb::kRecover, {}).reached);
  EXPECT_TRUE(Call(*manager_, ForeignVerb::kRecover, {}).reached);
  ExpectNotReached(Call(*clone, ForeignVerb::kRecover, {}), "another session scans");
  // What was decided goes on.
  app_.Prepare(ToString(XidFor(Txn(61))), 61);
  ExpectAnswer(Call(*clone, ForeignVerb::kCommit, Txn(61)), ForeignAnswer::kDone);
  manager_->Rest();
  ForeignReply reply;
  do {  // the server lets go when it notices
    reply = Call(*clone, ForeignVerb::kRecover, {});
  } while (!reply.reached);
}

TEST_F(RmPostgresql, AnotherResourceManagerOfTheServerIsScannedBeside) {  // F10
  Target other = TargetOf(Environment("DSN"));
  other.name = "stock";
  const auto stock = MakePostgresql(other);
  EXPECT_TRUE(Call(*manager_, ForeignVerb::kRecover, {}).reached);
  EXPECT_TRUE(Call(*stock, ForeignVerb::kRecover, {}).reached);
}

TEST_F(RmPostgresql, AClaimEndsWithASessionThatSaysNothing) {  // F10
  EXPECT_TRUE(Call(*manager_, ForeignVerb::kRecover, {}).reached);
  // As of a node that lost its power: nobody closes the connection.
  EXPECT_EQ(super_.Cell("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), "1");
  while (super_.Cell("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") != "0") {
    super_.Sql("SELECT pg_sleep(0.2)");
  }
}

TEST_F(RmPostgresql, ASilentHostIsPassedOver) {
  std::pair<OwnedFd, uint16_t> silent = ListenTcp({"127.0.0.1", 0}).value();  // accepts, and says nothing
  const std::string port =
      dsn_.substr(dsn_.find("port=") + 5, dsn_.find(' ', dsn_.find("port=")) - dsn_.find("port=") - 5);
  Target target = TargetOf("host=127.0.0.1,127.0.0.1 port=" + std::to_string(silent.second) + "," + port +
                           " dbname=app user=assent_rec target_session_attrs=read-write");
  target.connect_timeout_ms = 4'000;
  const auto manager = MakePostgresql(target);
  const Status opened = manager->Open();
  EXPECT_TRUE(opened.ok()) << opened.ToString();
}

TEST_F(RmPostgresql, WhatTheDatabasesOwnerPutsInTheWayIsNotCalled) {
  super_.Sql("CREATE SCHEMA trap");
  super_.Sql("CREATE FUNCTION trap.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true'");
  super_.Sql("GRANT USAGE ON SCHEMA trap TO PUBLIC");
  super_.Sql("ALTER ROLE assent_rec SET search_path = trap, pg_catalog");
  EXPECT_TRUE(MakePostgresql(TargetOf(dsn_))->Open().ok());
  super_.Sql("ALTER ROLE assent_rec RESET search_path");
}

TEST_F(RmPostgresql, PrepareIsTheApplications) {
  const ForeignReply reply = Call(*manager_, ForeignVerb::kPrepare, Txn(71));
  EXPECT_TRUE(reply.reached);
  EXPECT_EQ(reply.vote, Vote::kNo);
  EXPECT_NE(reply.detail.find("enlist it"), std::string::npos);
}

TEST_F(RmPostgresql, SaysWhyItCannotConnect) {
  const auto why = [](const std::string& dsn) { return MakePostgresql(TargetOf(dsn))->Open().message(); };
  EXPECT_NE(why(dsn_ + " user=nobody_at_all").find("nobody_at_all"), std::string::npos);
  EXPECT_NE(why(dsn_ + " dbname=nothing").find("\"nothing\" does not exist"), std::string::npos);
  EXPECT_NE(why("host=127.0.0.1 port=1").find("Connection refused"), std::string::npos);
  EXPECT_EQ(CheckPostgresql(TargetOf("host")).code(), StatusCode::kInvalid);
  EXPECT_NE(CheckPostgresql(TargetOf("password=secret")).message().find("goes into password_file"),
            std::string::npos);
  EXPECT_NE(CheckPostgresql(TargetOf("")).message().find("reached by a dsn"), std::string::npos);
  EXPECT_TRUE(CheckPostgresql(TargetOf(dsn_)).ok());
  EXPECT_EQ(CheckPostgresql(TargetOf("hots=a")).message(), "dsn: invalid connection option \"hots\"");
}

// Last, since the servers are others afterwards: the standby is promoted.
TEST_F(RmPostgresql, ZPromotion) {  // F11
  Session standby(Environment("STANDBY_SUPER"));
  const std::string standby_dsn = Environment("STANDBY");
  EXPECT_NE(MakePostgresql(TargetOf(standby_dsn))->Open().message().find("is a standby"), std::string::npos);

  Target target = TargetOf(dsn_);
  ASSERT_TRUE(MakePostgresql(target)->Open().ok());
  // This one never reaches the standby, which then has other transactions of the same numbers.
  standby.Sql("SELECT pg_wal_replay_pause()");
  const std::string evidence = app_.Prepare(ToString(XidFor(Txn(81))), 81);
  standby.Sql("SELECT pg_wal_replay_resume()");
  standby.Sql("SELECT pg_promote()");
  target.dsn = standby_dsn;
  const auto promoted = MakePostgresql(target);
  ASSERT_TRUE(promoted->Open().ok()) << "the same server, of a later timeline";
  const ForeignReply reply = Call(*promoted, ForeignVerb::kRecover, {});
  EXPECT_TRUE(reply.reached) << reply.detail;
  ExpectAnswer(Call(*promoted, ForeignVerb::kCommit, Txn(82), evidence), ForeignAnswer::kAbsent,
               "timeline 1");

  target.dsn = dsn_;  // the old primary, which is still there
  const Status old = MakePostgresql(target)->Open();
  EXPECT_EQ(old.code(), StatusCode::kForeign);
  EXPECT_NE(old.message().find("old primary that came back"), std::string::npos) << old.message();
}

}  // namespace
}  // namespace assent::rm
