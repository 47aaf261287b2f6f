#include "bench/tpcb.h"

#include <string>

namespace assent::bench {
namespace {

constexpr uint64_t kTellers = 10;  // a branch
constexpr int kAccountDigits = 7;

}  // namespace

Tpcb::Tpcb(const WorkloadOptions& options, const Placement& placement)
    : prefix_(options.name + "/"),
      placement_(placement),
      accounts_(options.rows != 0 ? options.rows : 10'000),
      branches_(options.branches),
      remote_percent_(options.remote_percent) {}

std::string Tpcb::Tag(uint64_t branch) const {
  return prefix_ + "{b" + Digits(branch, 4) + "}/";
}
std::string Tpcb::AccountKey(uint64_t branch, uint64_t account) const {
  return Tag(branch) + "account/" + Digits(account, kAccountDigits);
}
std::string Tpcb::TellerKey(uint64_t branch, uint64_t teller) const {
  return Tag(branch) + "teller/" + Digits(teller, 2);
}
std::string Tpcb::BranchKey(uint64_t branch) const {
  return Tag(branch) + "branch";
}
std::string Tpcb::HistoryPrefix(uint64_t branch) const {
  return Tag(branch) + "history/";
}

Status Tpcb::Load(Client& client, const std::function<void(uint64_t, uint64_t)>& progress) {
  std::vector<Write> rows;
  std::string zero = "0 ";
  zero.resize(84, '.');  // pgbench's filler
  for (uint64_t branch = 0; branch < branches_; ++branch) {
    rows.push_back({BranchKey(branch), zero});
    for (uint64_t teller = 0; teller < kTellers; ++teller) rows.push_back({TellerKey(branch, teller), zero});
    for (uint64_t account = 0; account < accounts_; ++account)
      rows.push_back({AccountKey(branch, account), zero});
  }
  return LoadRows(client, placement_, rows, progress);
}

std::vector<Operation> Tpcb::MakeOperations(Random& random, uint32_t who, uint64_t n) const {
  const uint64_t branch = Below(random, branches_);
  const uint64_t teller = Below(random, kTellers);
  uint64_t home = branch;
  if (branches_ > 1 && Below(random, 100) < remote_percent_)
    home = (branch + 1 + Below(random, branches_ - 1)) % branches_;
  const uint64_t account = Below(random, accounts_);
  const int64_t delta = static_cast<int64_t>(Below(random, 10'001)) - 5'000;
  const std::string row = HistoryPrefix(branch) + std::to_string(who) + "-" + std::to_string(n);
  return {op::Add(AccountKey(home, account), delta), op::Add(TellerKey(branch, teller), delta),
          op::Add(BranchKey(branch), delta),
          op::Put(row, std::to_string(delta) + " account " + std::to_string(account))};
}

CommitResult Tpcb::RunOne(Client& client, Random& random, uint32_t who, uint64_t n, Effects&) {
  return client.Execute(MakeOperations(random, who, n));
}

Result<Sum> Tpcb::History(Client& client) const {
  std::vector<std::string> prefixes;
  for (uint64_t branch = 0; branch < branches_; ++branch) prefixes.push_back(HistoryPrefix(branch));
  return SumOf(client, prefixes);
}

Result<std::vector<Audit>> Tpcb::Check(Client& client, const Effects&) {
  std::vector<std::string> accounts;
  std::vector<std::string> tellers;
  std::vector<std::string> branches;
  for (uint64_t branch = 0; branch < branches_; ++branch) {
    accounts.push_back(Tag(branch) + "account/");
    tellers.push_back(Tag(branch) + "teller/");
    branches.push_back(BranchKey(branch));
  }
  const auto history = History(client);
  if (!history.ok()) return history.status();
  std::vector<Audit> audits;
  for (const auto& [what, prefixes] :
       {std::pair("accounts", &accounts), std::pair("tellers", &tellers), std::pair("branches", &branches)}) {
    const auto sum = SumOf(client, *prefixes);
    if (!sum.ok()) return sum.status();
    audits.push_back({std::string("sum of ") + what + " = sum of history", history->total, sum->total});
  }
  return audits;
}

}  // namespace assent::bench
