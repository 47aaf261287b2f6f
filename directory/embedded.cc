#include "directory/embedded.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "common/check.h"
#include "directory/durable_files.h"
#include "directory/register_record.h"
#include "directory/text_record.h"

namespace assent {
namespace {

constexpr uint32_t kFormat = 1;
constexpr std::string_view kViewPrefix = "view.";
constexpr std::string_view kNodePrefix = "node.";
constexpr std::string_view kRegisterPrefix = "register.";
// Tries of a listing that lost its race with writers and prunings: each loss takes kViewsKept view
// changes within it.
constexpr int kReadTriesMax = 10;
// Reports that are told once each (G8).
constexpr size_t kReportsMax = 100;

std::string ViewName(Epoch epoch) {
  return NumberedName(kViewPrefix, Raw(epoch));
}

// The highest number of the files of that prefix; 0 where there is none. kNotFound: no such directory.
Result<uint64_t> HighestNumber(const std::string& path, std::string_view prefix) {
  const auto names = ListDirectory(path);
  if (!names.ok()) return names.status();
  uint64_t highest = 0;
  for (const std::string& name : *names) highest = std::max(highest, NumberInName(prefix, name).value_or(0));
  return highest;
}

// Removes all but the `kept` newest of them.
Status Prune(const std::string& path, std::string_view prefix, uint64_t newest, uint64_t kept) {
  const auto names = ListDirectory(path);
  if (!names.ok()) return names.status();
  bool removed = false;
  for (const std::string& name : *names) {
    const auto number = NumberInName(prefix, name);
    if (!number || *number + kept > newest) continue;
    ASSENT_RETURN_IF_ERROR(RemoveFile(path + "/" + name));
    removed = true;
  }
  return removed ? SyncDirectory(path) : Status();  // R7
}

bool IsMissing(const Status& status) {
  return status.code() == StatusCode::kNotFound;
}

Result<Incarnation> ReadRegistration(const std::string& path) {
  const auto text = ReadSmallFile(path, kTextRecordBytesMax);
  if (!text.ok()) return text.status();
  const auto record = DecodeTextRecord(*text, "registration", kFormat, path);
  if (!record.ok()) return record.status();
  const auto registered = record->FindHex("incarnation");
  if (!registered || *registered == 0) {
    return Status(StatusCode::kDamaged, path + ": not a registration. The file is damaged");
  }
  return Incarnation{*registered};
}

std::string EncodePlacement(const Placement& placement) {
  TextRecord record{"placement", kFormat, {}};
  const auto& slots = placement.slots();
  ASSENT_CHECK(slots.size() == kSlots, slots.size());
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    if (slot + 1 < kSlots && slots[slot + 1] == slots[slot]) continue;
    record.fields.emplace_back(std::to_string(slot), ToString(slots[slot]));
  }
  return EncodeTextRecord(record);
}

CasResult Unknown(Status error) {
  return CasResult{CasOutcome::kUnknown, std::nullopt, std::move(error)};
}
CasResult Failed(Status error) {
  return CasResult{CasOutcome::kFailed, std::nullopt, std::move(error)};
}

}  // namespace

EmbeddedDirectory::EmbeddedDirectory(const EmbeddedOptions& options)
    : path_(options.path),
      cluster_(options.cluster),
      life_(options.life),
      before_link_(options.before_link),
      report_(options.report) {}

Result<std::unique_ptr<EmbeddedDirectory>> EmbeddedDirectory::Open(const EmbeddedOptions& options) {
  ASSENT_CHECK(Raw(options.fresh) != 0 && Raw(options.first_epoch) != 0);
  std::unique_ptr<EmbeddedDirectory> directory(new EmbeddedDirectory(options));
  const std::string groups = options.path + "/groups";
  if (options.may_create) ASSENT_RETURN_IF_ERROR(MakeDirectories(groups));
  ASSENT_RETURN_IF_ERROR(directory->OpenIdentity(options));
  ASSENT_RETURN_IF_ERROR(RemoveStaleTemporaries(options.path));
  const auto names = ListDirectory(groups);
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (ParseGroupId(name)) {
      ASSENT_RETURN_IF_ERROR(RemoveStaleTemporaries(groups + "/" + name));
    } else {
      directory->ReportOnce(groups + "/" + name + " is no group: it is ignored");
    }
  }
  const auto nodes = ListDirectory(options.path + "/nodes");
  if (!nodes.ok() && !IsMissing(nodes.status())) return nodes.status();
  if (!nodes.ok()) return directory;
  for (const std::string& name : *nodes) {
    if (ParseNodeId(name)) ASSENT_RETURN_IF_ERROR(RemoveStaleTemporaries(options.path + "/nodes/" + name));
  }
  return directory;
}

