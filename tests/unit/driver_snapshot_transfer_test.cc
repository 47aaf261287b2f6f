// Snapshots in pieces from one store to the next, and what is left where either end gives up.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "driver/snapshot_transfer.h"
#include "tests/unit/temp_directory.h"
#include "wal/posix_file.h"

namespace assent {
namespace {

constexpr GroupId kShard{GroupKind::kShard, 1};
const StoreIdentity kIdentity{"test", kShard};

class SnapshotTransfer : public testing::Test {
 protected:
  SnapshotTransfer() {
    auto opened = Store::Open(directory / "from.sqlite", kIdentity, {});
    EXPECT_TRUE(opened.ok());
    store = std::move(opened).value();
    Write(300);
  }
  void Write(uint64_t rows) {
    std::vector<Mutation> batch;
    const LogPosition at{Epoch{1}, Lsn{Raw(store->applied().lsn) + rows}};
    for (uint64_t lsn = Raw(store->applied().lsn) + 1; lsn <= Raw(at.lsn); ++lsn) {
      batch.push_back({Table::kData, "k" + std::to_string(1'000 + lsn), std::string(3'000, 'v'), Lsn{lsn}});
    }
    ASSERT_TRUE(store->ApplyBatch(at, batch).ok());
  }
  wal::PosixFileSystem files;
  std::unique_ptr<SnapshotSource> Source() {
    auto source = SnapshotSource::Start(*store, files, out);
    EXPECT_TRUE(source.ok()) << source.status().ToString();
    return std::move(source).value();
  }
  static void Complete(SnapshotSource& source) {
    for (Result<bool> done = false; !*done;) {
      done = source.Step();
      ASSERT_TRUE(done.ok());
    }
  }

  TempDirectory directory;
  const std::string out = directory / "out.snapshot";
  const std::string in = directory / "in.snapshot";
  std::unique_ptr<Store> store;
};

TEST_F(SnapshotTransfer, PiecesPutTogetherAreTheStoreAtOnePosition) {
  auto source = Source();
  const auto first = source->Step();
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(*first) << "a step copies everything, however much that is";
  Write(20);  // while it is copied
  Complete(*source);
  const LogPosition at = store->applied();
  Write(20);  // and after

  SnapshotSink sink(files, in);
  uint64_t offset = 0;
  for (bool done = false; !done;) {
    const auto piece = source->Read(offset, 10'000);
    ASSERT_TRUE(piece.ok());
    EXPECT_EQ(piece->at, at);
    EXPECT_LE(piece->bytes.size(), 10'000u);
    const auto held = sink.Write(*piece);
    ASSERT_TRUE(held.ok());
    offset += piece->bytes.size();
    EXPECT_EQ(*held, offset);
    done = piece->done;
  }
  ASSERT_TRUE(sink.Finish()->Sync().ok());
  const auto checked = Store::CheckSnapshot(in, kIdentity, {});
  ASSERT_TRUE(checked.ok()) << checked.status().ToString();
  EXPECT_EQ(*checked, at);
}

TEST_F(SnapshotTransfer, PieceCanBeReadAgainAndTheEndIsEmptyAndDone) {
  auto source = Source();
  Complete(*source);
  const auto once = source->Read(4'096, 100);
  const auto again = source->Read(4'096, 100);
  ASSERT_TRUE(once.ok() && again.ok());
  EXPECT_EQ(once->bytes, again->bytes);
  EXPECT_FALSE(once->done);
  const uint64_t size = std::filesystem::file_size(out);
  const auto end = source->Read(size, 100);
  ASSERT_TRUE(end.ok());
  EXPECT_TRUE(end->bytes.empty() && end->done);
  EXPECT_EQ(source->Read(size + 1, 100).status().code(), StatusCode::kInvalid);
}

TEST_F(SnapshotTransfer, SourceThatEndsLeavesNoFile) {
  {
    auto source = Source();
    Complete(*source);
    EXPECT_TRUE(std::filesystem::exists(out));
  }
  EXPECT_FALSE(std::filesystem::exists(out));
  { auto unfinished = Source(); }
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(SnapshotTransfer, OffsetZeroBeginsAnew) {
  SnapshotSink sink(files, in);
  ASSERT_TRUE(sink.Write({{Epoch{1}, Lsn{1}}, 0, "abcdef", false}).ok());
  ASSERT_TRUE(sink.Write({{Epoch{1}, Lsn{2}}, 0, "xy", false}).ok());
  const auto held = sink.Write({{Epoch{1}, Lsn{2}}, 2, "z", true});
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(*held, 3u);
  ASSERT_TRUE(sink.Finish()->Sync().ok());
  EXPECT_EQ(ReadFile(in), "xyz");
}

TEST_F(SnapshotTransfer, SinkThatIsGivenUpLeavesNoFileAndAWholeOneStays) {
  {
    SnapshotSink sink(files, in);
    ASSERT_TRUE(sink.Write({{Epoch{1}, Lsn{1}}, 0, "abcdef", false}).ok());
  }
  EXPECT_FALSE(std::filesystem::exists(in));
  {
    SnapshotSink sink(files, in);
    ASSERT_TRUE(sink.Write({{Epoch{1}, Lsn{1}}, 0, "abcdef", true}).ok());
    ASSERT_TRUE(sink.Finish()->Sync().ok());
  }
  EXPECT_TRUE(std::filesystem::exists(in));
}

TEST_F(SnapshotTransfer, PlaceThatCannotBeWrittenIsAStatus) {
  SnapshotSink sink(files, directory / "none/in.snapshot");
  EXPECT_FALSE(sink.Write({{Epoch{1}, Lsn{1}}, 0, "a", false}).ok());
  EXPECT_FALSE(SnapshotSource::Start(*store, files, directory / "none/out.snapshot").ok());
}

}  // namespace
}  // namespace assent
