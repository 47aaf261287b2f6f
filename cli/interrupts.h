#pragma once

#include <csignal>

// SIGINT, SIGTERM and SIGHUP as something to wait for, so that none cuts a call short or loses an outcome.
namespace assent::cli {

class Interrupts {
 public:
  // Blocks the three in this thread, and in those that it starts. One object at a time.
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  int fd() const { return fd_; }  // readable where one came
  int Take();                     // which one; 0: none

  // For signals that come during a call, which are left to the thread that waits with it (cli/waiting.h): the
  // first is kept until the call was answered, one more ends the process.
  void OnSignalInCall();
  // The one that was kept; 0: none.
  int TakeKept();

  [[noreturn]] static void DieBy(int signal);

 private:
  int fd_ = -1;
  sigset_t before_{};
  int kept_ = 0;  // written by a thread that has ended when it is read
};

}  // namespace assent::cli