Status EmbeddedDirectory::MakeSuccessor(const std::string& path, const DirectoryIdentity& identity,
                                        const Placement& placement, const std::vector<View>& views) {
  // Under a name of its own first: a directory that has the identity has all the rest.
  const std::string making = path + ".adopting." + Hex16(Raw(identity.incarnation));
  ASSENT_RETURN_IF_ERROR(MakeDirectories(making + "/groups"));
  ASSENT_RETURN_IF_ERROR(CreateFileOnce(making + "/identity", EncodeIdentity(identity)));
  ASSENT_RETURN_IF_ERROR(CreateFileOnce(making + "/placement", EncodePlacement(placement)));
  for (const View& view : views) {
    const std::string group_path = making + "/groups/" + ToString(view.group);
    ASSENT_RETURN_IF_ERROR(MakeDirectories(group_path));
    ASSENT_RETURN_IF_ERROR(CreateFileOnce(group_path + "/" + ViewName(view.epoch), EncodeView(view)));
  }
  return Rename(making, path);
}

Status EmbeddedDirectory::OpenIdentity(const EmbeddedOptions& options) {
  auto found = ReadIdentity();
  if (!found.ok() && IsMissing(found.status())) {
    // Views without an identity: it was lost, and a new one would pass for a directory that never agreed on
    // anything. Looked for once more behind the views, since another process may have made it,
    // and they theirs, meanwhile.
    const auto groups = ListDirectory(path_ + "/groups");
    if (!groups.ok() && (options.may_create || !IsMissing(groups.status()))) return groups.status();
    const bool has_views =
        groups.ok() && std::any_of(groups->begin(), groups->end(),
                                   [](const std::string& name) { return ParseGroupId(name).has_value(); });
    found = ReadIdentity();
    if (has_views && !found.ok() && IsMissing(found.status())) {
      return Status(StatusCode::kDamaged,
                    path_ +
                        "/identity is missing, but there are views of groups. Put the file "
                        "back from a copy of the directory");
    }
  }
  if (!found.ok() && IsMissing(found.status()) && !options.may_create) {
    const bool is_there = ListDirectory(path_).ok();
    return Status(
        StatusCode::kNotFound,
        "directory.path: " + path_ +
            (is_there ? ": there is no directory of views in it" : ": no such directory") +
            "; is it mounted? The replicas of this node belong to one, so none is made in its place");
  }
  if (!found.ok() && IsMissing(found.status())) {
    const Status made = CreateFileOnce(path_ + "/identity",
                                       EncodeIdentity({cluster_, options.fresh, options.first_epoch, {}}));
    if (!made.ok() && made.code() != StatusCode::kConflict) return made;
    found = ReadIdentity();  // another process may have been first
  }
  if (!found.ok()) return found.status();
  ASSENT_RETURN_IF_ERROR(SyncDirectory(path_));  // R7: whoever made it may have died before its own sync
  incarnation_ = found->incarnation;
  first_epoch_ = found->first_epoch;
  adoption_ = found->adoption;
  return {};
}

Result<DirectoryIdentity> EmbeddedDirectory::ReadIdentity() const {
  const std::string path = path_ + "/identity";
  const auto text = ReadSmallFile(path, kTextRecordBytesMax);
  if (!text.ok()) return text.status();
  auto identity = DecodeIdentity(*text, path);
  if (!identity.ok()) return identity;
  if (identity->cluster != cluster_) {
    return Status(StatusCode::kForeign, path_ + ": this directory belongs to cluster " + identity->cluster +
                                            ", and this node to " + cluster_ +
                                            ". Set directory.path to the cluster's own");
  }
  return identity;
}

