#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "driver/log_port.h"
#include "wal/log.h"

namespace assent {

// Carries out a replica's log commands on a thread of its own, so that the loop never waits for a disk.
class LogWriter final : public LogPort {
 public:
  using DoneFn = std::function<void(LogDone)>;  // called on the log thread

  LogWriter(std::unique_ptr<wal::Log> log, DoneFn done);
  ~LogWriter() override;  // finishes what was submitted, then ends the thread

  void Submit(LogCommand command) override;
  const wal::Log& log() const override { return *log_; }
  uint64_t forces() const override { return forces_.load(std::memory_order_relaxed); }

 private:
  void Run();
  bool Prepare();
  void Perform(std::span<LogCommand> commands);
  template <typename Call>
  Status UntilDescriptors(Call call);

  const std::unique_ptr<wal::Log> log_;
  const DoneFn done_;
  std::atomic<uint64_t> forces_{0};
  bool disk_full_ = false;  // log thread: no segment can be made ahead of need, until a trim

  std::mutex mutex_;
  std::condition_variable wake_;
  // By mutex_:
  std::vector<LogCommand> queue_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace assent
