#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "backup/registration.h"
#include "common/node_register.h"
#include "directory/directory.h"
#include "runtime/loop.h"
#include "runtime/worker.h"

namespace assent {

// Keeps a node's register in the directory (R3): claims it before the node's replicas start, renews it while
// they run, off the commit path, and takes leave at the end. backup/registration.h decides.
class Registrar {
 public:
  // `own` as Registration wants it. `directory` outlives this.
  Registrar(Directory& directory, NodeRegister own, std::vector<backup::OwnReplica> replicas);

  // Blocks until the node is this process's: at once where the one before it is gone, else for kWatchUs.
  // `count` makes this start durable in the node's files; it is called once, when the register lets these in.
  // kConflict: it does not, and the message says what to do. Else the directory's error, or `count`'s.
  Status Claim(const std::function<Status()>& count);
  const backup::Registration& registration() const { return registration_; }

  // On the loop thread, once claimed. `positions`: what is confirmed of the replicas by now; `lost`: another
  // life holds the register; both are called on the loop thread. A directory that does not answer is asked
  // again, for ever.
  void Keep(Loop& loop, Worker& directory_worker, std::function<std::vector<Confirmed>()> positions,
            std::function<void(const std::string&)> lost);
  // Loop thread: the directory refused a proposal of this life.
  void Doubt();

  // Blocks. When the loop and the worker have ended, and all replicas are closed.
  void TakeLeave(const std::vector<Confirmed>& positions);

 private:
  using Answer = std::variant<Result<std::optional<NodeRegister>>, Status>;  // to a Look, to a swap
  Answer Perform(const backup::Registration::Work& work);
  void Take(const Answer& answer);
  void NoteRenewal(const Status& swapped);
  void Step();

  Directory& directory_;
  const ProcessTrace process_;
  backup::Registration registration_;

  // Since Keep.
  Loop* loop_ = nullptr;
  Worker* worker_ = nullptr;
  std::function<std::vector<Confirmed>()> positions_;
  std::function<void(const std::string&)> lost_;
  TimerId timer_{};
  bool has_timer_ = false;
  bool renewal_fails_ = false;
};

}  // namespace assent
