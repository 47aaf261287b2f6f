// Validation, splitting over shards, merging of results, content hashes.
#include <gtest/gtest.h>

#include "coordinator/requests.h"
#include "coordinator_testing.h"

namespace assent::coordinator {
namespace {

void ExpectProblem(const Operation& bad, const std::string& words) {
  const auto problem = ProblemOf(std::vector<Operation>{GetOp{"fine"}, bad});
  ASSERT_TRUE(problem.has_value()) << words;
  EXPECT_NE(problem->find("operation 2:"), std::string::npos) << *problem;  // names which
  EXPECT_NE(problem->find(words), std::string::npos) << *problem;
}

TEST(CoordinatorRequests, BadOperationsAreNamed) {
  ExpectProblem(GetOp{""}, "key is empty");
  ExpectProblem(PutOp{std::string(1'025, 'k'), ""}, "at most 1024");
  ExpectProblem(ScanOp{std::string(1'025, 'k'), 0}, "prefix");
  ExpectProblem(PutOp{"k", std::string(kValueBytesMax + 1, 'v')}, "at most 262144");
  ExpectProblem(CheckOp{"k", CheckKind::kValue, std::string(kValueBytesMax + 1, 'v'), 0}, "value");
  ExpectProblem(ScanOp{"k", 5'000}, "4096 rows");
  ExpectProblem(ScanOp{"k", 0, "j"}, "does not start with the prefix");
  ExpectProblem(ScanOp{"k", 0, std::string(1'025, 'k')}, "longer than 1,024");
  ExpectProblem(CheckOp{"k", static_cast<CheckKind>(9), "", 0}, "kind of check");
}

TEST(CoordinatorRequests, LimitsThemselvesAreAllowed) {
  EXPECT_FALSE(ProblemOf(std::vector<Operation>{
                             PutOp{std::string(kKeyBytesMax, 'k'), std::string(kValueBytesMax, 'v')},
                             ScanOp{"", static_cast<uint32_t>(kScanRowsMax)},
                             ScanOp{"k", 0, std::string(kKeyBytesMax, 'k')}, ScanOp{"k", 0, "k"}})
                   .has_value());
  EXPECT_FALSE(ProblemOfBranch(kS1, kBranchBytesMax, kBranchOperationsMax).has_value());
  EXPECT_TRUE(ProblemOfBranch(kS1, kBranchBytesMax + 1, 1).has_value());
  EXPECT_TRUE(ProblemOfBranch(kS1, 1, kBranchOperationsMax + 1).has_value());
}

TEST(CoordinatorRequests, ForeignWorkIsChecked) {
  const std::vector<std::string> known = {"bank", "post"};
  EXPECT_FALSE(ProblemOf({{"bank", "x"}, {"post", "y"}}, known, 4).has_value());
  EXPECT_NE(ProblemOf({{"mars", "x"}}, known, 4)->find("mars"), std::string::npos);
  EXPECT_NE(ProblemOf({{"bank", "x"}, {"bank", "y"}}, known, 4)->find("twice"), std::string::npos);
  EXPECT_TRUE(ProblemOf({{"bank", std::string(kValueBytesMax + 1, 'x')}}, known, 4).has_value());
  EXPECT_TRUE(ProblemOf({{"bank", "x"}, {"post", "y"}}, known, 1).has_value());
}

TEST(CoordinatorRequests, SplitKeepsOrderAndSendsScansToAll) {
  const SplitRequest split = Split(
      {PutOp{KeyOn(kS2), "1"}, ScanOp{"k", 7}, PutOp{KeyOn(kS1), "2"}, GetOp{KeyOn(kS2, 1)}}, ThreeShards());
  ASSERT_EQ(split.parts.size(), 3u);
  EXPECT_EQ(split.parts[0].shard, kS1);
  EXPECT_EQ(split.parts[0].operations.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<ScanOp>(split.parts[0].operations[0]));
  EXPECT_EQ(split.parts[1].operations.size(), 3u);
  EXPECT_TRUE(split.parts[1].writing);
  EXPECT_EQ(split.parts[2].operations.size(), 1u);
  EXPECT_FALSE(split.parts[2].writing);
  ASSERT_EQ(split.plan.steps.size(), 4u);
  EXPECT_EQ(split.plan.steps[1].count, 3u);
}

TEST(CoordinatorRequests, TaggedScanGoesToOneShard) {
  EXPECT_EQ(Split({ScanOp{"{alice}/", 0}}, ThreeShards()).parts.size(), 1u);
}

OperationResult Rows(const std::vector<std::string>& keys, bool truncated = false) {
  OperationResult result;
  for (const std::string& key : keys) result.rows.push_back({key, "v", 1});
  result.truncated = truncated;
  return result;
}
std::string KeysOf(const OperationResult& result) {
  std::string keys;
  for (const ResultRow& row : result.rows) keys += row.key;
  return keys;
}

TEST(CoordinatorRequests, MergedScanIsInKeyOrderAndCut) {
  const SplitRequest split = Split({ScanOp{"", 4}}, ThreeShards());
  const auto merged = Merge(split.plan, {{Rows({"a", "d"})}, {Rows({"b", "e"})}, {Rows({"c"})}});
  ASSERT_EQ(merged.size(), 1u);
  EXPECT_EQ(KeysOf(merged[0]), "abcd");
  EXPECT_TRUE(merged[0].truncated);
  EXPECT_FALSE(Merge(split.plan, {{Rows({"a"})}, {Rows({})}, {Rows({"c"})}})[0].truncated);
}

TEST(CoordinatorRequests, MergedScanEndsWhereATruncatedPartEnds) {  // or a gap would go unseen
  const SplitRequest split = Split({ScanOp{"", 100}}, ThreeShards());
  const auto merged =
      Merge(split.plan, {{Rows({"a", "d"}, true)}, {Rows({"b", "z"})}, {Rows({"c", "e"}, true)}});
  EXPECT_EQ(KeysOf(merged[0]), "abcd");
  EXPECT_TRUE(merged[0].truncated);
  EXPECT_EQ(KeysOf(Merge(split.plan, {{Rows({}, true)}, {Rows({"b"})}, {Rows({"c"})}})[0]), "");
}

// Shards of one node or several: what each keeps within one answer, all of them together may not. So an audit
// of everything is cut, not aborted, and goes on where it was cut.
TEST(CoordinatorRequests, MergedScanOverTheBytesIsCutAndCanGoOn) {
  const std::string value(100 * 1024, 'v');
  std::vector<std::vector<std::string>> at(3);
  std::vector<std::string> all;
  for (int i = 0; i < 36; ++i) {
    all.push_back("key" + std::to_string(100 + i));
    at[static_cast<size_t>(i) % 3].push_back(all.back());
  }
  std::vector<std::string> read;
  for (int pages = 1;; ++pages) {
    ASSERT_LE(pages, 4);
    const ScanOp scan{"key", 0, read.empty() ? "" : read.back()};
    ASSERT_FALSE(ProblemOf(std::vector<Operation>{scan}).has_value());
    const SplitRequest split = Split({scan}, ThreeShards());
    ASSERT_EQ(split.parts.size(), 3u);
    std::vector<std::vector<OperationResult>> parts(3);
    for (size_t shard = 0; shard < 3; ++shard) {
      EXPECT_EQ(std::get<ScanOp>(split.parts[shard].operations[0]).after, scan.after);
      OperationResult& part = parts[shard].emplace_back();
      for (const std::string& key : at[shard]) {
        if (key > scan.after) part.rows.push_back({key, value, 1});
      }
    }
    const auto merged = Merge(split.plan, parts);
    ASSERT_EQ(merged.size(), 1u);
    EXPECT_LE(SizeOf(merged), kResultBytesMax);
    for (const ResultRow& row : merged[0].rows) read.push_back(row.key);
    if (!merged[0].truncated) break;
    EXPECT_EQ(merged[0].rows.size(), 15u);
  }
  EXPECT_EQ(read, all);
}

TEST(CoordinatorRequests, MergedScanLeavesRoomForWhatWasReadBeforeIt) {
  OperationResult big;
  for (int i = 0; i < 10; ++i) big.rows.push_back({"a", std::string(100 * 1024, 'v'), 1});
  const SplitRequest split = Split({ScanOp{"{a}", 0}, ScanOp{"", 0}}, ThreeShards());
  std::vector<std::vector<OperationResult>> parts(3, {big});
  const size_t tagged = split.plan.sources[0].part;
  parts[tagged].push_back(big);
  const auto merged = Merge(split.plan, parts);
  EXPECT_EQ(merged[0].rows.size(), 10u);
  EXPECT_FALSE(merged[0].truncated);
  EXPECT_EQ(merged[1].rows.size(), 5u);
  EXPECT_TRUE(merged[1].truncated);
}

TEST(CoordinatorRequests, RowsCountAsMuchAsTheyTake) {  // G8: in memory, which is more than on the wire
  OperationResult many;
  many.rows.resize(4'096);
  EXPECT_GE(SizeOf(std::vector<OperationResult>{many}), 4'096 * sizeof(ResultRow));
}

TEST(CoordinatorRequests, ContentTellsRequestsApart) {
  const std::vector<std::vector<Operation>> requests = {
      {},
      {GetOp{"a"}},
      {GetOp{"b"}},
      {DeleteOp{"a"}},
      {PutOp{"a", ""}},
      {PutOp{"a", "b"}},
      {PutOp{"ab", ""}},
      {CheckOp{"a", CheckKind::kExists, "", 0}},
      {CheckOp{"a", CheckKind::kAbsent, "", 0}},
      {CheckOp{"a", CheckKind::kVersion, "", 1}},
      {AddOp{"a", 1, {}}},
      {AddOp{"a", 1, 0}},
      {AddOp{"a", -1, 0}},
      {ScanOp{"a", 0}},
      {ScanOp{"a", 1}},
      {ScanOp{"a", 0, "a"}},
      {ScanOp{"a", 0, "ab"}},
      {GetOp{"a"}, GetOp{"b"}},
      {GetOp{"b"}, GetOp{"a"}},
  };
  std::set<uint64_t> hashes;
  for (const auto& operations : requests) {
    hashes.insert(ContentOf(operations, {}));
    hashes.insert(ContentOf(operations, {{"bank", "x"}}));
    EXPECT_EQ(ContentOf(operations, {}), ContentOf(operations, {}));
  }
  EXPECT_EQ(hashes.size(), 2 * requests.size());
  EXPECT_NE(ContentOf(TxnId{kGroup, Epoch{1}, 1}, {}), ContentOf(TxnId{kGroup, Epoch{1}, 2}, {}));
  // Fixed for ever: it is in the log.
  EXPECT_EQ(ContentOf(std::vector<Operation>{PutOp{"a", "b"}}, {}), 9115761889743894572u);
}

TEST(CoordinatorRequests, BadRequestsAreRefusedWithWords) {
  Harness h;
  Execute request;
  request.tag = h.Tag(1);
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(request)).code, RefusalCode::kInvalid);
  request.operations = {GetOp{""}};
  EXPECT_NE(h.AnswerTo<Refusal>(h.Call(request)).detail.find("operation 1"), std::string::npos);
  request.operations = {GetOp{"k"}};
  request.foreign = {{"mars", ""}};
  EXPECT_EQ(h.AnswerTo<Refusal>(h.Call(request)).code, RefusalCode::kInvalid);
  request.foreign.clear();
  request.operations.clear();
  for (int i = 0; i < 5; ++i)
    request.operations.push_back(PutOp{KeyOn(kS1, i), std::string(250 * 1024, 'x')});
  EXPECT_NE(h.AnswerTo<Refusal>(h.Call(request)).detail.find("shard s1"), std::string::npos);
  EXPECT_EQ(h.SendCount(), 0u);
  EXPECT_EQ(h.core->live_count(), 0u);
}

}  // namespace
}  // namespace assent::coordinator
