#include "bench/smallbank.h"

#include "common/number.h"

namespace assent::bench {
namespace {

constexpr int64_t kSavings = 10'000;
constexpr int64_t kChecking = 1'000;
constexpr int kCustomerDigits = 7;

// The balance in a row that was read; kDamaged if there is none.
Result<int64_t> Balance(const OperationResult& result) {
  const auto number = result.rows.empty() ? std::nullopt : LeadingNumber(result.rows[0].value);
  if (!number) return Status(StatusCode::kDamaged, "an account is missing or holds no number");
  return *number;
}

}  // namespace

Smallbank::Smallbank(const WorkloadOptions& options, const Placement& placement)
    : prefix_(options.name + "/"),
      placement_(placement),
      customers_(options.rows != 0 ? options.rows : 10'000) {}

// Customers are scanned in blocks of a thousand.
std::string Smallbank::Block(uint64_t number) const {
  return prefix_ + Digits(number, kCustomerDigits - 3) + "/";
}
std::string Smallbank::SavingsKey(uint64_t customer) const {
  return Block(customer / 1000) + "{c" + Digits(customer, kCustomerDigits) + "}/savings";
}
std::string Smallbank::CheckingKey(uint64_t customer) const {
  return Block(customer / 1000) + "{c" + Digits(customer, kCustomerDigits) + "}/checking";
}

Status Smallbank::Load(Client& client, const std::function<void(uint64_t, uint64_t)>& progress) {
  std::vector<Write> rows;
  for (uint64_t customer = 0; customer < customers_; ++customer) {
    rows.push_back({SavingsKey(customer), std::to_string(kSavings)});
    rows.push_back({CheckingKey(customer), std::to_string(kChecking)});
  }
  return LoadRows(client, placement_, rows, progress);
}

CommitResult Smallbank::Amalgamate(Client& client, uint64_t from, uint64_t to) {
  return client.Run([&](Transaction& txn) -> Status {
    const auto read = txn.Work({op::Get(SavingsKey(from)), op::Get(CheckingKey(from))});
    if (!read.ok()) return read.status();
    const auto savings = Balance((*read)[0]);
    const auto checking = Balance((*read)[1]);
    if (!savings.ok()) return savings.status();
    if (!checking.ok()) return checking.status();
    ASSENT_RETURN_IF_ERROR(txn.Put(SavingsKey(from), "0"));
    ASSENT_RETURN_IF_ERROR(txn.Put(CheckingKey(from), "0"));
    return txn.Add(CheckingKey(to), *savings + *checking);
  });
}

CommitResult Smallbank::WriteCheck(Client& client, uint64_t customer, int64_t amount, int64_t& net) {
  return client.Run([&](Transaction& txn) -> Status {
    const auto read = txn.Work({op::Get(SavingsKey(customer)), op::Get(CheckingKey(customer))});
    if (!read.ok()) return read.status();
    const auto savings = Balance((*read)[0]);
    const auto checking = Balance((*read)[1]);
    if (!savings.ok()) return savings.status();
    if (!checking.ok()) return checking.status();
    net = -(*savings + *checking < amount ? amount + 1 : amount);  // a penalty for an overdraft
    return txn.Add(CheckingKey(customer), net);
  });
}

CommitResult Smallbank::RunOne(Client& client, Random& random, uint32_t, uint64_t, Effects& effects) {
  const uint64_t one = Below(random, customers_);
  const uint64_t two = (one + 1 + Below(random, customers_ - 1)) % customers_;
  const int64_t amount = 1 + static_cast<int64_t>(Below(random, 100));
  int64_t net = 0;
  CommitResult result;
  // The mix of the paper's benchmark in its usual form: a quarter payments, 15% each of the others.
  const uint64_t dice = Below(random, 100);
  if (dice < 15) {  // Balance
    result = client.Execute({op::Get(SavingsKey(one)), op::Get(CheckingKey(one))});
  } else if (dice < 30) {  // DepositChecking
    net = amount;
    result = client.Execute({op::Add(CheckingKey(one), amount)});
  } else if (dice < 45) {  // TransactSavings: aborts where savings would fall below zero
    net = -amount;
    result = client.Execute({op::Add(SavingsKey(one), -amount, 0)});
  } else if (dice < 60) {
    result = Amalgamate(client, one, two);
  } else if (dice < 75) {
    result = WriteCheck(client, one, amount, net);
  } else {  // SendPayment: aborts where the payer has not enough
    result = client.Execute({op::Add(CheckingKey(one), -amount, 0), op::Add(CheckingKey(two), amount)});
  }
  if (result.committed()) effects.net += net;
  return result;
}

Result<std::vector<Audit>> Smallbank::Check(Client& client, const Effects& effects) {
  std::vector<std::string> prefixes;
  for (uint64_t block = 0; block * 1000 < customers_; ++block) {
    prefixes.push_back(Block(block));
  }
  const auto sum = SumOf(client, prefixes);
  if (!sum.ok()) return sum.status();
  const auto customers = static_cast<int64_t>(customers_);
  return std::vector<Audit>{{"accounts", 2 * customers, static_cast<int64_t>(sum->rows)},
                            {"all money", customers * (kSavings + kChecking) + effects.net, sum->total}};
}

}  // namespace assent::bench
