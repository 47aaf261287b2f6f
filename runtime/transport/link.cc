#include "runtime/transport/link.h"

#include <glog/logging.h>
#include <poll.h>

#include <algorithm>

namespace assent {

LinkEngine::LinkEngine(std::unique_ptr<ConnectionBase> connection, const LinkOptions& options)
    : options_(options),
      connection_(std::move(connection)),
      wake_(MakeEventFd()),
      random_(std::random_device{}()) {}

LinkEngine::~LinkEngine() = default;

void LinkEngine::Start() {
  if (!valid()) {
    stopping_ = true;  // so that it takes nothing
    return;
  }
  reachable_at_ = Clock::now();
  thread_ = std::thread(&LinkEngine::Main, this);
}

void LinkEngine::Halt() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  Wake();
  connection_->Interrupt();
  if (thread_.joinable()) thread_.join();
}

LinkState LinkEngine::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

bool LinkEngine::Admit(size_t bytes) {
  // One item may always wait, however large.
  const bool fits = state_.queued_items == 0 || (state_.queued_items < options_.queue_items_max &&
                                                 state_.queued_bytes + bytes <= options_.queue_bytes_max);
  if (stopping_ || !fits) {
    ++state_.dropped_items;
    return false;
  }
  ++state_.queued_items;
  state_.queued_bytes += bytes;
  return true;
}

void LinkEngine::Main() {
  while (true) {
    if (!connection_->open()) {
      std::unique_lock lock(mutex_);
      if (stopping_) break;
      lock.unlock();
      if (!Connect() || !Greet()) continue;
    }
    const Work work = AwaitWork();
    if (work == Work::kStop) break;
    if (work == Work::kSend) SendOne();
    if (work == Work::kReceive) ReceiveOne();
  }
  Disconnect({});
  std::lock_guard lock(mutex_);
  DropQueue();
}

bool LinkEngine::Connect() {
  if (backoff_ms_ > 0) {
    // From the upper half, so that nodes which lost the same peer do not come back in step.
    std::uniform_int_distribution<int> wait_ms(backoff_ms_ - backoff_ms_ / 2, backoff_ms_);
    pollfd stop{wake_.get(), POLLIN, 0};  // posts do not signal: asleep_ is false
    ClearEventFd(wake_.get());
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return false;
    }
    (void)poll(&stop, 1, wait_ms(random_));
  }
  backoff_ms_ = std::clamp(2 * backoff_ms_, options_.backoff_min_ms, options_.backoff_max_ms);
  const Status opened = connection_->Open();
  std::lock_guard lock(mutex_);
  state_.backoff_ms = backoff_ms_;
  if (opened.ok()) {
    state_.connected = true;
    ++state_.connects;
    reachable_at_ = Clock::now();
  }
  if (opened.ok() || stopping_) return opened.ok();
  if (opened.message() != state_.last_error) LOG(WARNING) << "link: " << opened.message();
  state_.last_error = opened.message();
  if (Clock::now() - reachable_at_ > std::chrono::milliseconds(options_.stale_ms)) DropQueue();
  return false;
}

bool LinkEngine::Greet() {
  if (!options_.greets) return true;
  const CallStatus sent = SendBatch();
  if (sent.ok()) {
    unanswered_.push_back({Clock::now(), 0});
  } else {
    Disconnect(sent.status);
  }
  return sent.ok();
}

LinkEngine::Work LinkEngine::AwaitWork() {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return Work::kStop;
    const bool window_open = unanswered_.size() < options_.window;
    if (window_open && state_.queued_items > 0) return Work::kSend;
    asleep_ = window_open;  // while the window is full, a post need not wake us
  }
  int timeout_ms = -1;
  if (!unanswered_.empty()) {
    const auto deadline = unanswered_.front().at + std::chrono::milliseconds(options_.reply_timeout_ms);
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    timeout_ms = static_cast<int>(std::max<int64_t>(0, left));
  }
  if (connection_->reply_buffered()) timeout_ms = 0;
  pollfd waits[2] = {{connection_->fd(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
  const int ready = poll(waits, 2, timeout_ms);
  {
    std::lock_guard lock(mutex_);
    asleep_ = false;
  }
  if (waits[1].revents != 0) ClearEventFd(wake_.get());
  if (waits[0].revents != 0 || connection_->reply_buffered()) {
    if (!unanswered_.empty()) return Work::kReceive;
    Disconnect({StatusCode::kUnavailable, ToString(peer()) + " closed the connection"});
  } else if (ready == 0) {
    Disconnect({StatusCode::kUnavailable, ToString(peer()) + " gave no answer within " +
                                              std::to_string(options_.reply_timeout_ms) + " ms"});
  }
  return Work::kNothing;
}

void LinkEngine::SendOne() {
  size_t items = 0;
  {
    std::lock_guard lock(mutex_);
    const auto [taken, bytes] = TakeBatch();
    items = taken;
    state_.queued_items -= taken;
    state_.queued_bytes -= bytes;
  }
  const Clock::time_point now = Clock::now();
  const CallStatus sent = SendBatch();
  if (!sent.ok()) {
    {
      std::lock_guard lock(mutex_);
      state_.dropped_items += items;
      state_.last_error = sent.status.message();
    }
    // A batch too large to be sent leaves the connection, and those under way, as they were.
    if (connection_->open()) {
      LOG(ERROR) << "link: dropped a batch: " << sent.status.message();
    } else {
      Disconnect(sent.status);
    }
    return;
  }
  unanswered_.push_back({now, items});
  std::lock_guard lock(mutex_);
  state_.sent_items += items;
}

void LinkEngine::ReceiveOne() {
  if (const CallStatus received = ReceiveReply(); !received.ok()) {
    Disconnect(received.status);
    return;
  }
  unanswered_.pop_front();
  backoff_ms_ =
      0;  // not on connecting: a peer that accepts and closes at once would be tried without a pause
  std::lock_guard lock(mutex_);
  ++state_.answered_batches;
  state_.backoff_ms = 0;
}

void LinkEngine::Disconnect(const Status& why) {
  connection_->Close();
  reachable_at_ = Clock::now();
  backoff_ms_ = std::max(backoff_ms_, options_.backoff_min_ms);
  std::lock_guard lock(mutex_);
  // Whether the peer took these in is not known; sending them again could deliver them twice.
  for (const Sent& sent : unanswered_) state_.dropped_items += sent.items;
  unanswered_.clear();
  state_.connected = false;
  state_.backoff_ms = backoff_ms_;
  if (why.ok() || stopping_) return;
  state_.last_error = why.message();
  LOG(WARNING) << "link: " << why.message();
}

void LinkEngine::DropQueue() {
  state_.dropped_items += state_.queued_items;
  state_.queued_items = 0;
  state_.queued_bytes = 0;
  ClearQueue();
}

}  // namespace assent
