// A replica's log and store are opened together, or not at all.
#include <gtest/gtest.h>

#include "driver/replica_files.h"
#include "tests/unit/temp_directory.h"
#include "tests/unit/wal_testing.h"

namespace assent {
namespace {

class ReplicaFiles : public testing::Test {
 protected:
  void MakeLog(uint64_t epoch, uint64_t records) {
    const auto log = wal::MustOpen(files_);
    wal::ExpectOk(log->AppendAndForce(wal::Entries(epoch, 1, records)));
  }
  void MakeStore(LogPosition applied) {
    auto store = Store::Open(directory_ / "state.sqlite", kIdentity, {});
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    wal::ExpectOk((*store)->ApplyBatch(applied, {}));
  }
  Status Open() {
    const ReplicaPlaces places{wal::kDirectory, wal::kDirectory, directory_ / "state.sqlite"};
    const auto opened = OpenReplicaFiles(files_, places, kIdentity, {}, wal::TestOptions());
    return opened.ok() ? Status() : opened.status();
  }

  const StoreIdentity kIdentity{"test", wal::kTestGroup};
  TempDirectory directory_;
  wal::MemoryFileSystem files_;
};

TEST_F(ReplicaFiles, StoreAtARecordOfTheLogIsOpened) {
  MakeLog(5, 4);
  MakeStore({Epoch{5}, Lsn{3}});
  EXPECT_TRUE(Open().ok()) << Open().ToString();
}

TEST_F(ReplicaFiles, StoreAndLogOfDifferentCopiesAreDamage) {
  MakeLog(5, 4);
  MakeStore({Epoch{7}, Lsn{3}});
  const Status opened = Open();
  EXPECT_EQ(opened.code(), StatusCode::kDamaged);
  EXPECT_NE(opened.message().find("the store is the state at (e7, 3), but the log has (e5, 3) there"),
            std::string::npos)
      << opened.message();
}

TEST_F(ReplicaFiles, LogThatEndsBeforeItsStoreIsDamage) {
  MakeLog(5, 2);
  MakeStore({Epoch{5}, Lsn{3}});
  EXPECT_EQ(Open().code(), StatusCode::kDamaged);
}

}  // namespace
}  // namespace assent
