// rm/mariadb against a real server.
#include <mysql.h>

#include <string>
#include <vector>

#include "rm/mariadb.h"
#include "rm_testing.h"

namespace assent::rm {
namespace {

// A session of somebody else.
class Session {
 public:
  explicit Session(const std::string& user) : connection_(mysql_init(nullptr), mysql_close) {
    EXPECT_NE(mysql_real_connect(connection_.get(), nullptr, user.c_str(), nullptr, "app", 0,
                                 Environment("SOCKET").c_str(), 0),
              nullptr)
        << mysql_error(connection_.get());
  }
  // The first cell, or nothing.
  std::string Sql(const std::string& sql) {
    EXPECT_EQ(mysql_query(connection_.get(), sql.c_str()), 0)
        << sql << ": " << mysql_error(connection_.get());
    const std::unique_ptr<MYSQL_RES, void (*)(MYSQL_RES*)> result(mysql_store_result(connection_.get()),
                                                                  mysql_free_result);
    MYSQL_ROW row = result ? mysql_fetch_row(result.get()) : nullptr;
    return row == nullptr || row[0] == nullptr ? "" : row[0];
  }
  // Prepares a branch that writes a row (or none); this connection holds it.
  void Prepare(const Xid& xid, uint64_t row, bool write = true) {
    const std::string id = Literal(xid);
    Sql("XA START " + id);
    Sql(write ? "INSERT INTO rows_ VALUES (" + std::to_string(row) + ")" : "SELECT * FROM rows_ FOR UPDATE");
    Sql("XA END " + id);
    Sql("XA PREPARE " + id);
  }
  std::string Id() { return Sql("SELECT CONNECTION_ID()"); }
  bool HasRow(uint64_t row) {
    return Sql("SELECT count(*) FROM rows_ WHERE id = " + std::to_string(row)) == "1";
  }

  static std::string Literal(const Xid& xid) {
    return "'" + xid.gtrid + "','" + xid.bqual + "'," + std::to_string(xid.format_id);
  }

 private:
  std::unique_ptr<MYSQL, void (*)(MYSQL*)> connection_;
};

class RmMariadb : public testing::Test {
 protected:
  // The branch stays, its connection does not.
  void PrepareAndLeave(const Xid& xid, uint64_t row, bool write = true) {
    std::string id;
    {
      Session session("app");
      id = session.Id();
      session.Prepare(xid, row, write);
    }
    while (root_.Sql("SELECT count(*) FROM information_schema.processlist WHERE id = " + id) != "0") {
    }
  }

