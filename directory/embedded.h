#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "directory/directory.h"
#include "directory/identity_record.h"

// A directory as plain files that several processes of one machine share (docs/FORMAT.md, "The embedded
// directory"). It takes no locks, so a stopped process holds none (R12), and never lets SQLite near.
//
//   <path>/identity                          cluster, directory incarnation, first epoch
//   <path>/placement
//   <path>/groups/<group>/view.<epoch>       one file an epoch; the highest holds
//   <path>/groups/<group>/node.<node>        registrations
//   <path>/nodes/<node>/register.<version>   one file a version; the highest holds
//
// Guarantees:
//   R12  A view is a file that was written and synced under a temporary name and then got its own by link(2),
//        which fails if there is one: link is the CAS. The same makes identity and placement once. Nothing is
//        ever changed in place.
//   R7   After each link and rename the directory is synced before the call returns; a reader syncs what it
//        finds, too, since the writer may have died in between. fsync is never tried again.
//   I-R2 A view file is removed only when kViewsKept newer ones are there. A process that was stopped between
//        its look and its link for so long that its epoch's file was removed again learns it from
//        a second look: lost.
namespace assent {

struct EmbeddedOptions {
  std::string path;
  std::string cluster;
  DirectoryIncarnation fresh{};  // drawn at random by the caller; used if the directory is made now
  std::function<void()> before_link =
      {};  // called between CAS's look and its link: where a test stands still
  // False: the caller belongs to a directory already, so one that is missing is not mounted, or lost.
  bool may_create = true;
  Epoch first_epoch{1};  // as `fresh`: above all that another directory of this cluster may have given away
  // The life of the process that opens it: the views that it proposes are refused once its node's register
  // names another one (R3). 0: it proposes none.
  uint64_t life = 0;
  // Told, once each, of files that are ignored: unknown ones, and damaged registrations. Any thread.
  std::function<void(const std::string&)> report = {};
};

class EmbeddedDirectory final : public Directory {
 public:
  // Views that a group keeps, the current one included: for people who look into what happened.
  static constexpr uint64_t kViewsKept = 16;
  // Registers of a node are pruned to so many, now and then: at most twice as many lie there.
  static constexpr uint64_t kRegistersKept = 4;

  // Opens or creates; several processes may do so at once. Removes temporaries of dead processes.
  // Errors: kNotFound (there is none, and it may not be created), kForeign (another cluster's, a newer
  // format), kDamaged, kIo, kDiskFull. All calls: kForeign while another directory stands in its place (R12).
  static Result<std::unique_ptr<EmbeddedDirectory>> Open(const EmbeddedOptions& options);
  // R12: makes a directory in the place of one that is lost, with these views and this placement, whole or
  // not at all. kConflict: something is at `path`, and it is not an empty directory.
  static Status MakeSuccessor(const std::string& path, const DirectoryIdentity& identity,
                              const Placement& placement, const std::vector<View>& views);

  Result<DirectorySnapshot> Read(GroupId group) override;
  CasResult CompareAndSwap(const View& next) override;
  Status Register(GroupId group, NodeId node, Incarnation incarnation) override;
  Result<std::optional<NodeRegister>> ReadRegister(NodeId node) override;
  Status SwapRegister(const NodeRegister& next) override;
  Result<Placement> ReadPlacement() override;
  Status CreatePlacement(const Placement& placement) override;

  DirectoryIncarnation incarnation() const { return incarnation_; }
  const std::optional<Adoption>& adoption() const { return adoption_; }

 private:
  explicit EmbeddedDirectory(const EmbeddedOptions& options);
  Status OpenIdentity(const EmbeddedOptions& options);
  Result<DirectoryIdentity> ReadIdentity() const;
  // That the identity file is still the one that was opened: a directory that was replaced beneath a running
  // process, or is not mounted any more, is to it one that does not answer (R12).
  Status CheckIdentity() const;
  void ReportOnce(const std::string& text);
  std::string GroupPath(GroupId group) const;
  std::string NodePath(NodeId node) const;
  Status CheckLife(NodeId proposer);
  Result<std::optional<View>> ReadView(GroupId group);
  // Syncs the group's directory unless this object has done so with an epoch as high as `epoch` in it.
  Status SyncView(GroupId group, Epoch epoch);

  const std::string path_;
  const std::string cluster_;
  const uint64_t life_;
  const std::function<void()> before_link_;
  const std::function<void(const std::string&)> report_;
  DirectoryIncarnation incarnation_{};
  Epoch first_epoch_{};
  std::optional<Adoption> adoption_;
  std::mutex mutex_;
  std::map<GroupId, Epoch> synced_;  // guarded by mutex_
  std::set<std::string> reported_;   // guarded by mutex_
};

}  // namespace assent
