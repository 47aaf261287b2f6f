#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/state.h"
#include "common/status.h"

namespace assent {

class Store;

struct StoreDigest {
  LogPosition at;
  uint64_t rows = 0;
  uint64_t hash_high = 0;
  uint64_t hash_low = 0;
  bool operator==(const StoreDigest&) const = default;
};

// A digest of all rows of some tables, their keys, LSNs and values in key order: equal states have equal
// digests, however their batches were cut. For the audit of replicas at equal applied(). It reads everything,
// in steps, so that other work on the store's thread goes on between them.
class StoreDigester {
 public:
  explicit StoreDigester(std::span<const Table> tables);
  ~StoreDigester();
  StoreDigester(const StoreDigester&) = delete;
  StoreDigester& operator=(const StoreDigester&) = delete;

  // Takes rows in until they have `bytes_max` together, at least one. True: that was all. kConflict: the
  // store was written since the first step; begin again.
  Result<bool> Step(const Store& store, uint64_t bytes_max);
  // Step has returned true.
  StoreDigest digest() const;

 private:
  struct Hash;
  void AddNumber(uint64_t number);

  const std::vector<Table> tables_;
  const std::unique_ptr<Hash> hash_;
  size_t table_ = 0;    // of tables_, under way
  bool begun_ = false;  // it was
  std::string next_;    // where in it to go on
  std::optional<LogPosition> at_;
  uint64_t rows_ = 0;
};

}  // namespace assent