  const std::string dsn_ = "unix_socket=" + Environment("SOCKET") + " user=assent_rec";
  Session root_{"root"};
  std::unique_ptr<ResourceManager> manager_ = MakeMariadb(TargetOf(dsn_));
};

TEST_F(RmMariadb, EndsBranchesWhoseConnectionsAreGone) {  // F6
  PrepareAndLeave(XidFor(Txn(1)), 1);
  PrepareAndLeave(XidFor(Txn(2)), 2);
  ExpectAnswer(Call(*manager_, ForeignVerb::kCommit, Txn(1)), ForeignAnswer::kDone);
  ExpectAnswer(Call(*manager_, ForeignVerb::kRollback, Txn(2)), ForeignAnswer::kDone);
  EXPECT_TRUE(root_.HasRow(1));
  EXPECT_FALSE(root_.HasRow(2));
  ExpectAnswer(Call(*manager_, ForeignVerb::kCommit, Txn(1)), ForeignAnswer::kAbsent, "keeps no record");
  ExpectAnswer(Call(*manager_, ForeignVerb::kRollback, Txn(1)), ForeignAnswer::kAbsent, "keeps no record");
}

TEST_F(RmMariadb, WhoHoldsABranchIsEndedThenTheBranchIs) {  // F6
  for (const ForeignVerb verb : {ForeignVerb::kCommit, ForeignVerb::kRollback}) {
    const TxnId txn = Txn(verb == ForeignVerb::kCommit ? 11 : 12);
    Session app("app");
    const std::string id = app.Id();
    app.Prepare(XidFor(txn), txn.seq);
    // Without knowing who holds it: it is there, so it is not "absent".
    ExpectAnswer(Call(*manager_, verb, txn), ForeignAnswer::kBusy, "holds it");
    ExpectAnswer(Call(*manager_, verb, txn, "", id), ForeignAnswer::kBusy, "was ended");
    ForeignReply reply;
    do {
      reply = Call(*manager_, verb, txn, "", id);
    } while (reply.reached && reply.answer == ForeignAnswer::kBusy);
    ExpectAnswer(reply, ForeignAnswer::kDone);
    EXPECT_EQ(root_.HasRow(txn.seq), verb == ForeignVerb::kCommit);
  }
}

TEST_F(RmMariadb, WithoutTheRightToEndConnectionsItWaits) {
  Session app("app");
  const std::string id = app.Id();
  app.Prepare(XidFor(Txn(15)), 15);
  const auto weak = MakeMariadb(TargetOf("unix_socket=" + Environment("SOCKET") + " user=weak"));
  ExpectAnswer(Call(*weak, ForeignVerb::kCommit, Txn(15), "", id), ForeignAnswer::kBusy, "You are not owner");
  app.Sql("XA COMMIT " + Session::Literal(XidFor(Txn(15))));  // its own connection may
  ExpectAnswer(Call(*weak, ForeignVerb::kCommit, Txn(15), "", id), ForeignAnswer::kAbsent);
}

TEST_F(RmMariadb, ABranchThatChangedNothingContradictsItsCommit) {
  PrepareAndLeave(XidFor(Txn(21)), 0, false);
  ExpectAnswer(Call(*manager_, ForeignVerb::kCommit, Txn(21)), ForeignAnswer::kContradicted, "XA_RBROLLBACK");
}

TEST_F(RmMariadb, ABackupsLockMakesItBusy) {
  PrepareAndLeave(XidFor(Txn(25)), 25);
  root_.Sql("SET GLOBAL lock_wait_timeout = 1");
  const auto hasty = MakeMariadb(TargetOf(dsn_));
  ASSERT_TRUE(hasty->Open().ok());
  root_.Sql("FLUSH TABLES WITH READ LOCK");
  ExpectAnswer(Call(*hasty, ForeignVerb::kCommit, Txn(25)), ForeignAnswer::kBusy, "Lock wait timeout");
  root_.Sql("UNLOCK TABLES");
  root_.Sql("SET GLOBAL lock_wait_timeout = 86400");
  ExpectAnswer(Call(*hasty, ForeignVerb::kCommit, Txn(25)), ForeignAnswer::kDone);
}

TEST_F(RmMariadb, AStatementThatHangsEndsInTimeOrAtOnce) {
  PrepareAndLeave(XidFor(Txn(27)), 27);
  Target target = TargetOf(dsn_);
  target.timeout_ms = 1'000;
  const auto hasty = MakeMariadb(target);
  ASSERT_TRUE(hasty->Open().ok());
  root_.Sql("FLUSH TABLES WITH READ LOCK");
  const ForeignReply late = Call(*hasty, ForeignVerb::kCommit, Txn(27));
  ExpectNotReached(late, "no answer within 1000 ms");
  EXPECT_FALSE(late.unsent);
  hasty->Interrupt();
  EXPECT_FALSE(hasty->Open().ok());
  root_.Sql("UNLOCK TABLES");
  ForeignReply reply;
  do {  // the call that was given up may still be under way
    reply = Call(*manager_, ForeignVerb::kCommit, Txn(27));
  } while (reply.reached && reply.answer == ForeignAnswer::kBusy);
  EXPECT_TRUE(reply.answer == ForeignAnswer::kDone || reply.answer == ForeignAnswer::kAbsent) << reply.detail;
  EXPECT_TRUE(root_.HasRow(27));
}

TEST_F(RmMariadb, ListsItsOwnAndTouchesNoOther) {  // F9
  const TxnId other_group{GroupId{GroupKind::kCoordinator, 2}, Epoch{1}, 32};
  const std::vector<Xid> others = {XidFor(other_group), XidFor(Txn(33), "stock"),
                                   XidFor(Txn(34), "orders", "ffffffff-89ab-cdef-0123-456789abcdef"),
                                   Xid{1, XidFor(Txn(35)).gtrid, XidFor(Txn(35)).bqual},
                                   Xid{kXidFormat, "x", ""}};
  for (size_t i = 0; i < others.size(); ++i) PrepareAndLeave(others[i], 330 + i);
  PrepareAndLeave(XidFor(Txn(37)), 37);
  PrepareAndLeave(XidFor(Txn(36)), 36);
  const ForeignReply listed = Call(*manager_, ForeignVerb::kRecover, {});
  EXPECT_TRUE(listed.reached) << listed.detail;
  EXPECT_EQ(listed.prepared, (std::vector<TxnId>{Txn(36), Txn(37)}));
  for (const uint64_t seq : {36u, 37u}) {
    ExpectAnswer(Call(*manager_, ForeignVerb::kRollback, Txn(seq)), ForeignAnswer::kDone);
  }
  for (const Xid& xid : others)
    root_.Sql("XA ROLLBACK " + Session::Literal(xid));  // fails if it is not there
}

TEST_F(RmMariadb, OneScansAtATime) {  // F10
  const auto clone = MakeMariadb(TargetOf(dsn_));
  EXPECT_TRUE(Call(*manager_, ForeignVerb::kRecover, {}).reached);
  EXPECT_TRUE(Call(*manager_, ForeignVerb::kRecover, {}).reached);
  ExpectNotReached(Call(*clone, ForeignVerb::kRecover, {}), "another session scans");
  manager_->Rest();
  ForeignReply reply;
  do {
    reply = Call(*clone, ForeignVerb::kRecover, {});
  } while (!reply.reached);
}

TEST_F(RmMariadb, AnotherResourceManagerOfTheServerIsScannedBeside) {  // F10
  Target other = TargetOf(dsn_);
  other.name = std::string(kManagerNameBytesMax, 's');
  const auto stock = MakeMariadb(other);
  EXPECT_TRUE(Call(*manager_, ForeignVerb::kRecover, {}).reached);
  EXPECT_TRUE(Call(*stock, ForeignVerb::kRecover, {}).reached);
}

TEST_F(RmMariadb, OnlyTheServerThatIsMeant) {  // F11
  EXPECT_TRUE(MakeMariadb(TargetOf(dsn_ + " server_ids=7,1"))->Open().ok());
  EXPECT_EQ(MakeMariadb(TargetOf(dsn_ + " server_ids=7,11"))->Open().code(), StatusCode::kForeign);
  Target target = TargetOf(dsn_);
  ASSERT_TRUE(MakeMariadb(target)->Open().ok());
  root_.Sql("SET GLOBAL server_id = 9");
  const Status other = MakeMariadb(target)->Open();
  EXPECT_EQ(other.code(), StatusCode::kForeign) << other.ToString();
  root_.Sql("SET GLOBAL server_id = 1");
  ASSERT_TRUE(manager_->Open().ok());
  root_.Sql("SET GLOBAL read_only = 1");  // a switch of roles leaves sessions as they are
  EXPECT_NE(manager_->Open().message().find("is read-only"), std::string::npos);
  EXPECT_NE(MakeMariadb(target)->Open().message().find("is read-only"), std::string::npos);
  root_.Sql("SET GLOBAL read_only = 0");
}

TEST_F(RmMariadb, SaysWhyItCannotConnect) {
  const auto why = [](const std::string& dsn) { return MakeMariadb(TargetOf(dsn))->Open().message(); };
  EXPECT_NE(why("unix_socket=" + Environment("SOCKET") + " user=nobody_at_all").find("Access denied"),
            std::string::npos);
  EXPECT_NE(why("host=127.0.0.1 port=1 user=a").find("connect to"), std::string::npos);
  EXPECT_NE(CheckMariadb(TargetOf("hots=a")).message().find("\"hots\": it may have host"), std::string::npos);
  EXPECT_EQ(CheckMariadb(TargetOf("port=70000")).code(), StatusCode::kInvalid);
  EXPECT_EQ(CheckMariadb(TargetOf("port=x")).code(), StatusCode::kInvalid);
  EXPECT_NE(CheckMariadb(TargetOf("")).message().find("reached by a dsn"), std::string::npos);
  EXPECT_TRUE(CheckMariadb(TargetOf("port=65535 host=a")).ok());
}

}  // namespace
}  // namespace assent::rm
