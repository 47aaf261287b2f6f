#include "thrift_samples.h"

namespace assent::samples {
namespace {

std::string Words(Random& random) {
  return std::string(Upto(random, 20), 'x');
}

GroupId Shard(Random& random) {
  return {GroupKind::kShard, static_cast<uint16_t>(random())};
}

AbortReason Reason(Random& random) {
  return static_cast<AbortReason>(Upto(random, Raw(RangeOf(AbortReason{}).second)));
}

std::vector<ForeignWork> Foreign(Random& random) {
  std::vector<ForeignWork> out(Upto(random, 3));
  for (auto& one : out) {
    one = {Bytes(random, 1, 20), Bytes(random, 0, 60)};
    if (Coin(random)) continue;
    one = {Bytes(random, 1, 20),
           "",
           static_cast<Vote>(1 + Upto(random, 2)),
           static_cast<uint32_t>(1 + Upto(random, 3)),
           Bytes(random, 0, 128),
           Bytes(random, 0, 128)};
  }
  return out;
}

std::vector<std::string> Names(Random& random) {
  std::vector<std::string> names(Upto(random, 3));
  for (std::string& name : names) name = Bytes(random, 1, 128);
  return names;
}

}  // namespace

Age RandomAge(Random& random) {
  return {Big(random) + 1, RandomTxn(random)};
}

CommitTag RandomTag(Random& random) {
  return {RandomToken(random), Epoch{Big(random) + 1}, static_cast<uint32_t>(1 + Upto(random, 9)),
          Big(random)};
}

ClientRequest RandomRequest(size_t type, Random& random) {
  switch (type) {
    case 0:
      return OpenSession{};
    case 1:
      return Execute{RandomTag(random), RandomOperations(random), Foreign(random),
                     Coin(random) ? RandomAge(random) : Age{}};
    case 2:
      return Begin{Coin(random) ? RandomAge(random) : Age{}, 1'000 * Upto(random, 60'000),
                   1'000 * Upto(random, 60'000), Names(random)};
    case 3: {
      Work work{RandomTxn(random), RandomOperations(random), Big(random)};
      if (work.operations.empty()) work.operations.emplace_back(GetOp{"k"});
      return work;
    }
    case 4: {
      Commit commit{RandomTag(random), RandomTxn(random), Foreign(random), {}, Big(random)};
      commit.txn.coordinator = commit.tag.token.coordinator;
      commit.shards.resize(Upto(random, 4));
      for (GroupId& shard : commit.shards) shard = Shard(random);
      commit.wait_finished_us = 1'000 * Upto(random, 5'000);
      return commit;
    }
    case 5:
      return Rollback{RandomTxn(random), Big(random)};
    case 6:
      return Enlist{RandomTxn(random), Bytes(random, 1, 128), Big(random)};
    case 7:
      return KeepAlive{RandomTxn(random), Big(random)};
    default:
      return Finished{RandomTxn(random), Bytes(random, 1, 128), static_cast<uint32_t>(1 + Upto(random, 9)),
                      Coin(random) ? Decision::kCommit : Decision::kAbort, Big(random)};
  }
}

EnlistedBranch RandomBranch(Random& random) {
  return {Bytes(random, 1, 48), static_cast<uint32_t>(1 + Upto(random, 9)),
          Xid{static_cast<int32_t>(random()), Bytes(random, 0, 64), Bytes(random, 0, 64)}, Words(random)};
}

Ending RandomEnding(Random& random) {
  std::vector<Heuristic> heuristics(Upto(random, 2));
  for (Heuristic& one : heuristics) {
    one = {Bytes(random, 1, 48), static_cast<HeuristicKind>(1 + Upto(random, 3)), Words(random)};
  }
  return {static_cast<Outcome>(1 + Upto(random, 2)),
          Coin(random) ? RandomTxn(random) : TxnId{},
          Coin(random) ? RandomAge(random) : Age{},
          Reason(random),
          Words(random),
          RandomResults(random),
          Coin(random),
          Big(random),
          Coin(random) ? std::optional(Coin(random)) : std::nullopt,
          std::move(heuristics)};
}

}  // namespace assent::samples
