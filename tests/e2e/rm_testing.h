#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "common/xid.h"
#include "rm/resource_manager.h"
#include "rm/seen_server.h"

// Shared by the checks of database kinds, which rm_databases_test.py runs against servers that it starts.
namespace assent::rm {

inline constexpr GroupId kC1{GroupKind::kCoordinator, 1};
inline const std::string kCluster = "01234567-89ab-cdef-0123-456789abcdef";

// What the Python side says of its servers.
inline std::string Environment(const std::string& name) {
  const char* value = std::getenv(("ASSENT_RM_" + name).c_str());
  EXPECT_NE(value, nullptr) << name << ": run rm_databases_test.py";
  return value == nullptr ? "" : value;
}

inline Target TargetOf(std::string dsn) {
  return {.cluster = kCluster,
          .name = "orders",
          .dsn = std::move(dsn),
          .seen = std::make_shared<SeenServer>(),
          .connect_timeout_ms = 10'000,  // a busy machine
          .timeout_ms = 10'000,
          .recovered_max = 1'000};
}

inline TxnId Txn(uint64_t seq) {
  return TxnId{kC1, Epoch{0x1f2e3d}, seq};
}

// Of the branch of `orders` in it.
inline Xid XidFor(const TxnId& txn, const std::string& name = "orders",
                  const std::string& cluster = kCluster) {
  return XidOf({ClusterDigits(cluster), txn, name, 1});
}

// One call, over a connection that must open.
inline ForeignReply Call(ResourceManager& manager, ForeignVerb verb, const TxnId& txn,
                         const std::string& evidence = "", const std::string& holder = "") {
  CallForeign call{"orders", verb, txn};
  call.evidence = evidence;
  call.holder = holder;
  ForeignReply reply;
  reply.verb = verb;
  const Status opened = manager.Open();
  EXPECT_TRUE(opened.ok()) << opened.ToString();
  if (!opened.ok()) return reply;
  if (verb == ForeignVerb::kPrepare) manager.Prepare(call, reply);
  if (verb == ForeignVerb::kCommit) manager.Commit(call, reply);
  if (verb == ForeignVerb::kRollback) manager.Rollback(call, reply);
  if (verb == ForeignVerb::kRecover) manager.Recover(kC1, reply);
  return reply;
}

inline void ExpectAnswer(const ForeignReply& reply, ForeignAnswer answer, const std::string& part = "") {
  EXPECT_TRUE(reply.reached) << reply.detail;
  EXPECT_EQ(reply.answer, answer) << reply.detail;
  EXPECT_NE(reply.detail.find(part), std::string::npos) << reply.detail;
}

inline void ExpectNotReached(const ForeignReply& reply, const std::string& part) {
  EXPECT_FALSE(reply.reached) << reply.detail;
  EXPECT_NE(reply.detail.find(part), std::string::npos) << reply.detail;
}

}  // namespace assent::rm
