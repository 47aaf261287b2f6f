#include "runtime/registrar.h"

#include <glog/logging.h>

#include <chrono>
#include <thread>
#include <utility>

#include "runtime/process_trace.h"

namespace assent {

using backup::Registration;

Registrar::Registrar(Directory& directory, NodeRegister own, std::vector<backup::OwnReplica> replicas)
    : directory_(directory), process_(own.process), registration_(std::move(own), std::move(replicas)) {}

Registrar::Answer Registrar::Perform(const Registration::Work& work) {
  if (const auto* next = std::get_if<NodeRegister>(&work)) return directory_.SwapRegister(*next);
  return directory_.ReadRegister(registration_.node());
}

void Registrar::Take(const Answer& answer) {
  const uint64_t now_us = Loop::Now().mono_us;
  if (const auto* swapped = std::get_if<Status>(&answer)) {
    NoteRenewal(*swapped);
    return registration_.OnSwapped(now_us, swapped->ok());
  }
  const auto& looked = std::get<Result<std::optional<NodeRegister>>>(answer);
  if (!looked.ok()) return registration_.OnNoAnswer(now_us);
  registration_.OnLooked(now_us, *looked,
                         *looked ? FollowTrace((*looked)->process, process_) : backup::EarlierLife::kGone);
}

Status Registrar::Claim(const std::function<Status()>& count) {
  bool counted = false;
  registration_.Confirm(Loop::Now().wall_us, {});
  while (registration_.state() != Registration::State::kHeld) {
    if (registration_.state() == Registration::State::kRefused) {
      return Status(StatusCode::kConflict, registration_.text());
    }
    const auto work = registration_.Next(Loop::Now().mono_us);
    if (!work) {
      std::this_thread::sleep_for(std::chrono::microseconds(backup::kLookUs / 4));
      continue;
    }
    if (std::holds_alternative<NodeRegister>(*work) && !std::exchange(counted, true)) {
      ASSENT_RETURN_IF_ERROR(count());
    }
    const Answer answer = Perform(*work);
    if (const auto* looked = std::get_if<Result<std::optional<NodeRegister>>>(&answer);
        looked && !looked->ok()) {
      return looked->status();
    }
    const auto* swapped = std::get_if<Status>(&answer);
    if (swapped && !swapped->ok() && swapped->code() != StatusCode::kConflict) return *swapped;
    Take(answer);
  }
  return {};
}

void Registrar::Keep(Loop& loop, Worker& directory_worker, std::function<std::vector<Confirmed>()> positions,
                     std::function<void(const std::string&)> lost) {
  loop_ = &loop;
  worker_ = &directory_worker;
  positions_ = std::move(positions);
  lost_ = std::move(lost);
  Step();
}

void Registrar::Doubt() {
  registration_.Doubt();
  Step();
}

void Registrar::Step() {
  if (std::exchange(has_timer_, false)) loop_->Cancel(timer_);
  if (registration_.state() == Registration::State::kLost) return;
  const Instant now = Loop::Now();
  if (registration_.NextDeadline() <= now.mono_us) registration_.Confirm(now.wall_us, positions_());
  if (auto work = registration_.Next(now.mono_us)) {
    worker_->Post([this, work = std::move(*work)] {
      loop_->Post([this, answer = Perform(work)] {
        Take(answer);
        if (registration_.state() == Registration::State::kLost) return lost_(registration_.text());
        Step();
      });
    });
  } else if (const uint64_t next_us = registration_.NextDeadline(); next_us != UINT64_MAX) {
    has_timer_ = true;
    timer_ = loop_->PostAt(next_us, [this] {
      has_timer_ = false;
      Step();
    });
  }
}

// Said when it begins and when it ends: it goes on each second.
void Registrar::NoteRenewal(const Status& swapped) {
  const bool fails = !swapped.ok() && swapped.code() != StatusCode::kConflict;
  if (fails == std::exchange(renewal_fails_, fails)) return;
  if (fails) {
    LOG(WARNING)
        << "the directory does not take this node's register: " << swapped.ToString()
        << ". All goes on; but files of it that are put back from a copy are known by what was confirmed "
           "before";
  } else {
    LOG(INFO) << "the directory takes this node's register again";
  }
}

void Registrar::TakeLeave(const std::vector<Confirmed>& positions) {
  registration_.Confirm(Loop::Now().wall_us, positions);
  const auto seen = directory_.ReadRegister(registration_.node());
  if (!seen.ok()) return;
  // Without it, only a start from files that were moved is asked about.
  if (const auto last = registration_.Farewell(*seen)) static_cast<void>(directory_.SwapRegister(*last));
}

}  // namespace assent