Status EmbeddedDirectory::CheckIdentity() const {
  const auto found = ReadIdentity();
  if (!found.ok()) return found.status();
  if (found->incarnation == incarnation_) return {};
  return Status(StatusCode::kForeign,
                path_ +
                    ": another directory stands here than the one that this node opened (R12). Until that " +
                    "one is back, no view changes");
}

void EmbeddedDirectory::ReportOnce(const std::string& text) {
  if (!report_) return;
  {
    const std::scoped_lock lock(mutex_);
    if (reported_.size() >= kReportsMax || !reported_.insert(text).second) return;
  }
  report_(text);
}

std::string EmbeddedDirectory::GroupPath(GroupId group) const {
  return path_ + "/groups/" + ToString(group);
}

Result<DirectorySnapshot> EmbeddedDirectory::Read(GroupId group) {
  DirectorySnapshot snapshot;
  ASSENT_RETURN_IF_ERROR(CheckIdentity());
  snapshot.incarnation = incarnation_;
  snapshot.first_epoch = first_epoch_;
  auto view = ReadView(group);
  if (!view.ok()) return view.status();
  snapshot.view = std::move(*view);
  ASSENT_RETURN_IF_ERROR(CheckIdentity());  // a view that is not there may have gone with the directory

  const auto names = ListDirectory(GroupPath(group));
  if (!names.ok() && names.status().code() == StatusCode::kNotFound) return snapshot;
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (NumberInName(kViewPrefix, name) || IsTemporary(name)) continue;
    const std::string path = GroupPath(group) + "/" + name;
    const auto node =
        name.starts_with(kNodePrefix) ? ParseNodeId(name.substr(kNodePrefix.size())) : std::nullopt;
    // A file that is not ours, or damaged, hides nothing else: a node whose registration is not
    // shown registers again.
    if (!node) {
      ReportOnce(path + " is no file of Assent's: it is ignored");
      continue;
    }
    const auto registered = ReadRegistration(path);
    if (registered.ok()) {
      snapshot.registrations.push_back({*node, *registered});
    } else if (registered.status().code() == StatusCode::kDamaged) {
      ReportOnce(registered.status().message() + ". It is ignored until " + ToString(*node) +
                 " registers again");
    } else {
      return registered.status();
    }
  }
  std::sort(snapshot.registrations.begin(), snapshot.registrations.end());
  return snapshot;
}

Result<std::optional<View>> EmbeddedDirectory::ReadView(GroupId group) {
  const std::string group_path = GroupPath(group);
  for (int tries = 0; tries < kReadTriesMax; ++tries) {
    const auto highest = HighestNumber(group_path, kViewPrefix);
    if (!highest.ok() && IsMissing(highest.status())) return std::optional<View>();
    if (!highest.ok()) return highest.status();
    if (*highest == 0) return std::optional<View>();
    const Epoch epoch{*highest};
    const std::string path = group_path + "/" + ViewName(epoch);
    const auto text = ReadSmallFile(path, kTextRecordBytesMax);
    // Pruned since it was listed: newer ones are there.
    if (!text.ok() && text.status().code() == StatusCode::kNotFound) continue;
    if (!text.ok()) return text.status();
    const auto view = DecodeView(*text);
    // Never an older one instead: its epoch was given away, and all that was agreed after it would
    // be forgotten (I-R4).
    if (!view.ok() || view->group != group || view->epoch != epoch) {
      const std::string why = view.ok() ? "it names another group or epoch" : view.status().message();
      return Status(StatusCode::kDamaged,
                    path + ": " + why + ". The current view of " + ToString(group) +
                        " is damaged: put the file back from a copy. Removing it would make an "
                        "older view hold again");
    }
    ASSENT_RETURN_IF_ERROR(SyncView(group, epoch));
    return std::optional<View>(*view);
  }
  return Status(StatusCode::kUnavailable, group_path + ": views change faster than they can be read");
}

Status EmbeddedDirectory::SyncView(GroupId group, Epoch epoch) {
  {
    const std::scoped_lock lock(mutex_);
    if (synced_[group] >= epoch) return {};
  }
  ASSENT_RETURN_IF_ERROR(SyncDirectory(GroupPath(group)));
  const std::scoped_lock lock(mutex_);
  Epoch& synced = synced_[group];
  synced = std::max(synced, epoch);
  return {};
}

