#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "sim/memory_file.h"
#include "wal/log.h"

// Shared by the log's tests: records whose payload follows from their position, and reads of a whole log.
namespace assent::wal {

// Under a sanitizer, enumerations that would take minutes take each nth of what they vary beside the place.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

inline const std::string kDirectory = "/log";
inline constexpr GroupId kTestGroup{GroupKind::kShard, 1};

// Salts differ from one Open to the next, and are the same in each run of the program.
inline uint64_t NextSalt() {
  static std::mt19937_64 generator(1);
  return generator();
}

inline LogOptions TestOptions(uint64_t segment_bytes = kSegmentBytesMin, Lsn known_acknowledged = Lsn{}) {
  LogOptions options;
  options.cluster = "test";
  options.group = kTestGroup;
  options.segment_bytes = segment_bytes;
  options.known_acknowledged = known_acknowledged;
  options.random = NextSalt;
  return options;
}

inline LogEntry Entry(uint64_t epoch, uint64_t lsn, size_t payload_bytes = 40) {
  std::string payload = "(" + std::to_string(epoch) + "," + std::to_string(lsn) + ")";
  while (payload.size() < payload_bytes) payload += static_cast<char>('a' + (lsn + payload.size()) % 26);
  payload.resize(payload_bytes);
  return {{Epoch{epoch}, Lsn{lsn}}, std::make_shared<const std::string>(std::move(payload))};
}

// Records first..last.
inline std::vector<LogEntry> Entries(uint64_t epoch, uint64_t first, uint64_t last,
                                     size_t payload_bytes = 40) {
  std::vector<LogEntry> entries;
  for (uint64_t lsn = first; lsn <= last; ++lsn) entries.push_back(Entry(epoch, lsn, payload_bytes));
  return entries;
}

// For EXPECT_EQ: "(1,7) <payload>".
inline std::vector<std::string> Texts(const std::vector<LogEntry>& entries) {
  std::vector<std::string> texts;
  for (const LogEntry& entry : entries) texts.push_back(ToString(entry.position) + " " + *entry.payload);
  return texts;
}

inline std::vector<std::string> Prefix(std::vector<std::string> texts, size_t count) {
  texts.resize(std::min(count, texts.size()));
  return texts;
}

// All durable records, read in pieces.
inline std::vector<LogEntry> ReadAll(const Log& log, size_t bytes_max = 1000) {
  std::vector<LogEntry> all;
  Lsn from = Next(log.base().lsn);
  while (from <= log.durable().lsn) {
    Result<std::vector<LogEntry>> some = log.Read(from, bytes_max);
    EXPECT_TRUE(some.ok()) << some.status().ToString();
    if (!some.ok() || some->empty()) break;
    all.insert(all.end(), some->begin(), some->end());
    from = Next(all.back().position.lsn);
  }
  return all;
}

// A log that must open; else a null pointer and a failure.
inline std::unique_ptr<Log> MustOpen(FileSystem& files, LogOptions options = TestOptions(),
                                     RecoveryFacts* facts = nullptr) {
  Result<Log::Opened> opened = Log::Open(files, kDirectory, std::move(options));
  EXPECT_TRUE(opened.ok()) << opened.status().ToString();
  if (!opened.ok()) return nullptr;
  if (facts != nullptr) *facts = opened->facts;
  return std::move(opened->log);
}

inline StatusCode OpenCode(FileSystem& files, LogOptions options = TestOptions()) {
  const Result<Log::Opened> opened = Log::Open(files, kDirectory, std::move(options));
  return opened.ok() ? StatusCode::kOk : opened.status().code();
}

inline std::string LivePath(uint64_t number) {
  return kDirectory + "/" + FormatSegmentFileName({SegmentFileKind::kLive, number});
}

// Paths of the live segments, in order.
inline std::vector<std::string> LivePaths(const MemoryFileSystem& files) {
  std::vector<std::string> paths = files.Paths();
  std::erase_if(paths, [](const std::string& path) { return path.find("/log-") == std::string::npos; });
  return paths;
}

inline void ExpectOk(const Status& status) {
  EXPECT_TRUE(status.ok()) << status.ToString();
}

}  // namespace assent::wal
