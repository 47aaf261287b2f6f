#include "tests/e2e/test_cluster.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <boost/process.hpp>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <thread>
#include <utility>

#include "common/check.h"
#include "runtime/transport/socket.h"
#include "thrift/codec_fields.h"

namespace assent::e2e {
namespace {

constexpr int kFirstPort = 20'000;
constexpr int kBlocks = 1'500;

bool AllFree(int first) {
  for (int i = 0; i < PortBlock::kPorts; ++i) {
    if (!ListenTcp({"127.0.0.1", static_cast<uint16_t>(first + i)}).ok()) return false;
  }
  return true;
}

}  // namespace

PortBlock::PortBlock() {
  const std::string directory =
      std::filesystem::temp_directory_path() / ("assent-test-ports-" + std::to_string(getuid()));
  std::filesystem::create_directories(directory);
  for (int i = 0; i < kBlocks; ++i) {
    const int block = (static_cast<int>(getpid()) + i) % kBlocks;
    const std::string path = directory + "/" + std::to_string(block);
    const int lock = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ASSENT_CHECK(lock >= 0, path);
    if (flock(lock, LOCK_EX | LOCK_NB) == 0 && AllFree(kFirstPort + block * kPorts)) {
      lock_ = lock;
      first_ = kFirstPort + block * kPorts;
      return;
    }
    close(lock);
  }
  ASSENT_CHECK(false, "no block of ports is free");
}

PortBlock::~PortBlock() {
  close(lock_);
}

std::string NewTestDirectory(const std::string& name) {
  std::string path = std::string(ASSENT_E2E_DIRECTORY) + "/" + name + "-XXXXXX";
  std::filesystem::create_directories(ASSENT_E2E_DIRECTORY);
  ASSENT_CHECK(mkdtemp(path.data()) != nullptr, path);
  return path;
}

double SecondsSince(std::chrono::steady_clock::time_point begun) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

uint64_t Seed(uint64_t otherwise) {
  const char* given = std::getenv("ASSENT_E2E_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
  std::cout << "seed " << seed << " (set ASSENT_E2E_SEED for another)" << std::endl;
  return seed;
}

TestCluster::TestCluster(const std::string& name, cli::LocalClusterOptions options, std::string directory)
    : options_(std::move(options)) {
  options_.directory = directory.empty() ? NewTestDirectory(name) : std::move(directory);
  options_.base_port = ports_.port(0);
  options_.program = ASSENT_PROGRAM;
}

TestCluster::~TestCluster() {
  nodes_.reset();
  if (testing::Test::HasFailure()) {
    std::cout << "configurations, data and logs are kept in " << options_.directory << std::endl;
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(options_.directory, ignored);
}

void TestCluster::UseNetwork() {
  network_ = std::make_unique<FaultyNetwork>();
  options_.route = [this](int from, int to, const Address& listen) {
    Address address = network_->Route(from, to, listen);
    if (from == to) client_routes_.push_back(ToString(address));
    return address;
  };
}

std::vector<std::string> TestCluster::addresses() const {
  return network_ != nullptr ? client_routes_ : nodes_->addresses();
}

void TestCluster::Pause(int node, bool paused) {
  nodes_->Pause(node, paused);
  if (paused) {
    paused_.insert(node);
  } else {
    paused_.erase(node);
  }
}

TestCluster::Shown TestCluster::Show(GroupId group) const {
  Shown shown;
  int64_t epoch = 0;
  for (int node = 1; node <= nodes_->node_count(); ++node) {
    if (paused_.count(node) != 0) continue;
    const auto admin = cli::ConnectAdmin(nodes_->config(node).listen, 2'000);
    wire::NodeStatusReply reply;
    const auto called =
        admin->Call([&](wire::AdminClient& client) { client.node_status(reply, wire::AdminRequest()); });
    if (!called.ok()) continue;
    for (const wire::ReplicaStatus& replica : reply.replicas) {
      if (replica.view.group != codec::Encode(group) || replica.view.epoch < epoch) continue;
      if (replica.view.epoch > epoch) shown = {};
      epoch = replica.view.epoch;
      if (replica.role == wire::ReplicaRole::PRIMARY && replica.serving) shown.primary = node;
      if (replica.role == wire::ReplicaRole::BACKUP) ++shown.backups;
    }
  }
  return shown;
}

void TestCluster::AwaitBackup(GroupId group) const {
  const auto begun = std::chrono::steady_clock::now();
  while (Show(group).backups == 0) {
    ASSERT_LT(SecondsSince(begun), kStartMs / 1000) << ToString(group) << " has no backup again";
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

Status TestCluster::Prepare() {
  auto prepared = cli::LocalCluster::Prepare(options_);
  if (!prepared.ok()) return prepared.status();
  nodes_ = std::move(prepared).value();
  return {};
}

Status TestCluster::StartAll() {
  if (nodes_ == nullptr) ASSENT_RETURN_IF_ERROR(Prepare());
  for (int node = 1; node <= nodes_->node_count(); ++node) {
    ASSENT_RETURN_IF_ERROR(nodes_->Start(node));
  }
  return AwaitServing();
}

Status TestCluster::Restart(int node) {
  ASSENT_RETURN_IF_ERROR(nodes_->Start(node));
  return AwaitServing();
}

Placement TestCluster::placement() const {
  std::vector<GroupId> shards;
  for (const GroupEntry& group : nodes_->config(1).groups) {
    if (group.id.kind == GroupKind::kShard) shards.push_back(group.id);
  }
  return Placement::Even(shards);
}

TestCluster::Ran TestCluster::Run(const std::vector<std::string>& arguments, bool connects) const {
  namespace bp = boost::process;
  std::string connect;
  for (const std::string& address : addresses()) connect += (connect.empty() ? "" : ",") + address;
  std::vector<std::string> all = arguments;
  if (connects) all.insert(all.end(), {"--connect", connect});
  bp::ipstream out;
  Ran ran;
  bp::child child(bp::exe = ASSENT_PROGRAM, bp::args = all, (bp::std_out & bp::std_err) > out,
                  bp::std_in < bp::null);
  ran.out.assign(std::istreambuf_iterator<char>(out), std::istreambuf_iterator<char>());
  child.wait();
  ran.exit_code = child.exit_code();
  return ran;
}

}  // namespace assent::e2e
