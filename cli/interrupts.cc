#include "cli/interrupts.h"

#include <pthread.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>
#include <utility>

namespace assent::cli {

Interrupts::Interrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, &before_);
  fd_ = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

Interrupts::~Interrupts() {
  if (fd_ >= 0) close(fd_);
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

int Interrupts::Take() {
  signalfd_siginfo info{};
  return read(fd_, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

void Interrupts::OnSignalInCall() {
  const int signal = Take();
  if (signal == 0) return;
  if (kept_ != 0) DieBy(signal);
  kept_ = signal;
  constexpr std::string_view kText =
      "\nassent: leaves once the call was answered, or given up, at most 30 s from now; ^C again leaves at "
      "once\n";
  [[maybe_unused]] const ssize_t told = write(STDERR_FILENO, kText.data(), kText.size());
}

int Interrupts::TakeKept() {
  return std::exchange(kept_, 0);
}

void Interrupts::DieBy(int signal) {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  std::_Exit(128 + signal);
}

}  // namespace assent::cli
