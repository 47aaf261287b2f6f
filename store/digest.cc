#include "store/digest.h"

#include <xxhash.h>

#include "common/check.h"
#include "store/store.h"

namespace assent {

struct StoreDigester::Hash {
  XXH3_state_t* const state = XXH3_createState();
  Hash() {
    ASSENT_CHECK(state != nullptr, "no memory");
    XXH3_128bits_reset(state);
  }
  ~Hash() { XXH3_freeState(state); }
  Hash(const Hash&) = delete;
  Hash& operator=(const Hash&) = delete;
};

StoreDigester::StoreDigester(std::span<const Table> tables)
    : tables_(tables.begin(), tables.end()), hash_(std::make_unique<Hash>()) {}

StoreDigester::~StoreDigester() = default;

void StoreDigester::AddNumber(uint64_t number) {
  char bytes[8];
  for (char& byte : bytes) {
    byte = static_cast<char>(number & 0xff);
    number >>= 8;
  }
  XXH3_128bits_update(hash_->state, bytes, sizeof bytes);
}

Result<bool> StoreDigester::Step(const Store& store, uint64_t bytes_max) {
  ASSENT_RETURN_IF_ERROR(store.status());
  if (at_ && *at_ != store.applied()) {
    return Status(StatusCode::kConflict, store.path() + ": it was written meanwhile");
  }
  at_ = store.applied();
  uint64_t bytes = 0;
  for (; table_ < tables_.size(); ++table_) {
    if (!begun_) AddNumber(static_cast<uint64_t>(tables_[table_]));
    begun_ = true;
    bool is_over = true;
    store.Scan(tables_[table_], next_, "", [&](std::string_view key, const Row& row) {
      // Lengths first: no two different states hash the same bytes.
      AddNumber(key.size());
      XXH3_128bits_update(hash_->state, key.data(), key.size());
      AddNumber(Raw(row.lsn));
      AddNumber(row.value.size());
      XXH3_128bits_update(hash_->state, row.value.data(), row.value.size());
      ++rows_;
      bytes += key.size() + row.value.size();
      is_over = bytes < bytes_max;
      if (!is_over) next_ = std::string(key) + '\0';  // the least key above
      return is_over;
    });
    ASSENT_RETURN_IF_ERROR(store.status());
    if (!is_over) return false;
    AddNumber(UINT64_MAX);  // no key is that long: the end of the table
    next_.clear();
    begun_ = false;
  }
  return true;
}

StoreDigest StoreDigester::digest() const {
  ASSENT_CHECK(table_ == tables_.size(), "not all tables are taken in", table_, tables_.size());
  const XXH128_hash_t hash = XXH3_128bits_digest(hash_->state);
  return StoreDigest{at_.value_or(LogPosition{}), rows_, hash.high64, hash.low64};
}

}  // namespace assent
