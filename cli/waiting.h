#pragma once

#include <string>
#include <thread>

#include "cli/interrupts.h"

namespace assent::cli {

// While it lives: from one second on, a line on stderr that says what is waited for, and for how long; only
// where stderr is a terminal. Nothing else may be printed meanwhile.
class Waiting {
 public:
  explicit Waiting(std::string what, Interrupts* interrupts = nullptr);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  void Run(const std::string& what, Interrupts* interrupts) const;

  int stop_[2] = {-1, -1};  // a pipe
  std::thread thread_;
};

}  // namespace assent::cli