CasResult EmbeddedDirectory::CompareAndSwap(const View& next) {
  const Status valid = ValidateView(next);
  ASSENT_CHECK(valid.ok(), valid.message());
  if (const Status ours = CheckIdentity(); !ours.ok()) return Failed(ours);
  const std::string group_path = GroupPath(next.group);
  Status status = MakeDirectories(group_path);
  // Another process may have made it and died before it synced.
  if (status.ok()) status = SyncDirectory(path_ + "/groups");
  if (!status.ok()) return Failed(status);

  auto current = ReadView(next.group);
  if (!current.ok()) return Failed(current.status());
  const Epoch expected = *current ? Next((*current)->epoch) : first_epoch_;
  if (next.epoch != expected) return {CasOutcome::kLost, std::move(*current), {}};

  if (const Status life = CheckLife(next.primary); !life.ok()) return Failed(life);

  if (before_link_) before_link_();
  bool may_be_there = false;
  status = CreateFileOnce(group_path + "/" + ViewName(next.epoch), EncodeView(next), &may_be_there);
  if (status.ok()) {
    const auto highest = HighestNumber(group_path, kViewPrefix);
    if (!highest.ok()) return Unknown(highest.status());
    if (*highest < Raw(next.epoch) + kViewsKept) {
      static_cast<void>(
          Prune(group_path, kViewPrefix, *highest, kViewsKept));  // the view holds whatever becomes of this
      return {CasOutcome::kWon, std::nullopt, {}};
    }
    // I-R2: this process stood still between its look and its link for so long that the epoch's file may have
    // been pruned in between. Won or not, it is over: the current epoch is far above.
  } else if (status.code() != StatusCode::kConflict) {
    return may_be_there ? Unknown(status) : Failed(status);
  }
  current = ReadView(next.group);
  if (!current.ok()) return Unknown(current.status());
  return {CasOutcome::kLost, std::move(*current), {}};
}

Status EmbeddedDirectory::Register(GroupId group, NodeId node, Incarnation incarnation) {
  if (Raw(incarnation) == 0)
    return Status(StatusCode::kInvalid, "a replica registers under an incarnation, not 0");
  ASSENT_RETURN_IF_ERROR(CheckIdentity());
  ASSENT_RETURN_IF_ERROR(MakeDirectories(GroupPath(group)));
  ASSENT_RETURN_IF_ERROR(SyncDirectory(path_ + "/groups"));
  const TextRecord record{"registration", kFormat, {{"incarnation", Hex16(Raw(incarnation))}}};
  return ReplaceFile(GroupPath(group) + "/" + std::string(kNodePrefix) + ToString(node),
                     EncodeTextRecord(record));
}

// R3: only the registered process of a node proposes. Looked at just before the link: one that stands still
// between the two is not gone, so nobody takes its place meanwhile.
Status EmbeddedDirectory::CheckLife(NodeId proposer) {
  const auto held = ReadRegister(proposer);
  if (!held.ok()) return held.status();
  if (!*held || (*held)->life == life_) return {};
  return Status(StatusCode::kForeign, ToString(proposer) + " runs at " + (*held)->address +
                                          " now, by its register (R3): this process proposes nothing more");
}

std::string EmbeddedDirectory::NodePath(NodeId node) const {
  return path_ + "/nodes/" + ToString(node);
}

