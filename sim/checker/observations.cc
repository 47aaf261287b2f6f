#include "sim/checker/observations.h"

#include <algorithm>
#include <utility>

namespace assent::checker {
namespace {

std::string Quote(const std::optional<std::string>& value) {
  return value ? "\"" + *value + "\"" : "absent";
}

std::string T(size_t transaction) {
  return "T" + std::to_string(transaction);
}

}  // namespace

Observations::Observations(const History& history, const Report& report)
    : history_(history),
      report_(report),
      counts_(history.transactions.size(), false),
      writes_of_(history.transactions.size()),
      writes_taken_(history.transactions.size(), 0) {
  CheckTimes();
  InternWrites();
  for (uint32_t i = 0; i < history.transactions.size(); ++i) {
    if (history.transactions[i].outcome != Outcome::kCommitted) continue;
    counts_[i] = true;
    to_take_.push_back(i);
  }
  // Taking a read may show that a transaction of unknown outcome happened, which is then taken too.
  for (size_t i = 0; i < to_take_.size(); ++i) TakeReads(to_take_[i]);
  CheckNumbers();
}

bool Observations::Installed(uint32_t version) const {
  const Version& v = versions_[version];
  return v.writer != kNobody && v.last_of_writer && counts_[v.writer];
}

void Observations::CheckTimes() {
  for (size_t i = 0; i < history_.transactions.size(); ++i) {
    const Transaction& t = history_.transactions[i];
    bool open = t.complete_ns == kNever;
    if (open != (t.outcome == Outcome::kUnknown) || t.complete_ns < t.invoke_ns) {
      report_(AnomalyKind::kMalformed, {i}, "its times do not fit its outcome\n");
    }
  }
}

void Observations::InternWrites() {
  for (uint32_t i = 0; i < history_.transactions.size(); ++i) {
    const Transaction& t = history_.transactions[i];
    std::vector<std::pair<uint32_t, uint32_t>> last;  // key, version
    for (const Event& event : t.events) {
      const Write* write = std::get_if<Write>(&event);
      if (write == nullptr) continue;
      uint32_t key = KeyNumber(write->key);
      Version version;
      version.key = key;
      version.writer = i;
      version.value = write->value;
      uint32_t number = AddVersion(std::move(version));
      keys_[key].versions.push_back(number);
      writes_of_[i].push_back(number);
      auto before = std::find_if(last.begin(), last.end(), [key](const auto& l) { return l.first == key; });
      if (before == last.end()) {
        last.emplace_back(key, number);
      } else {
        versions_[before->second].last_of_writer = false;
        before->second = number;
      }
      if (!write->value) {
        if (t.outcome != Outcome::kAborted) keys_[key].may_be_deleted = true;
        continue;
      }
      auto [place, fresh] = by_value_[key].emplace(*write->value, number);
      if (!fresh) {
        report_(AnomalyKind::kMalformed, {versions_[place->second].writer, i},
                "both write " + Quote(write->value) + " to " + write->key + "\n");
      }
    }
  }
}

void Observations::TakeReads(uint32_t transaction) {
  OwnWork own;
  for (const Event& event : history_.transactions[transaction].events) {
    if (const Read* read = std::get_if<Read>(&event)) {
      TakeRead(transaction, own, *read, false);
    } else if (const Write* write = std::get_if<Write>(&event)) {
      TakeWrite(transaction, own, *write);
    } else {
      TakeScan(transaction, own, std::get<Scan>(event));
    }
  }
}

void Observations::TakeRead(uint32_t transaction, OwnWork& own, const Read& read, bool by_absence) {
  uint32_t key = KeyNumber(read.key);
  Own& mine = own[key];
  if (mine.written) {
    const Version& expected = versions_[*mine.written];
    if (read.value != expected.value) {
      report_(AnomalyKind::kInternal, {transaction},
              T(transaction) + " wrote " + read.key + "=" + Quote(expected.value) + ", then read " +
                  Quote(read.value) + "\n");
    }
    return;
  }
  if (!read.value) {
    if (keys_[key].may_be_deleted) return;
    mine.read = keys_[key].initial;
    SeeVersion(transaction, keys_[key].initial, 0, by_absence);
    return;
  }
  auto found = by_value_[key].find(*read.value);
  if (found == by_value_[key].end()) {
    if (keys_[key].is_list) CheckElements(transaction, keys_[key], *read.value);
    report_(AnomalyKind::kNeverWritten, {transaction},
            T(transaction) + " read " + read.key + "=" + Quote(read.value) + ", which nobody wrote\n");
    return;
  }
  Version& version = versions_[found->second];
  if (keys_[key].is_list && !version.elements_checked) {
    version.elements_checked = true;
    CheckElements(transaction, keys_[key], *read.value);
  }
  if (version.writer == transaction) {
    report_(AnomalyKind::kInternal, {transaction},
            T(transaction) + " read " + read.key + "=" + Quote(read.value) + " before it wrote that\n");
    return;
  }
  mine.read = found->second;
  SeeVersion(transaction, found->second, read.version, false);
}

void Observations::TakeScan(uint32_t transaction, OwnWork& own, const Scan& scan) {
  for (const ResultRow& row : scan.rows) {
    TakeRead(transaction, own, Read{row.key, row.value, row.version}, false);
  }
  auto returned = [&scan](const std::string& key) {
    auto place = std::lower_bound(scan.rows.begin(), scan.rows.end(), key,
                                  [](const ResultRow& row, const std::string& k) { return row.key < k; });
    return place != scan.rows.end() && place->key == key;
  };
  for (auto it = key_numbers_.lower_bound(scan.prefix);
       it != key_numbers_.end() && it->first.starts_with(scan.prefix); ++it) {
    if (scan.truncated && (scan.rows.empty() || it->first > scan.rows.back().key)) break;
    if (!returned(it->first)) TakeRead(transaction, own, Read{it->first, std::nullopt, 0}, true);
  }
}

void Observations::TakeWrite(uint32_t transaction, OwnWork& own, const Write& write) {
  Own& mine = own[KeyNumber(write.key)];
  mine.written = writes_of_[transaction][writes_taken_[transaction]++];
  versions_[*mine.written].overwrote = mine.read;
}

void Observations::SeeVersion(uint32_t transaction, uint32_t number, uint64_t store_number, bool by_absence) {
  Version& version = versions_[number];
  version.readers.push_back({transaction, by_absence});
  if (version.writer == kNobody) return;
  const Transaction& writer = history_.transactions[version.writer];
  const std::string what = T(transaction) + " read " + keys_[version.key].name + "=" + Quote(version.value) +
                           " of " + T(version.writer);
  if (writer.outcome == Outcome::kAborted) {
    report_(AnomalyKind::kAbortedRead, {version.writer, transaction}, what + ", which aborted\n");
  } else if (!version.last_of_writer) {
    report_(AnomalyKind::kIntermediateRead, {version.writer, transaction},
            what + ", which wrote that key again later\n");
  }
  if (writer.outcome == Outcome::kUnknown && !counts_[version.writer]) {
    counts_[version.writer] = true;
    ++unknown_happened_;
    to_take_.push_back(version.writer);
  }
  if (store_number == 0) return;
  if (version.number != 0 && version.number != store_number) {
    report_(AnomalyKind::kDuplicateEffect, {version.writer, transaction},
            what + " at version " + std::to_string(store_number) + "; others read it at " +
                std::to_string(version.number) + ": it was written twice\n");
    return;
  }
  version.number = store_number;
}

void Observations::CheckElements(uint32_t transaction, const Key& key, const std::string& value) {
  std::vector<std::string_view> elements = ListElements(value);
  std::sort(elements.begin(), elements.end());
  auto twice = std::adjacent_find(elements.begin(), elements.end());
  if (twice == elements.end()) return;
  report_(AnomalyKind::kDuplicateEffect, {transaction},
          T(transaction) + " read the list " + key.name + "=" + Quote(value) + ", where " +
              std::string(*twice) + " stands twice\n");
}

void Observations::CheckNumbers() {
  for (const Key& key : keys_) {
    std::vector<std::pair<uint64_t, uint32_t>> numbered;
    for (uint32_t version : key.versions) {
      if (versions_[version].number != 0) numbered.emplace_back(versions_[version].number, version);
    }
    std::sort(numbered.begin(), numbered.end());
    for (size_t i = 1; i < numbered.size(); ++i) {
      const Version& a = versions_[numbered[i - 1].second];
      const Version& b = versions_[numbered[i].second];
      if (a.number != b.number || a.writer == b.writer) continue;
      report_(AnomalyKind::kVersionReused, {a.writer, b.writer},
              key.name + " was read as " + Quote(a.value) + " and as " + Quote(b.value) +
                  ", both at version " + std::to_string(a.number) + "\n");
    }
  }
}

uint32_t Observations::KeyNumber(const std::string& name) {
  auto [place, fresh] = key_numbers_.emplace(name, static_cast<uint32_t>(keys_.size()));
  if (!fresh) return place->second;
  Key key;
  key.name = name;
  key.is_list = history_.list_keys.contains(name);
  Version initial;
  initial.key = place->second;
  key.initial = AddVersion(std::move(initial));
  keys_.push_back(std::move(key));
  by_value_.emplace_back();
  return place->second;
}

uint32_t Observations::AddVersion(Version version) {
  versions_.push_back(std::move(version));
  return static_cast<uint32_t>(versions_.size() - 1);
}

}  // namespace assent::checker
