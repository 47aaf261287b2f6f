#include "rm/database.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/xid.h"
#include "thrift/codec_fields.h"

namespace assent::rm {
namespace {

constexpr size_t kPasswordBytesMax = 1024;
constexpr std::chrono::seconds kClaimGivenUp{10};

}  // namespace

SocketWait::End SocketWait::For(int fd, short events, Clock::time_point until) const {
  while (true) {
    if (interrupted_) return End::kInterrupted;
    const auto left = std::max<int64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count(), 0);
    pollfd fds[2] = {{fd, events, 0}, {interruption_.get(), POLLIN, 0}};
    const int ready = ::poll(fds, 2, left == 0 ? 0 : static_cast<int>(left) + 1);
    if (ready < 0 && errno != EINTR) return End::kReady;  // the library will meet the same
    if (ready > 0 && fds[0].revents != 0) return End::kReady;
    if (ready == 0 && left == 0) return End::kTimeout;
  }
}

void SocketWait::Interrupt() {
  interrupted_ = true;
  SignalEventFd(interruption_.get());
}

Result<std::string> ReadPassword(const std::string& path) {
  if (path.empty()) return std::string();
  const auto invalid = [&](const std::string& what) {
    return Status(StatusCode::kInvalid, "password_file " + path + ": " + what);
  };
  const OwnedFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat about {};
  if (!file.valid() || ::fstat(file.get(), &about) != 0) return invalid(std::strerror(errno));
  if (!S_ISREG(about.st_mode)) return invalid("is no file");
  if ((about.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return invalid("others may read it: `chmod 600` it");
  }
  std::string text(kPasswordBytesMax, '\0');
  const ssize_t got = ::read(file.get(), text.data(), text.size());
  if (got < 0) return invalid(std::strerror(errno));
  text.resize(static_cast<size_t>(got));
  text.resize(std::min(text.size(), text.find_first_of("\r\n")));
  if (text.empty()) return invalid("has no password in its first line");
  return text;
}

std::string XidText(const Target& target, const TxnId& txn) {
  return ToString(XidOf({ClusterDigits(target.cluster), txn, target.name, 1}));
}

std::string ClaimName(const Target& target, GroupId group) {
  return "assent." + ClusterDigits(target.cluster) + "." + ToString(group) + "." + target.name;
}

bool Claims::Has(GroupId group) {
  const auto found = scanned_.find(group);
  if (found == scanned_.end()) return false;
  found->second = Clock::now();
  return true;
}

bool Claims::HasLeftOver() const {
  return std::any_of(scanned_.begin(), scanned_.end(),
                     [](const auto& one) { return Clock::now() - one.second > kClaimGivenUp; });
}

void Answer(ForeignAnswer answer, std::string_view detail, ForeignReply& reply) {
  reply.reached = true;
  reply.answer = answer;
  reply.detail = codec::CutDetail(std::string(detail));
}

void RefuseToPrepare(const Target& target, ForeignReply& reply) {
  reply.reached = true;
  reply.vote = Vote::kNo;
  reply.detail = target.name +
                 " is a database: enlist it, prepare the branch there under the id that enlist gives, "
                 "and report its vote";
}

}  // namespace assent::rm