Result<std::optional<NodeRegister>> EmbeddedDirectory::ReadRegister(NodeId node) {
  using Found = std::optional<NodeRegister>;
  ASSENT_RETURN_IF_ERROR(CheckIdentity());
  const std::string node_path = NodePath(node);
  for (int tries = 0; tries < kReadTriesMax; ++tries) {
    const auto highest = HighestNumber(node_path, kRegisterPrefix);
    if (!highest.ok() && !IsMissing(highest.status())) return highest.status();
    if (!highest.ok() || *highest == 0) {
      ASSENT_RETURN_IF_ERROR(CheckIdentity());  // it may have gone with the directory
      return Found();
    }
    const std::string path = node_path + "/" + NumberedName(kRegisterPrefix, *highest);
    const auto text = ReadSmallFile(path, kTextRecordBytesMax);
    if (!text.ok() && IsMissing(text.status())) continue;  // pruned since it was listed
    if (!text.ok()) return text.status();
    auto held = DecodeRegister(*text, path);
    if (held.ok() && (held->node != node || held->version != *highest)) {
      held = Status(StatusCode::kDamaged, path + ": it names another node or version. The file is damaged");
    }
    if (!held.ok() && held.status().code() == StatusCode::kDamaged) {
      return Status(StatusCode::kDamaged,
                    held.status().message() +
                        ". Its node writes the next one while it runs; if it does not, remove "
                        "the file, and the register before it holds");
    }
    if (!held.ok()) return held.status();
    ASSENT_RETURN_IF_ERROR(SyncDirectory(node_path));  // R7: its maker may have died before its own sync
    return Found(std::move(*held));
  }
  return Status(StatusCode::kUnavailable, node_path + ": registers change faster than they can be read");
}

Status EmbeddedDirectory::SwapRegister(const NodeRegister& next) {
  ASSENT_RETURN_IF_ERROR(CheckIdentity());
  const std::string node_path = NodePath(next.node);
  if (next.version == 1) {
    ASSENT_RETURN_IF_ERROR(MakeDirectories(node_path));
    ASSENT_RETURN_IF_ERROR(SyncDirectory(path_ + "/nodes"));
  }
  const auto current = HighestNumber(node_path, kRegisterPrefix);
  if (!current.ok() && !IsMissing(current.status())) return current.status();
  const Status lost(StatusCode::kConflict, "another register of " + ToString(next.node) + " holds");
  if (!current.ok() || *current + 1 != next.version) return lost;
  const Status made =
      CreateFileOnce(node_path + "/" + NumberedName(kRegisterPrefix, next.version), EncodeRegister(next));
  if (!made.ok()) return made.code() == StatusCode::kConflict ? lost : made;
  const auto highest = HighestNumber(node_path, kRegisterPrefix);
  if (!highest.ok()) return highest.status();
  // As with a view: stopped between look and link, until its version's file may have been pruned.
  if (*highest >= next.version + kRegistersKept) return lost;
  if (next.version % kRegistersKept == 0) {  // a sync is saved
    static_cast<void>(Prune(node_path, kRegisterPrefix, *highest, kRegistersKept));
  }
  return {};
}

Result<Placement> EmbeddedDirectory::ReadPlacement() {
  const std::string path = path_ + "/placement";
  const auto text = ReadSmallFile(path, kTextRecordBytesMax);
  if (!text.ok()) return text.status();
  const auto record = DecodeTextRecord(*text, "placement", kFormat, path);
  if (!record.ok()) return record.status();
  // Runs of slots: "<last slot> <shard>", in slot order.
  std::vector<GroupId> slots;
  for (const auto& [last, shard] : record->fields) {
    const auto group = ParseGroupId(shard);
    uint32_t through = 0;
    const auto [end, error] = std::from_chars(last.data(), last.data() + last.size(), through);
    const bool number = error == std::errc{} && end == last.data() + last.size();
    if (!number || !group || group->kind != GroupKind::kShard || through >= kSlots ||
        through < slots.size()) {
      return Status(StatusCode::kDamaged, path + ": \"" + last + " " + shard + "\" is no run of slots");
    }
    slots.resize(through + 1, *group);
  }
  if (slots.size() != kSlots) return Status(StatusCode::kDamaged, path + ": slots are missing");
  ASSENT_RETURN_IF_ERROR(SyncDirectory(path_));  // R7: its maker may have died before its own sync
  return Placement(std::move(slots));
}

Status EmbeddedDirectory::CreatePlacement(const Placement& placement) {
  const auto& slots = placement.slots();
  const Status made = CreateFileOnce(path_ + "/placement", EncodePlacement(placement));
  if (made.code() != StatusCode::kConflict) return made;
  const auto there = ReadPlacement();
  if (!there.ok()) return there.status();
  if (there->slots() == slots) return {};
  return Status(StatusCode::kConflict,
                path_ + "/placement: another placement was made for this cluster already");
}

}  // namespace assent
