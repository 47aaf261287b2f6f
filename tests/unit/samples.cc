#include "samples.h"

#include <memory>
#include <utility>

namespace assent::samples {
namespace {

template <typename T>
void Fill(T& out, Random& random);

// ---- Values that are not just any of their type.

void Mend(GroupId& group, Random& random) {
  group = {Coin(random) ? GroupKind::kShard : GroupKind::kCoordinator, static_cast<uint16_t>(random())};
}
void Mend(TxnId& txn, Random& random) {
  txn = RandomTxn(random);
}
void Mend(Token& token, Random& random) {
  token = RandomToken(random);
}
void Mend(BranchId& branch, Random& random) {
  branch = {Epoch{1 + Upto(random, 1'000'000)}, 1 + Upto(random, 1'000'000)};
}
void Mend(TxnHeader& header, Random& random) {
  if (Coin(random)) header.age.txn = header.txn;
  header.mark.coordinator = header.txn.coordinator;
  if (Coin(random)) header.mark = {};
}
void Mend(Operation& operation, Random& random) {
  const auto mend = [&random](auto& one) {
    if constexpr (requires { one.key; }) one.key = Bytes(random, 1, 40);
    if constexpr (requires { one.limit; }) {
      one.limit = static_cast<uint32_t>(Upto(random, kScanRowsMax));
      one.after = Coin(random) ? one.prefix + Bytes(random, 0, 5) : "";
    }
    if constexpr (requires { one.version; }) {  // a check has what its kind needs
      if (one.kind != CheckKind::kValue) one.value.clear();
      if (one.kind != CheckKind::kVersion) one.version = 0;
    }
  };
  std::visit(mend, operation);
}
void Mend(ResultRow& row, Random& random) {
  row.key = Bytes(random, 1, 20);
}
void Mend(Ship& ship, Random& random) {
  LogPosition position = ship.prev;
  for (LogEntry& entry : ship.entries) {
    position = {Epoch{Raw(position.epoch) + Upto(random, 1)}, Next(position.lsn)};
    if (position.epoch == Epoch{}) position.epoch = Epoch{1};
    entry.position = position;
  }
}
void Mend(Operate& message, Random& random) {
  if (Coin(random)) message.branch = {};
  ++message.first;
}
void Mend(Prepare& message, Random& random) {
  if (Coin(random)) message.branch = {};
}
void Mend(CommitOnePhase& message, Random& random) {
  if (Coin(random)) message.branch = {};
  if (Coin(random)) message.token = {};
  ++message.attempt;
}
void Mend(SettleToken& message, Random&) {
  ++message.attempt;
}
void Mend(MarkNews& message, Random& random) {
  if (Coin(random)) message.live = {};
}
void Mend(Committed& record, Random& random) {
  if (Coin(random)) record.begin_us = 0;  // an older version wrote it
}
void Mend(OnePhaseReply& message, Random& random) {
  if (Coin(random)) message.token = {};
  if (Coin(random)) message.committed_txn = {};
}

template <typename Variant, size_t... kIndices>
void FillAlternative(Variant& out, size_t index, Random& random, std::index_sequence<kIndices...>) {
  ((kIndices == index ? Fill(out.template emplace<kIndices>(), random) : void()), ...);
}

template <typename T>
void Fill(T& out, Random& random) {
  if constexpr (std::is_same_v<T, bool>) {
    out = Coin(random);
  } else if constexpr (internal::Choice<T>) {
    const auto [first, last] = RangeOf(T{});
    out = static_cast<T>(Raw(first) + Upto(random, static_cast<uint64_t>(Raw(last) - Raw(first))));
  } else if constexpr (internal::Number<T>) {
    out = static_cast<T>(sizeof(T) == 4 ? Upto(random, 5000) : Big(random));
  } else if constexpr (std::is_same_v<T, std::string>) {
    out = Bytes(random, 0, 60);
  } else if constexpr (std::is_same_v<T, internal::SharedBytes>) {
    out = std::make_shared<const std::string>(Bytes(random, 0, 200));
  } else if constexpr (internal::kIsList<T>) {
    out.resize(Upto(random, 4));
    for (auto& item : out) Fill(item, random);
  } else if constexpr (internal::kIsOptional<T>) {
    if (Coin(random)) Fill(out.emplace(), random);
  } else if constexpr (internal::kIsVariant<T>) {
    constexpr size_t kAlternatives = std::variant_size_v<T>;
    FillAlternative(out, random() % kAlternatives, random, std::make_index_sequence<kAlternatives>());
  } else {
    ForEachField(out, [&random](auto& field) { Fill(field, random); });
  }
  if constexpr (requires { Mend(out, random); }) Mend(out, random);
}

}  // namespace

Message RandomMessage(size_t type, Random& random) {
  Message message;
  FillAlternative(message, type, random, std::make_index_sequence<kMessageTypes>());
  return message;
}

LogRecord RandomRecord(size_t type, Random& random) {
  LogRecord record;
  FillAlternative(record, type, random, std::make_index_sequence<kRecordTypes>());
  return record;
}

Envelope RandomEnvelope(size_t type, Random& random) {
  Envelope envelope;
  Fill(envelope, random);
  envelope.from_node = NodeId{7};
  envelope.message = RandomMessage(type, random);
  return envelope;
}

std::vector<Operation> RandomOperations(Random& random) {
  std::vector<Operation> out;
  Fill(out, random);
  return out;
}

std::vector<OperationResult> RandomResults(Random& random) {
  std::vector<OperationResult> out;
  Fill(out, random);
  return out;
}

TxnId RandomTxn(Random& random) {
  return {{GroupKind::kCoordinator, static_cast<uint16_t>(random())}, Epoch{Big(random)}, Big(random) + 1};
}

Token RandomToken(Random& random) {
  return {{GroupKind::kCoordinator, static_cast<uint16_t>(random())},
          ClientId{Big(random)},
          Big(random) + 1,
          Big(random)};
}

uint64_t Upto(Random& random, uint64_t max) {
  return random() % (max + 1);
}

bool Coin(Random& random) {
  return (random() & 1) != 0;
}

uint64_t Big(Random& random) {
  return random() >> (2 + Upto(random, 61));
}

std::string Bytes(Random& random, size_t min, size_t max) {
  std::string out(min + Upto(random, max - min), '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

}  // namespace assent::samples
