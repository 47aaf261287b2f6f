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
  for (auto& one : out) one = {Bytes(random, 1, 20), Bytes(random, 0, 60)};
  return out;
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
      return Begin{Coin(random) ? RandomAge(random) : Age{}};
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
      return commit;
    }
    default:
      return Rollback{RandomTxn(random), Big(random)};
  }
}

Ending RandomEnding(Random& random) {
  return {static_cast<Outcome>(1 + Upto(random, 2)),
          Coin(random) ? RandomTxn(random) : TxnId{},
          Coin(random) ? RandomAge(random) : Age{},
          Reason(random),
          Words(random),
          RandomResults(random),
          Coin(random),
          Big(random)};
}

}  // namespace assent::samples
