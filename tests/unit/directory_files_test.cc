// Files that appear whole or not at all, and the text records in them.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>

#include "directory/durable_files.h"
#include "directory/text_record.h"
#include "temp_directory.h"

namespace assent {
namespace {

TEST(DurableFiles, CreatedOnceAndThenKept) {
  const TempDirectory directory;
  EXPECT_TRUE(CreateFileOnce(directory / "a", "one").ok());
  EXPECT_EQ(CreateFileOnce(directory / "a", "two").code(), StatusCode::kConflict);
  EXPECT_EQ(*ReadSmallFile(directory / "a", 100), "one");
  EXPECT_EQ(*ListDirectory(directory.path()), std::vector<std::string>{"a"});
}

TEST(DurableFiles, ReplacedWhole) {
  const TempDirectory directory;
  EXPECT_TRUE(ReplaceFile(directory / "a", "one").ok());
  EXPECT_TRUE(ReplaceFile(directory / "a", "2").ok());
  EXPECT_EQ(*ReadSmallFile(directory / "a", 100), "2");
  EXPECT_EQ(*ListDirectory(directory.path()), std::vector<std::string>{"a"});
}

TEST(DurableFiles, ErrorsNameThePath) {
  const TempDirectory directory;
  EXPECT_EQ(ReadSmallFile(directory / "a", 100).status().code(), StatusCode::kNotFound);
  EXPECT_NE(ReplaceFile(directory / "no/a", "x").message().find(directory / "no"), std::string::npos);
  WriteFile(directory / "file", "x");
  const Status status = MakeDirectories(directory / "file");
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_NE(status.message().find("not a directory"), std::string::npos) << status.message();
  EXPECT_EQ(ReadSmallFile(directory / "file", 0).status().code(), StatusCode::kDamaged);
}

TEST(DurableFiles, DirectoriesAreMadeAllTheWay) {
  const TempDirectory directory;
  EXPECT_TRUE(MakeDirectories(directory / "a/b/c").ok());
  EXPECT_TRUE(MakeDirectories(directory / "a/b/c").ok());
  EXPECT_TRUE(std::filesystem::is_directory(directory / "a/b/c"));
  // Where nothing can be made, the kernel says "no such file" for ever.
  EXPECT_NE(MakeDirectories("/proc/assent/a").message().find("/proc/assent"), std::string::npos);
}

TEST(DurableFiles, AreNobodyElses) {
  const TempDirectory directory;
  const auto mode = [](const std::string& path) { return std::filesystem::status(path).permissions(); };
  const mode_t before = ::umask(0);
  EXPECT_TRUE(MakeDirectories(directory / "a/b").ok());
  EXPECT_TRUE(CreateFileOnce(directory / "a/once", "x").ok());
  EXPECT_TRUE(ReplaceFile(directory / "a/replaced", "x").ok());
  ::umask(before);
  using enum std::filesystem::perms;
  EXPECT_EQ(mode(directory / "a"), owner_all);
  EXPECT_EQ(mode(directory / "a/b"), owner_all);
  EXPECT_EQ(mode(directory / "a/once"), owner_read | owner_write);
  EXPECT_EQ(mode(directory / "a/replaced"), owner_read | owner_write);
}

TEST(DurableFiles, TemporariesOfTheDeadAreRemovedAndThoseOfTheLivingStay) {
  const TempDirectory directory;
  WriteFile(directory / ".tmp.1.0", "left by a crash");
  WriteFile(directory / "other", "");
  EXPECT_TRUE(RemoveStaleTemporaries(directory.path()).ok());
  EXPECT_EQ(*ListDirectory(directory.path()), std::vector<std::string>{"other"});
  // A leftover of this very pid does not stand in the way either.
  for (int i = 0; i < 50; ++i)
    WriteFile(directory / (".tmp." + std::to_string(::getpid()) + "." + std::to_string(i)), "");
  EXPECT_TRUE(ReplaceFile(directory / "a", "one").ok());
}

// A cleaner of another process (here a thread: locks are the open file's) may take a temporary between its
// making and its lock; several nodes that start at once did so.
TEST(DurableFiles, CleanerBesideAWriterDoesNoHarm) {
  const TempDirectory directory;
  std::atomic<bool> stop{false};
  std::thread cleaner([&] {
    while (!stop) EXPECT_TRUE(RemoveStaleTemporaries(directory.path()).ok());
  });
  for (int i = 0; i < 300; ++i) {
    const Status created = CreateFileOnce(directory / std::to_string(i), "x");
    EXPECT_TRUE(created.ok()) << created.ToString();
    const Status replaced = ReplaceFile(directory / std::to_string(i), "y");
    EXPECT_TRUE(replaced.ok()) << replaced.ToString();
  }
  stop = true;
  cleaner.join();
}

TextRecord Sample() {
  return {"sample", 1, {{"name", "some text, with blanks"}, {"empty", ""}, {"number", "42"}}};
}

TEST(TextRecord, RoundTrips) {
  const auto record = DecodeTextRecord(EncodeTextRecord(Sample()), "sample", 1, "file");
  ASSERT_TRUE(record.ok()) << record.status().ToString();
  EXPECT_EQ(record->fields, Sample().fields);
  EXPECT_EQ(record->Find("empty"), "");
  EXPECT_EQ(record->FindNumber("number"), 42u);
  EXPECT_FALSE(record->FindNumber("name"));
  EXPECT_FALSE(record->FindHex("number"));
  EXPECT_FALSE(record->Find("nonesuch"));
}

TEST(TextRecord, EveryBitFlipAndCutIsFound) {
  const std::string text = EncodeTextRecord(Sample());
  for (size_t bit = 0; bit < text.size() * 8; ++bit) {
    std::string bad = text;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    const auto record = DecodeTextRecord(bad, "sample", 1, "file");
    ASSERT_FALSE(record.ok()) << bit;
    // A flip in the format may make it a newer one.
    ASSERT_TRUE(record.status().code() == StatusCode::kDamaged ||
                record.status().code() == StatusCode::kForeign);
  }
  for (size_t length = 0; length < text.size(); ++length) {
    ASSERT_FALSE(DecodeTextRecord(text.substr(0, length), "sample", 1, "file").ok()) << length;
  }
  ASSERT_FALSE(DecodeTextRecord(text + "\n", "sample", 1, "file").ok());
}

TEST(TextRecord, NewerFormatSaysSo) {
  TextRecord newer = Sample();
  newer.format = 7;
  const auto record = DecodeTextRecord(EncodeTextRecord(newer), "sample", 1, "some/file");
  ASSERT_FALSE(record.ok());
  EXPECT_EQ(record.status().code(), StatusCode::kForeign);
  EXPECT_NE(record.status().message().find("some/file: the file has format 7"), std::string::npos);
}

}  // namespace
}  // namespace assent
