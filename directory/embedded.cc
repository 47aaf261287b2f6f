#include "directory/embedded.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <utility>

#include "common/check.h"
#include "directory/durable_files.h"
#include "directory/text_record.h"

namespace assent {
namespace {

constexpr uint32_t kFormat = 1;
constexpr std::string_view kViewPrefix = "view.";
constexpr std::string_view kNodePrefix = "node.";
// Of a listing that lost its race with writers and prunings: each loss takes kViewsKept view changes within
// it.
constexpr int kReadTriesMax = 10;
// Of what is told once each (G8).
constexpr size_t kReportsMax = 100;

// Digits to a width that no epoch exceeds, so that names sort as epochs do.
std::string ViewName(Epoch epoch) {
  char digits[21];
  std::snprintf(digits, sizeof digits, "%020llu", static_cast<unsigned long long>(Raw(epoch)));
  return std::string(kViewPrefix) + digits;
}

std::optional<Epoch> EpochOfName(std::string_view name) {
  if (!name.starts_with(kViewPrefix)) return std::nullopt;
  name.remove_prefix(kViewPrefix.size());
  uint64_t epoch = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), epoch);
  if (error != std::errc{} || end != name.data() + name.size() || name.size() != 20) return std::nullopt;
  return Epoch{epoch};
}

// 0 where there is no view. kNotFound: no such directory.
Result<Epoch> HighestEpoch(const std::string& group_path) {
  const auto names = ListDirectory(group_path);
  if (!names.ok()) return names.status();
  Epoch highest{};
  for (const std::string& name : *names) {
    if (const auto epoch = EpochOfName(name)) highest = std::max(highest, *epoch);
  }
  return highest;
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
  return directory;
}

Status EmbeddedDirectory::OpenIdentity(const EmbeddedOptions& options) {
  auto found = ReadIdentity();
  if (!found.ok() && IsMissing(found.status())) {
    // Views without an identity: it was lost, and a new one would pass for a directory that never agreed on
    // anything. Looked for once more behind the views, since another process may have made it, and they
    // theirs, meanwhile.
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
    TextRecord record{"directory",
                      kFormat,
                      {{"cluster", cluster_},
                       {"incarnation", Hex16(Raw(options.fresh))},
                       {"first_epoch", std::to_string(Raw(options.first_epoch))}}};
    const Status made = CreateFileOnce(path_ + "/identity", EncodeTextRecord(record));
    if (!made.ok() && made.code() != StatusCode::kConflict) return made;
    found = ReadIdentity();  // another process may have been first
  }
  if (!found.ok()) return found.status();
  ASSENT_RETURN_IF_ERROR(SyncDirectory(path_));  // R7: whoever made it may have died before its own sync
  incarnation_ = found->incarnation;
  first_epoch_ = found->first_epoch;
  return {};
}

