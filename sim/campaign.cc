#include "sim/campaign.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/check.h"

namespace assent::sim {
namespace {

// A run takes a tenth of a second; one that takes so long does not end.
constexpr int kHangMs = 60'000;
constexpr int kBudgetCheckMs = 200;
// One seed in so many runs twice: both runs must be the same, to the byte (I-A5 would not notice).
constexpr uint64_t kReplayEvery = 100;

// A worker's word on a seed: at its begin, and at its end.
struct Frame {
  uint64_t seed = 0;
  bool ended = false;
  uint32_t text_bytes = 0;  // of the violation, which follows
  RunFigures figures;
  std::array<uint64_t, kSituations> situations{};
};
static_assert(std::is_trivially_copyable_v<Frame>);

void WriteAll(int fd, const void* data, size_t bytes) {
  const char* at = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t put = ::write(fd, at, bytes);
    if (put <= 0) std::_Exit(1);
    at += put;
    bytes -= static_cast<size_t>(put);
  }
}

// The trace of the run in this process, for its last words.
const Trace* running_trace = nullptr;

// A run that dies by a signal says where it was. (A check that failed has said more; it aborts.)
void SayWhereAndDie(int signal) {
  constexpr char kLastEvent[] = "; the last event was\n";
  const char* const name = ::sigabbrev_np(signal);
  const ssize_t put = ::write(STDERR_FILENO, "died by SIG", 11) +
                      ::write(STDERR_FILENO, name, std::strlen(name)) +
                      ::write(STDERR_FILENO, kLastEvent, sizeof kLastEvent - 1);
  if (put > 0 && running_trace != nullptr) running_trace->WriteLastLine(STDERR_FILENO);
  ::raise(signal);  // as it would have been: the handler was for once
}

void CatchSignals() {
  struct sigaction action {};
  action.sa_handler = SayWhereAndDie;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) ::sigaction(signal, &action, nullptr);
}

