#include "runtime/log_writer.h"

#include <glog/logging.h>

#include <chrono>
#include <iterator>
#include <utility>

namespace assent {
namespace {

// The pause between two tries of a call that lacked a descriptor.
constexpr std::chrono::milliseconds kPause{50};

}  // namespace

LogWriter::LogWriter(std::unique_ptr<wal::Log> log, DoneFn done)
    : log_(std::move(log)), done_(std::move(done)), thread_([this] { Run(); }) {}

LogWriter::~LogWriter() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void LogWriter::Submit(LogCommand command) {
  bool was_empty = false;
  {
    const std::lock_guard lock(mutex_);
    was_empty = queue_.empty();
    queue_.push_back(std::move(command));
  }
  if (was_empty) wake_.notify_one();
}

// Off the commit path: nothing waits now. In steps, since the whole of it takes some hundred milliseconds,
// and what is submitted meanwhile waits for one step at most. True: there is more to do.
bool LogWriter::Prepare() {
  if (disk_full_) return false;
  const Result<bool> more = log_->StepNextSegment();
  if (more.ok()) return *more;
  if (more.status().code() == StatusCode::kDiskFull) {
    // It shows to others when the segment is needed. Trying again after each force would fill
    // the disk each time.
    disk_full_ = true;
  } else if (more.status().code() !=
             StatusCode::kUnavailable) {  // else it is tried again after the next force
    done_({LogDone::What::kForced, more.status(), log_->durable()});
  }
  return false;
}

void LogWriter::Run() {
  std::vector<LogCommand> commands;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      bool more = true;
      while (more && queue_.empty() && !stopping_) {
        lock.unlock();
        more = Prepare();
        lock.lock();
      }
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      commands.swap(queue_);
    }
    Perform(commands);
    commands.clear();
  }
}

// No descriptor is left in the process or the system: nothing was done, so it is done again until there is
// one, or this ends. To others the log is one whose disk hangs (R11).
template <typename Call>
Status LogWriter::UntilDescriptors(Call call) {
  Status status = call();
  while (status.code() == StatusCode::kUnavailable) {
    LOG_EVERY_T(WARNING, 10) << "a log waits: " << status.message() << "; raise the limit (ulimit -n)";
    std::unique_lock lock(mutex_);
    if (wake_.wait_for(lock, kPause, [this] { return stopping_; })) break;
    lock.unlock();
    status = call();
  }
  return status;
}

void LogWriter::Perform(std::span<LogCommand> commands) {
  for (size_t i = 0; i < commands.size(); ++i) {
    LogDone done;
    if (auto* append = std::get_if<AppendToLog>(&commands[i])) {
      // R10: everything that gathered goes in one force.
      std::vector<LogEntry> entries = std::move(append->entries);
      while (i + 1 < commands.size()) {
        auto* more = std::get_if<AppendToLog>(&commands[i + 1]);
        if (more == nullptr) break;
        entries.insert(entries.end(), std::make_move_iterator(more->entries.begin()),
                       std::make_move_iterator(more->entries.end()));
        ++i;
      }
      done.what = LogDone::What::kForced;
      done.status = UntilDescriptors([&] { return log_->AppendAndForce(entries); });
      forces_.fetch_add(1, std::memory_order_relaxed);
    } else if (const auto* truncate = std::get_if<TruncateLog>(&commands[i])) {
      done.what = LogDone::What::kTruncated;
      done.status = UntilDescriptors([&] { return log_->Truncate(truncate->after); });
    } else if (const auto* trim = std::get_if<TrimLog>(&commands[i])) {
      done.what = LogDone::What::kTrimmed;
      done.status = log_->Trim(trim->below);
      disk_full_ = false;
    } else if (const auto* reset = std::get_if<ResetLog>(&commands[i])) {
      done.what = LogDone::What::kReset;
      done.status = UntilDescriptors([&] { return log_->Reset(reset->base); });
    }
    done.durable = log_->durable();
    done_(std::move(done));
  }
}

}  // namespace assent