Result<EmbeddedDirectory::Identity> EmbeddedDirectory::ReadIdentity() const {
  const std::string path = path_ + "/identity";
  const auto text = ReadSmallFile(path, kTextRecordBytesMax);
  if (!text.ok()) return text.status();
  const auto record = DecodeTextRecord(*text, "directory", kFormat, path);
  if (!record.ok()) return record.status();
  const auto cluster = record->Find("cluster");
  const auto incarnation = record->FindHex("incarnation");
  if (!cluster || !incarnation || *incarnation == 0) {
    return Status(StatusCode::kDamaged, path + ": a field is missing. The file is damaged");
  }
  if (*cluster != cluster_) {
    return Status(StatusCode::kForeign, path_ + ": this directory belongs to cluster " + *cluster +
                                            ", and this node to " + cluster_ +
                                            ". Set directory.path to the cluster's own");
  }
  // Directories that were made before epochs began anywhere but at 1 do not say.
  return Identity{DirectoryIncarnation{*incarnation}, Epoch{record->FindNumber("first_epoch").value_or(1)}};
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
    if (EpochOfName(name) || IsTemporary(name)) continue;
    const std::string path = GroupPath(group) + "/" + name;
    const auto node =
        name.starts_with(kNodePrefix) ? ParseNodeId(name.substr(kNodePrefix.size())) : std::nullopt;
    // What is not ours, or damaged, hides nothing else: a node whose registration is not shown registers
    // again.
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
    const auto highest = HighestEpoch(group_path);
    if (!highest.ok() && highest.status().code() == StatusCode::kNotFound) return std::optional<View>();
    if (!highest.ok()) return highest.status();
    if (*highest == Epoch{}) return std::optional<View>();
    const std::string path = group_path + "/" + ViewName(*highest);
    const auto text = ReadSmallFile(path, kTextRecordBytesMax);
    // Pruned since it was listed: newer ones are there.
    if (!text.ok() && text.status().code() == StatusCode::kNotFound) continue;
    if (!text.ok()) return text.status();
    const auto view = DecodeView(*text);
    // Never an older one instead: its epoch was given away, and what was agreed after it would be forgotten
    // (I-R4).
    if (!view.ok() || view->group != group || view->epoch != *highest) {
      const std::string why = view.ok() ? "it names another group or epoch" : view.status().message();
      return Status(StatusCode::kDamaged,
                    path + ": " + why + ". The current view of " + ToString(group) +
                        " is damaged: put the file back from a copy. Removing it would make an "
                        "older view hold again");
    }
    ASSENT_RETURN_IF_ERROR(SyncView(group, *highest));
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

  if (before_link_) before_link_();
  bool may_be_there = false;
  status = CreateFileOnce(group_path + "/" + ViewName(next.epoch), EncodeView(next), &may_be_there);
  if (status.ok()) {
    const auto highest = HighestEpoch(group_path);
    if (!highest.ok()) return Unknown(highest.status());
    if (Raw(*highest) < Raw(next.epoch) + kViewsKept) {
      static_cast<void>(Prune(next.group, *highest));  // the view holds whatever becomes of this
      return {CasOutcome::kWon, std::nullopt, {}};
    }
    // I-R2: this process stood still between its look and its link for so long that the epoch's file may have
    // been pruned in between. Won or not, it is over: what holds now is far above.
  } else if (status.code() != StatusCode::kConflict) {
    return may_be_there ? Unknown(status) : Failed(status);
  }
  current = ReadView(next.group);
  if (!current.ok()) return Unknown(current.status());
  return {CasOutcome::kLost, std::move(*current), {}};
}

Status EmbeddedDirectory::Prune(GroupId group, Epoch newest) const {
  const auto names = ListDirectory(GroupPath(group));
  if (!names.ok()) return names.status();
  bool removed = false;
  for (const std::string& name : *names) {
    const auto epoch = EpochOfName(name);
    if (!epoch || Raw(*epoch) + kViewsKept > Raw(newest)) continue;
    ASSENT_RETURN_IF_ERROR(RemoveFile(GroupPath(group) + "/" + name));
    removed = true;
  }
  return removed ? SyncDirectory(GroupPath(group)) : Status();  // R7
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
  TextRecord record{"placement", kFormat, {}};
  const auto& slots = placement.slots();
  ASSENT_CHECK(slots.size() == kSlots, slots.size());
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    if (slot + 1 < kSlots && slots[slot + 1] == slots[slot]) continue;
    record.fields.emplace_back(std::to_string(slot), ToString(slots[slot]));
  }
  const Status made = CreateFileOnce(path_ + "/placement", EncodeTextRecord(record));
  if (made.code() != StatusCode::kConflict) return made;
  const auto there = ReadPlacement();
  if (!there.ok()) return there.status();
  if (there->slots() == slots) return {};
  return Status(StatusCode::kConflict,
                path_ + "/placement: another placement was made for this cluster already");
}

}  // namespace assent
