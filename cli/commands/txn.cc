#include <algorithm>
#include <iostream>
#include <map>
#include <string>

#include "cli/cluster_view.h"
#include "cli/commands/commands.h"
#include "cli/waiting.h"
#include "thrift/codec_fields.h"

namespace assent::cli {
namespace {

std::string BranchName(const wire::Branch& branch) {
  if (!branch.foreign.empty()) return branch.foreign;
  return GroupName(branch.group);
}

std::string NameOf(wire::TxnState::type state) {
  switch (state) {
    case wire::TxnState::ACTIVE:
      return "active";
    case wire::TxnState::PREPARING:
      return "preparing";
    case wire::TxnState::PREPARED:
      return "PREPARED";
    case wire::TxnState::COMMITTING:
      return "committing";
    case wire::TxnState::ABORTING:
      return "aborting";
    case wire::TxnState::UNSPECIFIED:
      return "?";
  }
  return "?";
}

std::string NameOf(wire::Decision::type decision) {
  switch (decision) {
    case wire::Decision::COMMIT:
      return "COMMIT";
    case wire::Decision::ABORT:
      return "ABORT";
    case wire::Decision::UNSPECIFIED:
      return "-";
  }
  return "-";
}

// One transaction, as all groups tell it.
struct Merged {
  const wire::TxnSummary* coordinator = nullptr;
  std::vector<const wire::TxnSummary*> branches;
};

std::vector<std::string> BranchesOf(const Merged& merged) {
  std::vector<std::string> out;
  const auto& any = merged.coordinator != nullptr ? *merged.coordinator : *merged.branches.front();
  for (const wire::Branch& branch : any.participants) {
    const std::string name = BranchName(branch);
    out.push_back(name);
    for (const wire::TxnSummary* summary : merged.branches) {
      if (GroupName(summary->at) == name) out.back() += " " + NameOf(summary->state);
    }
  }
  return out;
}

Table::Cell AgeOf(const wire::TxnSummary& summary) {
  if (!summary.__isset.age_us) return Table::None();  // not known
  return Table::Duration(static_cast<uint64_t>(std::max<int64_t>(0, summary.age_us)));
}

template <typename Reply, typename Call>
std::vector<NodeAnswer<Reply>> Ask(const ClusterView& cluster, const Call& call) {
  const Waiting waiting("asking the nodes");
  return AskEach<Reply>(cluster.addresses(), call);
}

ExitCode List(const Globals& globals, const std::string& state) {
  const auto cluster = FindCluster(globals);
  if (!cluster.ok()) return Fail(cluster.status());
  wire::TransactionsRequest request;
  request.__set_cluster(cluster->cluster());
  request.__set_filter(state == "in-doubt" ? wire::TxnFilter::IN_DOUBT
                       : state == "live"   ? wire::TxnFilter::LIVE
                                           : wire::TxnFilter::ALL);
  std::vector<wire::TxnSummary> all;
  bool truncated = false;
  Status asked;  // the first that failed
  auto answers =
      Ask<wire::TransactionsReply>(*cluster, [&](wire::AdminClient& client, wire::TransactionsReply& reply) {
        client.transactions(reply, request);
      });
  for (auto& answer : answers) {
    if (asked.ok()) asked = answer.status;
    truncated = truncated || answer.reply.truncated;
    for (auto& summary : answer.reply.transactions) all.push_back(std::move(summary));
  }
  std::map<TxnId, Merged> merged;
  for (const wire::TxnSummary& summary : all) {
    TxnId txn;
    codec::Fault fault;
    if (!codec::Decode(summary.txn, txn, fault)) continue;
    Merged& one = merged[txn];
    if (summary.state == wire::TxnState::PREPARED) {
      one.branches.push_back(&summary);
    } else {
      one.coordinator = &summary;
    }
  }
  Table table({"txn", {"age", "age_ms"}, "state", "decision", "branches", "waiting on"});
  for (const auto& [txn, one] : merged) {
    const auto& any = one.coordinator != nullptr ? *one.coordinator : *one.branches.front();
    table.Add({Table::Text(ToString(txn)), AgeOf(any), Table::Text(NameOf(any.state)),
               Table::Text(any.__isset.decision ? NameOf(any.decision) : "-"), Table::List(BranchesOf(one)),
               Table::Text(any.waiting_on)});
  }
  if (table.empty() && globals.format == Format::kTable) {
    std::cout << "no transactions" << (state == "in-doubt" ? " in doubt" : "") << '\n';
  } else {
    table.Print(globals.format);
  }
  if (truncated) Note("only the first of a node's transactions are shown");
  if (!asked.ok()) return Fail(asked);
  return kOk;
}

ExitCode Show(const Globals& globals, const std::string& id) {
  const auto txn = ParseTxnId(id);
  if (!txn) return Fail(kUsage, "not a transaction's id: " + id + " (they look like c1.4.93e4)");
  const auto cluster = FindCluster(globals);
  if (!cluster.ok()) return Fail(cluster.status());
  wire::TransactionRequest request;
  request.__set_cluster(cluster->cluster());
  request.__set_txn(codec::Encode(*txn));
  std::vector<wire::TxnDetail> details;
  Status asked;  // the first that failed
  auto answers = Ask<wire::TransactionReply>(
      *cluster,
      [&](wire::AdminClient& client, wire::TransactionReply& reply) { client.transaction(reply, request); });
  for (auto& answer : answers) {
    if (asked.ok()) asked = answer.status;
    for (auto& detail : answer.reply.at) details.push_back(std::move(detail));
  }
  Table table({"at", "state", {"age", "age_ms"}, "decision", "notes"});
  for (const wire::TxnDetail& detail : details) {
    const wire::TxnSummary& s = detail.summary;
    table.Add({Table::Text(GroupName(s.at)), Table::Text(NameOf(s.state)), AgeOf(s),
               Table::Text(s.__isset.decision ? NameOf(s.decision) : "-"), Table::List(detail.notes)});
  }
  if (!asked.ok()) Fail(asked);
  if (table.empty()) {
    return Fail(asked.ok() ? kError : kUnavailable,
                ToString(*txn) +
                    " is not live, not in doubt, and has no unfinished decision on any node that answered");
  }
  table.Print(globals.format);
  return asked.ok() ? kOk : kUnavailable;
}

}  // namespace

void AddTxn(CLI::App& app, Globals& globals) {
  CLI::App* txn = app.add_subcommand("txn", "look at transactions that have not ended");
  txn->require_subcommand(1);

  auto state = std::make_shared<std::string>("all");
  CLI::App* list = txn->add_subcommand("list", "list them, oldest first");
  AddClusterOptions(*list, globals);
  AddOutputOption(*list, globals);
  list->add_option("--state", *state, "all, live or in-doubt")
      ->check(CLI::IsMember({"all", "live", "in-doubt"}));
  list->footer("Example:\n  assent txn list --state in-doubt");
  list->callback([state, &globals] { globals.exit_code = List(globals, *state); });

  auto id = std::make_shared<std::string>();
  CLI::App* show = txn->add_subcommand("show", "show what each group knows of one");
  AddClusterOptions(*show, globals);
  AddOutputOption(*show, globals);
  show->add_option("TXN", *id, "as `txn list` prints it")->required();
  show->footer("Example:\n  assent txn show c1.4.93e4");
  show->callback([id, &globals] { globals.exit_code = Show(globals, *id); });
}

}  // namespace assent::cli
