#include "driver/outbox.h"

#include "common/coverage.h"
#include "common/mutant.h"

namespace assent {
namespace {

// Messages that wait for a lease: what a busy group says in a moment.
constexpr size_t kWaitingMax = 4'096;

// The answer to a client if the core that it asked is gone: a commit may have happened or not; work that was
// not committed, and cannot be any more, did not.
ClientReply ReplyIfLost(const ClientRequest& request) {
  if (std::holds_alternative<Execute>(request) || std::holds_alternative<Commit>(request)) {
    Ending ending;
    ending.outcome = Mutated(Mutant::kTimeoutToldAsAborted) ? Outcome::kAborted : Outcome::kUnknown;
    return ending;
  }
  const bool of_a_transaction =
      !std::holds_alternative<OpenSession>(request) && !std::holds_alternative<Begin>(request);
  return Refusal{of_a_transaction ? RefusalCode::kNoSuchTxn : RefusalCode::kNotServing,
                 "the coordinator stopped serving; begin again",
                 {}};
}

}  // namespace

void Outbox::Open(RequestId id, const ClientRequest& request) {
  open_calls_.emplace(id, ReplyIfLost(request));
}

// The lease is looked at after the step, by the clock as it is then.
void Outbox::Leave(Leaving effect) {
  if (waiting_.empty() && lease_holds_()) return LetGo(effect);
  Reached(Situation::kMessageWaitedForLease);
  // Messages beyond the bound are lost, and repeated by the cores; of answers there is one for each open
  // call.
  if (waiting_.size() < kWaitingMax || std::holds_alternative<Answer>(effect)) {
    waiting_.push_back(std::move(effect));
  }
}

void Outbox::LetGo(Leaving& effect) {
  if (auto* message = std::get_if<std::pair<NodeId, Envelope>>(&effect)) {
    host_.Transmit(message->first, std::move(message->second));
  } else if (auto* answer = std::get_if<Answer>(&effect)) {
    open_calls_.erase(answer->id);
    host_.AnswerClient(answer->id, std::move(answer->reply));
  } else {
    host_.PerformForeign(group_, std::get<CallForeign>(effect));
  }
}

void Outbox::LetGoWhatWaited() {
  while (!waiting_.empty() && lease_holds_()) {
    Reached(Situation::kMessageLeftWithLease);
    LetGo(waiting_.front());
    waiting_.pop_front();
  }
}

void Outbox::Lose() {
  waiting_.clear();
  for (auto& [id, reply] : std::exchange(open_calls_, {})) host_.AnswerClient(id, std::move(reply));
}

}  // namespace assent
