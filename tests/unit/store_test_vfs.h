#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>

namespace assent {

// A SQLite VFS over the default one that counts what changes files (writes, syncs, truncations), fails or
// kills the process at a chosen one, and remembers what each file held at its last sync, so that a power cut
// can be played. One per process.
class TestDisk {
 public:
  static TestDisk& Get();
  static const char* VfsName();

  // Forgets files and faults.
  void Reset();
  uint64_t changes() const { return changes_; }
  // The change of that number, from 0 on, and, unless `once`, all after it return `sqlite_code`.
  void FailAt(uint64_t change, int sqlite_code, bool once);
  // The process ends before that change, or, for a write of several sectors, in the middle of it.
  void ExitAt(uint64_t change) { exit_at_ = change; }
  // The file's contents are durable as they are.
  void MarkDurable(const std::string& path);
  // After everything that used the files is gone: leaves of each file any subset, by sector, of what
  // was not synced.
  void CutPower(std::mt19937_64& random);

  // For the VFS. Returns SQLITE_OK or the fault; may not return.
  int OnChange();
  bool ExitsNow() const { return changes_ == exit_at_; }

 private:
  uint64_t changes_ = 0;
  uint64_t fail_at_ = UINT64_MAX;
  uint64_t exit_at_ = UINT64_MAX;
  int fail_code_ = 0;
  bool once_ = false;
  std::map<std::string, std::string> durable_;
};

}  // namespace assent
