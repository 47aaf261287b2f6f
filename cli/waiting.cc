#include "cli/waiting.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include "cli/output.h"

namespace assent::cli {

Waiting::Waiting(std::string what, Interrupts* interrupts) {
  if (interrupts == nullptr && isatty(STDERR_FILENO) != 1) return;
  if (pipe2(stop_, O_CLOEXEC) != 0) return;  // a comfort, no more
  thread_ = std::thread([this, what = std::move(what), interrupts] { Run(what, interrupts); });
}

Waiting::~Waiting() {
  if (!thread_.joinable()) return;
  close(stop_[1]);
  thread_.join();
  close(stop_[0]);
}

void Waiting::Run(const std::string& what, Interrupts* interrupts) const {
  using std::chrono::steady_clock;
  const auto begun = steady_clock::now();
  Progress progress;
  for (int64_t seconds = 1;; ++seconds) {
    const auto due = begun + std::chrono::seconds(seconds);
    for (auto now = steady_clock::now(); now < due; now = steady_clock::now()) {
      pollfd waits[2] = {{stop_[0], POLLIN, 0}, {interrupts == nullptr ? -1 : interrupts->fd(), POLLIN, 0}};
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - now);
      if (poll(waits, 2, static_cast<int>(left.count())) <= 0) continue;
      if (waits[0].revents != 0) return;
      progress.Clear();
      interrupts->OnSignalInCall();
    }
    progress.Show(what + ", " + ShortDuration(static_cast<uint64_t>(seconds) * 1'000'000));
  }
}

}  // namespace assent::cli
