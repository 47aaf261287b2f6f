#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sim/checker/checker.h"

// First half of the checker: who wrote each value, who read it, and which transactions count as having
// happened. Reports what is wrong without any ordering: reads of values that cannot be there.
namespace assent::checker {

inline constexpr uint32_t kNobody = std::numeric_limits<uint32_t>::max();

struct Reader {
  uint32_t transaction = 0;
  bool by_absence = false;  // a scan did not return the key
};

// One version of a key: what one write put there, or the absence that was there first.
struct Version {
  uint32_t key = 0;
  uint32_t writer = kNobody;  // kNobody: the initial absence
  std::optional<std::string> value;
  bool last_of_writer = true;         // the writer did not overwrite it itself
  uint64_t number = 0;                // as reads returned it; 0 = none did
  std::optional<uint32_t> overwrote;  // its writer had read this version before it wrote
  std::vector<Reader> readers;        // that count; never the writer
  bool elements_checked = false;
};

struct Key {
  std::string name;
  bool is_list = false;
  bool may_be_deleted = false;     // absence may be other than the initial one
  uint32_t initial = 0;            // version
  std::vector<uint32_t> versions;  // others, in no order
};

class Observations {
 public:
  using Report = std::function<void(AnomalyKind kind, std::vector<size_t> transactions, std::string text)>;

  Observations(const History& history, const Report& report);

  // Indexed by transaction: committed, or of unknown outcome and read from.
  const std::vector<bool>& counts() const { return counts_; }
  size_t unknown_happened() const { return unknown_happened_; }
  const std::vector<Key>& keys() const { return keys_; }
  const std::vector<Version>& versions() const { return versions_; }
  bool Installed(uint32_t version) const;  // the last write of a transaction that counts

 private:
  struct Own {                        // what a transaction did to a key so far
    std::optional<uint32_t> read;     // last version seen before it wrote
    std::optional<uint32_t> written;  // its last write
  };
  using OwnWork = std::map<uint32_t, Own>;  // by key

  void CheckTimes();
  void InternWrites();
  void TakeReads(uint32_t transaction);
  void TakeRead(uint32_t transaction, OwnWork& own, const Read& read, bool by_absence);
  void TakeScan(uint32_t transaction, OwnWork& own, const Scan& scan);
  void TakeWrite(uint32_t transaction, OwnWork& own, const Write& write);
  void SeeVersion(uint32_t transaction, uint32_t version, uint64_t number, bool by_absence);
  void CheckElements(uint32_t transaction, const Key& key, const std::string& value);
  void CheckNumbers();

  uint32_t KeyNumber(const std::string& name);
  uint32_t AddVersion(Version version);

  const History& history_;
  Report report_;
  std::vector<bool> counts_;
  size_t unknown_happened_ = 0;
  std::vector<uint32_t> to_take_;  // transactions that count: their reads are taken in this order
  std::vector<Key> keys_;
  std::map<std::string, uint32_t, std::less<>> key_numbers_;  // ordered, for scans
  std::vector<Version> versions_;
  std::vector<std::unordered_map<std::string_view, uint32_t>> by_value_;  // of each key; views into history_
  std::vector<std::vector<uint32_t>> writes_of_;  // of each transaction, its writes in order, as versions
  std::vector<size_t> writes_taken_;
};

}  // namespace assent::checker
