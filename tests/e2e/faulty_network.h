#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/transport/socket.h"

namespace assent::e2e {

// A network between processes of this machine that can be cut: a proxy with an address of its own for each
// way from one node to another. While a direction is cut, what was sent in it stays where it is, and no
// connection breaks, as where a switch drops packets: who waits for an answer hears nothing. Where a link is
// cut in either direction no new connection is made over it.
//
// Nodes tell clients the addresses by which they reach each other, so clients may come by any of the
// addresses of a node. The Thrift service that a connection's first frame names says whose it is: Peer is the
// node's own, TransactionManager a client's, and Admin, for those who look on, is never cut.
class FaultyNetwork {
 public:
  static constexpr int kClients = 0;  // the place of all clients; nodes count from 1

  FaultyNetwork();
  ~FaultyNetwork();
  FaultyNetwork(const FaultyNetwork&) = delete;
  FaultyNetwork& operator=(const FaultyNetwork&) = delete;

  // A new address at which `from` reaches `to`, who listens at `target`.
  Address Route(int from, int to, const Address& target);

  // On return, nothing that `from` sends gets to `to` any more.
  void Cut(int from, int to);
  // The fate of connections that were cut: what was held arrives late, or they are reset and it is lost.
  enum class Held : uint8_t { kArrivesLate = 1, kIsLost };
  void Heal(int node, Held held);  // all that is cut from it or to it

  uint64_t held_connections() const;  // that had something to pass on when their link was healed; so far

 private:
  struct Listener {
    OwnedFd fd;
    int from = 0, to = 0;
    Address target;
  };
  // One direction of a connection.
  struct Flow {
    std::string bytes;        // taken, and not passed on yet
    bool ended = false;       // nothing more comes
    bool end_passed = false;  // and the receiver knows
  };
  enum class Service : uint8_t { kNotKnown = 1, kPeer, kClient, kOther };
  struct Connection {
    OwnedFd dialer, target;  // target: not valid() until the service is known and its link whole
    int from = 0, to = 0;
    Address address;  // of the target
    Service service = Service::kNotKnown;
    Flow there, back;
    bool over = false;
  };

  void Main();
  // With mutex_ held:
  void Accept(const Listener& listener);
  void Step(Connection& connection);
  bool IsCut(int from, int to) const { return cut_.count({from, to}) != 0; }
  static std::pair<int, int> EndsOf(const Connection& connection);  // the dialer's place, and the target's
  bool MayPass(const Connection& connection, bool there) const;
  bool IsWhole(const Connection& connection) const;
  static void Take(int fd, Flow& flow, bool& over);
  static void Pass(int fd, Flow& flow, bool& over);

  mutable std::mutex mutex_;
  bool stop_ = false;
  std::vector<Listener> listeners_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::set<std::pair<int, int>> cut_;
  uint64_t held_connections_ = 0;
  OwnedFd wake_;
  std::thread thread_;
};

}  // namespace assent::e2e
