#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "common/status.h"

namespace assent::rm {

// Which server all connections to one resource manager are to reach (F11): the one that the first of them
// reached, and never an older life of it. One that came back from before a failover still lists branches of
// its own past, and would be told to end what is long over. Known to this process only: the first connection
// after its start is believed.
class SeenServer {
 public:
  // Any thread. `timeline` rises with each promotion; 0 where the kind of server has none. kForeign: another
  // server, or the same from before a promotion that was seen; says what to do.
  Status Check(const std::string& server, uint64_t timeline) {
    const std::lock_guard lock(mutex_);
    if (server_.empty()) server_ = server;
    if (server != server_) {
      return Status(StatusCode::kForeign,
                    "reaches server " + server + ", where it reached " + server_ +
                        " before: nothing is done there. If it was replaced on purpose, "
                        "restart this node");
    }
    if (timeline < timeline_) {
      return Status(StatusCode::kForeign, "reaches a server of timeline " + std::to_string(timeline) +
                                              ", where it reached timeline " + std::to_string(timeline_) +
                                              " before: an old primary that came back? Nothing is done " +
                                              "there");
    }
    timeline_ = timeline;
    return Status();
  }

 private:
  std::mutex mutex_;
  std::string server_;
  uint64_t timeline_ = 0;
};

}  // namespace assent::rm