class Worker {
 public:
  Worker(const Campaign& campaign, uint64_t first, uint64_t step)
      : campaign_(campaign), next_(first), step_(step) {
    Spawn();
  }
  ~Worker() { Reap(true); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  int fd() const { return fd_; }
  bool done() const { return fd_ < 0; }
  int MsLeft() const { return kHangMs - static_cast<int>(std::min<uint64_t>(NowMs() - heard_ms_, kHangMs)); }

  // The pipe has something, or has ended. True: an outcome is complete.
  bool Read(SeedOutcome& outcome) {
    heard_ms_ = NowMs();
    Frame frame;
    if (!ReadAll(&frame, sizeof frame)) return Died(outcome, "");
    seed_ = frame.seed;
    if (!frame.ended) return false;
    outcome = SeedOutcome();
    outcome.seed = frame.seed;
    static_cast<RunFigures&>(outcome.report) = frame.figures;
    outcome.situations = frame.situations;
    outcome.violation.resize(frame.text_bytes);
    if (!ReadAll(outcome.violation.data(), frame.text_bytes)) return Died(outcome, "");
    next_ = frame.seed + step_;
    return true;
  }
  // Processor time that its processes used so far.
  uint64_t ProcessorMs() const {
    clockid_t clock{};
    timespec now{};
    if (pid_ > 0 && ::clock_getcpuclockid(pid_, &clock) == 0) ::clock_gettime(clock, &now);
    return ended_ms_ + static_cast<uint64_t>(now.tv_sec) * 1'000 +
           static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
  }
  bool Hung(SeedOutcome& outcome) { return Died(outcome, "I-A5: the run does not end"); }

 private:
  void Spawn() {
    if (next_ - campaign_.first >= campaign_.count) return;
    int ends[2];
    ASSENT_CHECK(::pipe(ends) == 0);
    errors_ = ::memfd_create("errors", MFD_CLOEXEC);
    std::fflush(nullptr);
    pid_ = ::fork();
    ASSENT_CHECK(pid_ >= 0, "fork failed");
    if (pid_ == 0) {
      ::close(ends[0]);
      ::dup2(errors_, STDERR_FILENO);
      Work(ends[1]);
    }
    ::close(ends[1]);
    fd_ = ends[0];
    heard_ms_ = NowMs();
    seed_ = next_;
  }

  [[noreturn]] void Work(int out) {
    active_mutant = campaign_.mutant;
    CatchSignals();
    for (uint64_t seed = next_; seed - campaign_.first < campaign_.count; seed += step_) {
      Frame frame;
      frame.seed = seed;
      WriteAll(out, &frame, sizeof frame);
      situation_counts = {};
      RunOptions options = campaign_.run;
      options.seed = seed;
      if (campaign_.plans != nullptr) {
        options.seed = campaign_.first;
        options.crash = (*campaign_.plans)[seed - campaign_.first];
      }
      RunReport report = RunTraced(options);
      frame.situations = situation_counts;
      if (report.violation.empty() && seed % kReplayEvery == 0) {
        const RunReport again = RunTraced(options);
        if (again.trace_hash != report.trace_hash) report.violation = "replay: two runs of the seed differ";
      }
      frame.ended = true;
      frame.figures = report;
      frame.text_bytes = static_cast<uint32_t>(report.violation.size());
      WriteAll(out, &frame, sizeof frame);
      WriteAll(out, report.violation.data(), report.violation.size());
    }
    std::_Exit(0);
  }

  static RunReport RunTraced(RunOptions options) {
    Trace trace;
    running_trace = &trace;
    options.trace = &trace;
    RunReport report = Run(options);
    running_trace = nullptr;
    return report;
  }

  bool ReadAll(void* data, size_t bytes) {
    char* at = static_cast<char*>(data);
    while (bytes > 0) {
      const ssize_t got = ::read(fd_, at, bytes);
      if (got <= 0) return false;
      at += got;
      bytes -= static_cast<size_t>(got);
    }
    return true;
  }

  // The process is gone: at the end of its seeds, or by a check. True: the latter; the next one
  // goes on behind.
  bool Died(SeedOutcome& outcome, const std::string& why) {
    const bool clean = Reap(!why.empty());
    if (clean && why.empty()) return false;
    outcome = SeedOutcome();
    outcome.seed = seed_;
    outcome.violation = why.empty() ? Errors() : why;
    if (outcome.violation.empty()) outcome.violation = "the process died without a word";
    ::close(std::exchange(errors_, -1));
    next_ = seed_ + step_;
    Spawn();
    return true;
  }

  std::string Errors() const {
    std::string text(4'096, '\0');
    const ssize_t got = ::pread(errors_, text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }

  // True if it ended well.
  bool Reap(bool kill) {
    if (pid_ <= 0) return true;
    if (kill) ::kill(pid_, SIGKILL);
    int status = 0;
    rusage used{};
    ::wait4(std::exchange(pid_, -1), &status, 0, &used);
    for (const timeval& time : {used.ru_utime, used.ru_stime}) {
      ended_ms_ += static_cast<uint64_t>(time.tv_sec) * 1'000 + static_cast<uint64_t>(time.tv_usec) / 1'000;
    }
    ::close(std::exchange(fd_, -1));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

  const Campaign& campaign_;
  uint64_t next_;
  const uint64_t step_;
  uint64_t seed_ = 0;
  uint64_t heard_ms_ = 0;
  uint64_t ended_ms_ = 0;  // processor time of those that ended
  pid_t pid_ = -1;
  int fd_ = -1;
  int errors_ = -1;
};

}  // namespace

uint64_t NowMs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

void RunCampaign(const Campaign& campaign) {
  std::vector<std::unique_ptr<Worker>> workers;
  for (unsigned i = 0; i < std::max(1u, campaign.jobs); ++i) {
    workers.push_back(std::make_unique<Worker>(campaign, campaign.first + i, std::max(1u, campaign.jobs)));
  }
  for (;;) {
    std::vector<pollfd> fds;
    std::vector<Worker*> who;
    int wait_ms = campaign.budget_ms == UINT64_MAX ? kHangMs : kBudgetCheckMs;
    uint64_t used_ms = 0;
    for (const auto& worker : workers) {
      used_ms += worker->ProcessorMs();
      if (worker->done()) continue;
      fds.push_back({worker->fd(), POLLIN, 0});
      who.push_back(worker.get());
      wait_ms = std::min(wait_ms, worker->MsLeft());
    }
    if (campaign.used_ms != nullptr) *campaign.used_ms = used_ms;
    if (fds.empty() || used_ms > campaign.budget_ms) return;
    ::poll(fds.data(), fds.size(), std::max(wait_ms, 0));
    for (size_t i = 0; i < fds.size(); ++i) {
      SeedOutcome outcome;
      bool complete = false;
      if (fds[i].revents != 0) {
        complete = who[i]->Read(outcome);
      } else if (who[i]->MsLeft() <= 0) {
        complete = who[i]->Hung(outcome);
      }
      if (complete && !campaign.on_seed(outcome)) return;
    }
  }
}

SeedOutcome RunApart(const RunOptions& options, Mutant mutant) {
  SeedOutcome found;
  Campaign campaign;
  campaign.first = options.seed;
  campaign.mutant = mutant;
  campaign.run = options;
  campaign.run.trace = nullptr;
  campaign.on_seed = [&found](const SeedOutcome& outcome) {
    found = outcome;
    return false;
  };
  RunCampaign(campaign);
  return found;
}

std::string InvariantOf(const std::string& violation) {
  for (const char* prefix : {"I-", "R1", "replay"}) {
    const size_t at = violation.find(prefix);
    if (at == std::string::npos) continue;
    const size_t end = violation.find(':', at);
    if (end != std::string::npos && end - at < 8) return violation.substr(at, end - at);
  }
  const size_t check = violation.find("check failed: ");
  if (check == std::string::npos) return violation.substr(0, 40);
  const size_t slash = violation.rfind('/', check);
  const size_t from = slash == std::string::npos ? 0 : slash + 1;
  const size_t colon = violation.find(':', violation.find(':', from) + 1);
  return "check " + violation.substr(from, colon - from);
}

}  // namespace assent::sim
