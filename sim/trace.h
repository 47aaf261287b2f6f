#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "common/ids.h"

// The events of a run, a line each, for people (docs/DEBUGGING.md explains the columns); and a hash over all
// of it, so that two runs of a seed can be held against each other without keeping either.
namespace assent::sim {

class Trace {
 public:
  // `out` nullptr: lines are hashed, and not printed. Only from `from_us` on.
  explicit Trace(std::FILE* out = nullptr, uint64_t from_us = 0) : out_(out), from_us_(from_us) {}

  // True if somebody will read it: then the text is worth making.
  bool prints() const { return out_ != nullptr; }

  // Frequent events are noted by numbers alone, unless they are printed.
  void Note(uint64_t a, uint64_t b, uint64_t c) { hash_ = Mix(Mix(Mix(hash_, a), b), c); }
  void Line(uint64_t now_us, NodeId node, GroupId group, std::string_view what, std::string_view text);

  uint64_t hash() const { return hash_; }

  // The last line so far, printed or not: what a process that dies without a word was at. Only reads memory
  // and writes to `fd`, so a signal handler may call it.
  void WriteLastLine(int fd) const;

 private:
  static uint64_t Mix(uint64_t hash, uint64_t value) {
    return (hash ^ value) * 0x9E3779B97F4A7C15ull + (hash >> 29);
  }

  std::FILE* const out_;
  const uint64_t from_us_;
  uint64_t hash_ = 1;
  std::string last_;
};

}  // namespace assent::sim
