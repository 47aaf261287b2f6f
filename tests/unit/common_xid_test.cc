// Ids of branches at resource managers: what they look like, and that nothing else is taken for one.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/base64.h"
#include "common/xid.h"

namespace assent {
namespace {

constexpr const char* kUuid = "7B0C5a1e-0123-4567-89ab-cdef01234567";
constexpr const char* kDigits = "7b0c5a1e0123456789abcdef01234567";

TxnId Txn(uint16_t group, uint64_t epoch, uint64_t seq) {
  return TxnId{GroupId{GroupKind::kCoordinator, group}, Epoch{epoch}, seq};
}

BranchXid Orders() {
  return BranchXid{ClusterDigits(kUuid), Txn(1, 215'000'123, 0x93e4), "orders", 1};
}

// The longest of each part.
BranchXid Longest() {
  return BranchXid{kDigits, Txn(65'535, kXidEpochMax, kXidSeqMax), std::string(kManagerNameBytesMax, 'n'),
                   UINT32_MAX};
}

TEST(Base64, PrintsAndParsesWhatItPrints) {
  const std::map<std::string, std::string> cases = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}, {"\xff\xfe", "//4="}};
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(Base64(bytes), text);
    EXPECT_EQ(ParseBase64(text), bytes);
  }
}

TEST(Base64, NothingElseIsParsed) {
  for (const char* text : {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z-==", " Zg==", "Zg==\n", "=",
                           "====", "Zg==Zg==", "Zm9vYg", "Zm\n9v"}) {
    EXPECT_EQ(ParseBase64(text), std::nullopt) << text;
  }
}

TEST(Xid, SaysClusterTransactionAndBranch) {
  const Xid xid = XidOf(Orders());
  EXPECT_EQ(xid.format_id, ('A' << 24) + ('S' << 16) + ('N' << 8) + 'T');
  EXPECT_EQ(xid.gtrid, "7b0c5a1e0123456789abcdef01234567.c1.cd0a43b.93e4");
  EXPECT_EQ(xid.bqual, "orders.1");
  EXPECT_EQ(ToString(xid),
            "1095978580_N2IwYzVhMWUwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1NjcuYzEuY2QwYTQzYi45M2U0_b3JkZXJzLjE=");
}

// PostgreSQL takes 199 bytes.
TEST(Xid, LongestFitsEverywhere) {
  const Xid xid = XidOf(Longest());
  EXPECT_EQ(xid.gtrid.size(), kXidPartBytesMax);
  EXPECT_LE(xid.bqual.size(), kXidPartBytesMax);
  EXPECT_LE(ToString(xid).size(), 188u);
}

TEST(Xid, IsParsedBack) {
  for (const char* name : {"orders", "o", "a.1", "a.b.c", ".", "-_", "A9"}) {
    BranchXid branch = Orders();
    branch.resource_manager = name;
    EXPECT_EQ(ParseXid(XidOf(branch)), branch) << name;
    EXPECT_EQ(ParseXid(ToString(XidOf(branch))), branch) << name;
  }
  EXPECT_EQ(ParseXid(XidOf(Longest())), Longest());
}

TEST(Xid, OfTwoBranchesAreNeverTheSame) {
  std::set<std::string> all;
  size_t count = 0;
  for (const TxnId& txn : {Txn(1, 2, 0x34), Txn(12, 3, 4), Txn(1, 0x23, 4), Txn(1, 2, 3)}) {
    for (const char* name : {"a", "a.1", "a1"}) {
      for (const uint32_t number : {1u, 11u}) {
        const Xid xid = XidOf({kDigits, txn, name, number});
        all.insert(xid.gtrid + "\n" + xid.bqual);
        ++count;
      }
    }
  }
  EXPECT_EQ(all.size(), count);
}

TEST(Xid, WhatWeDoNotWriteIsSomebodyElses) {
  const Xid ours = XidOf(Orders());
  std::vector<Xid> others(20, ours);
  size_t i = 0;
  others[i++].format_id = 1;
  others[i++].gtrid = "";
  others[i++].bqual = "";
  others[i++].gtrid += "0";
  others[i - 1].gtrid.insert(0, " ");
  others[i++].gtrid.replace(0, 1, "A");                            // upper case
  others[i++].gtrid.erase(0, 1);                                   // a digit is missing
  others[i++].gtrid = std::string(kDigits) + ".s1.cd0a43b.93e4";   // a shard
  others[i++].gtrid = std::string(kDigits) + ".c01.cd0a43b.93e4";  // leading zeros
  others[i++].gtrid = std::string(kDigits) + ".c1.0cd0a43b.93e4";
  others[i++].gtrid = std::string(kDigits) + ".c1.cd0a43b.093e4";
  others[i++].gtrid = std::string(kDigits) + ".c1.cd0a43b.93E4";
  others[i++].gtrid = std::string(kDigits) + ".c1.cd0a43b.0";           // no transaction
  others[i++].gtrid = std::string(kDigits) + ".c1.cd0a43b.93e4.1";      // one part more
  others[i++].gtrid = std::string(kDigits) + ".c1.100000000.93e4";      // an epoch of 33 bits
  others[i++].gtrid = std::string(kDigits) + ".c1.1.1000000000000000";  // a sequence of 61
  others[i++].bqual = "orders";
  others[i++].bqual = "orders.0";
  others[i++].bqual = "orders.01";
  others[i++].bqual = "or ders.1";
  others[i++].bqual = std::string(kManagerNameBytesMax + 1, 'n') + ".1";
  ASSERT_EQ(i, others.size());
  for (const Xid& xid : others) EXPECT_EQ(ParseXid(xid), std::nullopt) << xid.gtrid << " " << xid.bqual;

  const std::string text = ToString(ours);
  for (const std::string& other :
       {std::string(), "0" + text, text + "=", text + "_", " " + text, text.substr(1), text.substr(0, 20),
        std::string("1095978580__"), std::string("1_Zg==_Zg=="), std::string("somebody's")}) {
    EXPECT_EQ(ParseXid(other), std::nullopt) << other;
  }
}

TEST(Xid, ManagersHaveNamesThatFit) {
  EXPECT_TRUE(IsManagerName("a"));
  EXPECT_TRUE(IsManagerName("orders-2_x.Y"));
  EXPECT_TRUE(IsManagerName(std::string(kManagerNameBytesMax, 'n')));
  for (const std::string& name :
       {std::string(), std::string(kManagerNameBytesMax + 1, 'n'), std::string("a b"), std::string("a/b"),
        std::string("gr\xc3\xbc"
                    "n")}) {
    EXPECT_FALSE(IsManagerName(name)) << name;
  }
}

}  // namespace
}  // namespace assent
