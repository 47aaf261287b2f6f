// wal/inspect.h: says what is there, sound or not, and touches nothing.
#include "tests/unit/wal_testing.h"
#include "wal/inspect.h"

namespace assent::wal {
namespace {

class Transcript final : public InspectVisitor {
 public:
  void OnSegment(const InspectedSegment& segment) override {
    text +=
        segment.header ? "segment behind " + ToString(segment.header->previous) : std::string("segment ?");
    if (segment.limit) text += " limit " + std::to_string(Raw(*segment.limit));
    text += "\n";
  }
  void OnBatch(uint64_t offset, const BatchHeader& header, uint64_t batch_bytes) override {
    text += "  @" + std::to_string(offset) + "+" + std::to_string(batch_bytes) + " " +
            std::to_string(Raw(header.first)) + ".." + std::to_string(Raw(header.last)) + " durable " +
            std::to_string(Raw(header.durable)) + ":";
  }
  void OnFrame(uint64_t, const FrameView& frame, const std::string& decoded) override {
    text += " " + ToString(frame.position) + "=" + decoded;
  }
  void OnSegmentEnd(const InspectedSegment&, const InspectedSegmentEnd& end) override {
    text += "\n  " + std::string(ToString(end.state)) + ", last " + ToString(end.last) + ", torn " +
            std::to_string(end.torn_batches) + "\n";
  }

  std::string text;
};

const InspectOptions kDecode{
    Lsn{}, [](std::string_view payload) { return std::string(payload.substr(0, payload.find(')') + 1)); }};

struct Inspected {
  InspectSummary summary;
  std::string text;
};

Inspected InspectAll(MemoryFileSystem& files, const InspectOptions& options = kDecode) {
  Transcript transcript;
  const uint64_t effects = files.effects();
  const auto summary = Inspect(files, kDirectory, options, transcript);
  EXPECT_TRUE(summary.ok());
  EXPECT_EQ(files.effects(), effects);
  return {*summary, transcript.text};
}

TEST(WalInspect, SaysWhatIsThere) {
  MemoryFileSystem files;
  const auto log = MustOpen(files);
  ExpectOk(log->AppendAndForce(Entries(1, 1, 2)));
  ExpectOk(log->AppendAndForce(Entries(1, 3, 4)));
  ExpectOk(log->Truncate(Lsn{3}));
  ExpectOk(log->AppendAndForce(Entries(2, 4, 5, 500)));
  ExpectOk(log->Append(Entries(2, 6, 6)));
  const Inspected inspected = InspectAll(files);
  EXPECT_EQ(inspected.text,
            "segment behind (e0, 0) limit 3\n"
            "  @512+512 1..2 durable 0: (e1, 1)=(1,1) (e1, 2)=(1,2)"
            "  @1024+512 3..4 durable 2: (e1, 3)=(1,3)\n"
            "  sound, last (e1, 3), torn 0\n"
            "segment behind (e1, 3)\n"
            "  @512+1536 4..5 durable 3: (e2, 4)=(2,4) (e2, 5)=(2,5)"
            "  @2048+512 6..6 durable 5: (e2, 6)=(2,6)\n"
            "  sound, last (e2, 6), torn 0\n");
  ExpectOk(inspected.summary.status);
  EXPECT_EQ(inspected.summary.segments, 2U);
  EXPECT_EQ(inspected.summary.records, 6U);
  EXPECT_EQ(inspected.summary.batches, 4U);
  EXPECT_EQ(inspected.summary.last, (LogPosition{Epoch{2}, Lsn{6}}));
  EXPECT_EQ(inspected.summary.durable, Lsn{5});
}

TEST(WalInspect, TornTail) {
  MemoryFileSystem files;
  {
    const auto log = MustOpen(files);
    ExpectOk(log->AppendAndForce(Entries(1, 1, 1)));
    ExpectOk(log->Append(Entries(1, 2, 2)));
    ExpectOk(log->Append(Entries(1, 3, 3)));
  }
  int sector = 0;
  files.Crash([&sector] { return ++sector != 1; });
  const Inspected inspected = InspectAll(files);
  EXPECT_EQ(inspected.text,
            "segment behind (e0, 0)\n"
            "  @512+512 1..1 durable 0: (e1, 1)=(1,1)\n"
            "  torn tail, last (e1, 1), torn 1\n");
  ExpectOk(inspected.summary.status);
  EXPECT_EQ(inspected.summary.torn_batches, 1U);
  InspectOptions acknowledged = kDecode;
  acknowledged.known_acknowledged = Lsn{2};
  EXPECT_EQ(InspectAll(files, acknowledged).summary.status.code(), StatusCode::kDamaged);
}

TEST(WalInspect, GoesOnPastDamageAndAgreesWithOpen) {
  MemoryFileSystem files;
  ExpectOk(MustOpen(files)->AppendAndForce(Entries(1, 1, 60, 300)));
  const std::vector<std::string> paths = LivePaths(files);
  ASSERT_GE(paths.size(), 4U);
  files.inode(paths[0]).FlipBit(700, 0);
  files.inode(paths[2]).FlipBit(100, 0);
  const Inspected inspected = InspectAll(files);
  EXPECT_NE(inspected.text.find("damaged, last (e0, 0)"), std::string::npos) << inspected.text;
  EXPECT_NE(inspected.text.find("segment ?\n\n  damaged"), std::string::npos) << inspected.text;
  EXPECT_NE(inspected.text.find("(e1, 60)=(1,60)"), std::string::npos) << inspected.text;
  EXPECT_NE(inspected.summary.status.message().find(paths[0]), std::string::npos);
  EXPECT_EQ(OpenCode(files), StatusCode::kDamaged);
}

TEST(WalInspect, InterruptedTruncationShowsAsVoid) {
  MemoryFileSystem files;
  {
    const auto log = MustOpen(files);
    ExpectOk(log->AppendAndForce(Entries(1, 1, 30, 300)));
    // Spare: create, write, sync, rename. New segment: directory, write, sync, rename, directory;
    // then the recycling.
    files.Inject(10, MemoryFileSystem::Fault::kStop);
    EXPECT_EQ(log->Truncate(Lsn{3}).code(), StatusCode::kIo);
  }
  files.Crash([] { return false; });
  EXPECT_EQ(InspectAll(files).summary.void_segments, 2U);
  RecoveryFacts facts;
  const auto log = MustOpen(files, TestOptions(), &facts);
  EXPECT_EQ(facts.voided_segments, 2U);
  EXPECT_EQ(log->last().lsn, Lsn{3});
  EXPECT_EQ(InspectAll(files).summary.void_segments, 0U);
}

TEST(WalInspect, NoSegmentIsNoLog) {
  MemoryFileSystem files;
  const Inspected inspected = InspectAll(files);
  EXPECT_EQ(inspected.summary.segments, 0U);
  EXPECT_EQ(inspected.summary.status.code(), StatusCode::kNotFound);
  {
    const auto log = MustOpen(files);
    ExpectOk(log->AppendAndForce(Entries(1, 1, 1)));
  }
  ExpectOk(InspectAll(files).summary.status);
  for (const std::string& path : LivePaths(files)) ExpectOk(files.Remove(path));
  EXPECT_EQ(InspectAll(files).summary.status.code(), StatusCode::kNotFound);
  InspectOptions acknowledged;
  acknowledged.known_acknowledged = Lsn{1};
  EXPECT_EQ(InspectAll(files, acknowledged).summary.status.code(), StatusCode::kDamaged);
}

}  // namespace
}  // namespace assent::wal
