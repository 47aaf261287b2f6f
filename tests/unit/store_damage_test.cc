// G7: whatever becomes of the bytes of a store's file, it never answers with a wrong row, nor
// with a missing one.
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "store/checksum_vfs.h"
#include "store/store.h"
#include "store_testing.h"
#include "temp_directory.h"

namespace assent {
namespace {

class StoreDamage : public testing::Test {
 protected:
  StoreDamage() {
    auto store = Store::Open(path_, kIdentity, {});
    EXPECT_TRUE(store.ok());
    RandomHistory history(5, 200, 1500);
    for (int i = 0; i < 150; ++i) {
      Overlay overlay(**store);
      Take(overlay, history.Next());
      const Lsn lsn{history.last()};
      EXPECT_TRUE((*store)->ApplyBatch({Epoch{1}, lsn}, overlay.Collect(lsn)).ok());
    }
    contents_ = history.After(Lsn{history.last()});
    store->reset();
    bytes_ = ReadFile(path_);
  }

  // Opens the file as it is now and reads everything twice, row by row and by scans. Returns whether
  // damage was seen.
  bool DamageIsSeenOrHarmless(bool verify) {
    StoreOptions options;
    options.verify = verify;
    const auto store = Store::Open(path_, kIdentity, options);
    if (!store.ok()) {
      EXPECT_TRUE(store.status().code() == StatusCode::kDamaged ||
                  store.status().code() == StatusCode::kForeign)
          << store.status().ToString();
      return true;
    }
    const Contents scanned = ContentsOf(**store);
    if ((*store)->status().ok()) {
      EXPECT_TRUE(scanned == contents_) << scanned.size() << " rows, of " << contents_.size();
    } else {
      EXPECT_EQ((*store)->status().code(), StatusCode::kDamaged) << (*store)->status().ToString();
      return true;
    }
    for (const auto& [place, row] : contents_) {
      const auto got = (*store)->Get(place.first, place.second);
      if (!(*store)->status().ok()) return true;
      EXPECT_TRUE(got == row) << place.second;
    }
    return false;
  }

  const TempDirectory temp_;
  const std::string path_ = temp_ / "state.sqlite";
  Contents contents_;
  std::string bytes_;
};

TEST_F(StoreDamage, FlippedBitsAreNeverServed) {
  ASSERT_GT(bytes_.size(), 64u * 1024);
  std::mt19937_64 random(1);
  int seen = 0;
  constexpr int kFlips = 300;
  for (int i = 0; i < kFlips; ++i) {
    const size_t bit = random() % (bytes_.size() * 8);
    SCOPED_TRACE(bit);
    std::string bad = bytes_;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    WriteFile(path_, bad);
    if (DamageIsSeenOrHarmless(false)) ++seen;
    if (HasFailure()) break;
  }
  EXPECT_GT(seen, kFlips * 8 / 10);  // the rest hit pages without rows
}

TEST_F(StoreDamage, FlippedBitsOfTheFirstPageAreNeverServed) {
  for (size_t bit = 0; bit < 110 * 8; bit += 3) {
    SCOPED_TRACE(bit);
    std::string bad = bytes_;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    WriteFile(path_, bad);
    EXPECT_TRUE(DamageIsSeenOrHarmless(false));
    if (HasFailure()) break;
  }
}

TEST_F(StoreDamage, VerifyFindsEveryFlip) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 200; ++i) {
    const size_t bit = random() % (bytes_.size() * 8);
    SCOPED_TRACE(bit);
    std::string bad = bytes_;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    WriteFile(path_, bad);
    StoreOptions options;
    options.verify = true;
    EXPECT_FALSE(Store::Open(path_, kIdentity, options).ok());
    if (HasFailure()) break;
  }
}

TEST_F(StoreDamage, MisdirectedPagesAreNeverServed) {
  const size_t pages = bytes_.size() / kStorePageBytes;
  std::mt19937_64 random(3);
  for (int i = 0; i < 200; ++i) {
    const size_t from = random() % pages;
    const size_t to = random() % pages;
    if (from == to) continue;
    SCOPED_TRACE(std::to_string(from) + " over " + std::to_string(to));
    std::string bad = bytes_;
    bad.replace(to * kStorePageBytes, kStorePageBytes, bytes_, from * kStorePageBytes, kStorePageBytes);
    WriteFile(path_, bad);
    DamageIsSeenOrHarmless(false);
    if (HasFailure()) break;
  }
}

TEST_F(StoreDamage, TruncatedFilesAreNeverServed) {
  for (size_t length = 0; length < bytes_.size();
       length += length < 4096 ? 97 : 1777) {  // in mid-page, mostly
    SCOPED_TRACE(length);
    WriteFile(path_, bytes_.substr(0, length));
    EXPECT_TRUE(DamageIsSeenOrHarmless(true));
    if (HasFailure()) break;
  }
}

TEST_F(StoreDamage, MessageSaysWhatToDo) {
  std::string bad = bytes_;
  bad[5000] = static_cast<char>(bad[5000] ^ 1);
  WriteFile(path_, bad);
  StoreOptions options;
  options.verify = true;
  const auto store = Store::Open(path_, kIdentity, options);
  ASSERT_FALSE(store.ok());
  EXPECT_NE(store.status().message().find(path_), std::string::npos);
  EXPECT_NE(store.status().message().find("move this replica's directory away"), std::string::npos)
      << store.status().message();
}

}  // namespace
}  // namespace assent
