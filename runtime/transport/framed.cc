#include "runtime/transport/framed.h"

#include <arpa/inet.h>
#include <glog/logging.h>
#include <thrift/TOutput.h>

#include <algorithm>
#include <cstring>
#include <mutex>

#include "common/check.h"

namespace assent {

using apache::thrift::TConfiguration;
using apache::thrift::protocol::TBinaryProtocolT;
using apache::thrift::protocol::TMessageType;
using apache::thrift::protocol::TProtocol;
using apache::thrift::protocol::TProtocolException;
using apache::thrift::protocol::TType;
using apache::thrift::transport::TTransport;
using apache::thrift::transport::TTransportException;

namespace {

constexpr size_t kLengthBytes = 4;
// Read-ahead, and the buffer that an idle connection keeps: larger ones go back after each message, so that a
// thousand idle connections hold tens of MiB and not a frame each.
constexpr size_t kIdleBytes = 16 << 10;
// Lists so short cost nothing, whatever their elements are: so what is merely wrong is answered as such.
constexpr uint32_t kUncheckedItems = 64;
// No service and method of ours has a longer name.
constexpr size_t kNameBytesMax = 64;
// A message begins with its version and type, and the name's length; then comes the name.
constexpr size_t kNameAt = 8;

std::shared_ptr<TConfiguration> MakeConfiguration(const WireLimits& limits) {
  return std::make_shared<TConfiguration>(limits.frame_bytes_max, limits.frame_bytes_max, limits.depth_max);
}

// Adds what Thrift's binary protocol leaves out:
//   - it checks a container's announced length against the message's only for elements of a known least size,
//     which a struct (and void) has not: two billion of them fit into no bytes at all. Here each needs
//     struct_bytes_min, and anything else one;
//   - it makes enums of type bytes before it looks at them, which is undefined for those that name no type.
class LimitedProtocol final : public TBinaryProtocolT<FramedTransport> {
 public:
  using Base = TBinaryProtocolT<FramedTransport>;

  LimitedProtocol(const std::shared_ptr<FramedTransport>& transport, const WireLimits& limits)
      : Base(transport, limits.string_bytes_max, limits.container_items_max, /*strict_read=*/true,
             /*strict_write=*/true),
        struct_bytes_min_(static_cast<uint32_t>(limits.struct_bytes_min)) {}

  // Both forms of each: generated code calls the virtual ones, skip() the plain ones.
  uint32_t readMessageBegin(std::string& name, TMessageType& type, int32_t& seqid) {
    const uint8_t kind = Peek(4)[3];
    if (kind < apache::thrift::protocol::T_CALL || kind > apache::thrift::protocol::T_ONEWAY) RefuseType();
    return Base::readMessageBegin(name, type, seqid);
  }
  uint32_t readFieldBegin(std::string& name, TType& type, int16_t& id) {
    CheckTypes(1);
    return Base::readFieldBegin(name, type, id);
  }
  uint32_t readListBegin(TType& element, uint32_t& size) {
    CheckTypes(1);
    const uint32_t read = Base::readListBegin(element, size);
    CheckSize(size, BytesMin(element));
    return read;
  }
  uint32_t readSetBegin(TType& element, uint32_t& size) {
    CheckTypes(1);
    const uint32_t read = Base::readSetBegin(element, size);
    CheckSize(size, BytesMin(element));
    return read;
  }
  uint32_t readMapBegin(TType& key, TType& value, uint32_t& size) {
    CheckTypes(2);
    const uint32_t read = Base::readMapBegin(key, value, size);
    CheckSize(size, BytesMin(key) + BytesMin(value));
    return read;
  }
  uint32_t readMessageBegin_virt(std::string& name, TMessageType& type, int32_t& seqid) override {
    return readMessageBegin(name, type, seqid);
  }
  uint32_t readFieldBegin_virt(std::string& name, TType& type, int16_t& id) override {
    return readFieldBegin(name, type, id);
  }
  uint32_t readListBegin_virt(TType& element, uint32_t& size) override {
    return readListBegin(element, size);
  }
  uint32_t readSetBegin_virt(TType& element, uint32_t& size) override { return readSetBegin(element, size); }
  uint32_t readMapBegin_virt(TType& key, TType& value, uint32_t& size) override {
    return readMapBegin(key, value, size);
  }
  uint32_t skip_virt(TType type) override { return apache::thrift::protocol::skip(*this, type); }

 private:
  // The next bytes, which stay to be read. Throws if the message ends before.
  const uint8_t* Peek(uint32_t bytes) { return trans_->borrow(nullptr, &bytes); }
  void CheckTypes(uint32_t bytes) {
    const uint8_t* types = Peek(bytes);
    for (uint32_t i = 0; i < bytes; ++i) {
      if (types[i] > apache::thrift::protocol::T_UTF16) RefuseType();
    }
  }
  [[noreturn]] static void RefuseType() {
    throw TProtocolException(TProtocolException::INVALID_DATA, "no such type in Thrift");
  }
  uint64_t BytesMin(TType element) const {
    return element == apache::thrift::protocol::T_STRUCT ? struct_bytes_min_ : 1;
  }
  void CheckSize(uint32_t size, uint64_t element_bytes_min) {
    const uint64_t bytes_min = size > kUncheckedItems ? size * element_bytes_min : size;
    if (bytes_min > trans_->frame_bytes_left()) {
      throw TProtocolException(TProtocolException::SIZE_LIMIT,
                               "a container announces more than its message holds");
    }
  }

  const uint32_t struct_bytes_min_;
};

}  // namespace

FrameTooLarge::FrameTooLarge(bool ours, size_t bytes, size_t bytes_max)
    : TTransportException(CORRUPTED_DATA, std::string(ours ? "a message to send" : "a received frame") +
                                              " of " + std::to_string(bytes) +
                                              " bytes or more is over the limit of " +
                                              std::to_string(bytes_max)),
      ours_(ours) {}

void FramedTransport::Buffer::Resize(size_t size_new, size_t keep_from, size_t keep) {
  auto fresh = std::make_unique_for_overwrite<uint8_t[]>(size_new);
  if (keep > 0) std::memcpy(fresh.get(), bytes.get() + keep_from, keep);
  bytes = std::move(fresh);
  size = size_new;
}

FramedTransport::FramedTransport(std::shared_ptr<TTransport> inner, const WireLimits& limits)
    : TVirtualTransport(MakeConfiguration(limits)),
      inner_(std::move(inner)),
      frame_bytes_max_(static_cast<size_t>(limits.frame_bytes_max)),
      receive_bytes_max_(frame_bytes_max_) {
  ASSENT_CHECK(limits.frame_bytes_max > 0 && limits.string_bytes_max > 0 && limits.container_items_max > 0 &&
               limits.depth_max > 0);
  in_.Resize(kIdleBytes, 0, 0);
  out_.Resize(std::min(kIdleBytes, kLengthBytes + frame_bytes_max_), 0, 0);
  setReadBuffer(in_.bytes.get(), 0);
  DropUnflushed();
}

void FramedTransport::close() {
  DropUnflushed();
  inner_->close();
}

void FramedTransport::DropUnflushed() {
  setWriteBuffer(out_.bytes.get(), static_cast<uint32_t>(out_.size));
  wBase_ += kLengthBytes;
}

void FramedTransport::writeSlow(const uint8_t* buf, uint32_t len) {
  const size_t have = static_cast<size_t>(wBase_ - out_.bytes.get());
  const size_t needed = have + len;
  const size_t largest =
      kLengthBytes + frame_bytes_max_;  // never a larger buffer, so the fast path cannot pass it
  if (needed > largest) throw FrameTooLarge(/*ours=*/true, needed - kLengthBytes, frame_bytes_max_);
  out_.Resize(std::min(largest, std::max(needed, 4 * out_.size)), 0, have);
  setWriteBuffer(out_.bytes.get(), static_cast<uint32_t>(out_.size));
  wBase_ += have;
  std::memcpy(wBase_, buf, len);
  wBase_ += len;
}

void FramedTransport::flush() {
  const auto total = static_cast<uint32_t>(wBase_ - out_.bytes.get());
  if (total > kLengthBytes) {
    const uint32_t length = htonl(total - static_cast<uint32_t>(kLengthBytes));
    std::memcpy(out_.bytes.get(), &length, sizeof(length));
    DropUnflushed();  // before the write: if it throws, nothing of this message may be sent again
    ++frames_started_;
    inner_->write(out_.bytes.get(), total);
    if (out_.size > kIdleBytes) {
      out_.Resize(kIdleBytes, 0, 0);
      DropUnflushed();
    }
  }
  inner_->flush();
}

uint32_t FramedTransport::readSlow(uint8_t* buf, uint32_t len) {
  if (!in_message_ && !ReadFrame()) return 0;
  if (frame_bytes_left() < len) {
    throw TTransportException(TTransportException::CORRUPTED_DATA, "a message goes on past its frame");
  }
  std::memcpy(buf, rBase_, len);
  rBase_ += len;
  return len;
}

const uint8_t* FramedTransport::borrowSlow(uint8_t*, uint32_t* len) {
  if (!in_message_ && !ReadFrame()) {
    throw TTransportException(TTransportException::END_OF_FILE, "the peer closed the connection");
  }
  // The protocol borrows a string before it allocates it, so what is announced past the frame ends here.
  if (frame_bytes_left() < *len) {
    throw TTransportException(TTransportException::CORRUPTED_DATA, "a field goes on past its frame");
  }
  *len = static_cast<uint32_t>(frame_bytes_left());
  return rBase_;
}

uint32_t FramedTransport::readEnd() {
  if (frame_bytes_left() > 0) {
    throw TTransportException(TTransportException::CORRUPTED_DATA, "a frame goes on past its message");
  }
  const auto read = static_cast<uint32_t>(rBound_ - in_.bytes.get());
  in_message_ = false;
  if (frame_end_ == in_end_) {
    frame_end_ = in_end_ = 0;
    if (in_.size > kIdleBytes) in_.Resize(kIdleBytes, 0, 0);
  }
  setReadBuffer(in_.bytes.get(), 0);
  resetConsumedMessageSize();
  return read;
}

bool FramedTransport::ReadFrame() {
  if (in_message_) return true;
  if (!FillTo(kLengthBytes)) return false;
  const size_t length = PeekFrameBytes();
  if (length > receive_bytes_max_) throw FrameTooLarge(/*ours=*/false, length, receive_bytes_max_);
  if (length == 0) throw TTransportException(TTransportException::CORRUPTED_DATA, "an empty frame");
  FillTo(kLengthBytes + length);
  setReadBuffer(in_.bytes.get() + frame_end_ + kLengthBytes, static_cast<uint32_t>(length));
  frame_end_ += kLengthBytes + length;
  frame_bytes_ = length;
  in_message_ = true;
  resetConsumedMessageSize(static_cast<long>(length));  // containers may announce no more than this
  return true;
}

size_t FramedTransport::idle_input_bytes() {
  return kIdleBytes;
}

size_t FramedTransport::PeekFrameBytes() const {
  uint32_t announced = 0;
  std::memcpy(&announced, in_.bytes.get() + frame_end_, sizeof(announced));
  return ntohl(announced);
}

std::string_view FramedTransport::PeekService() {
  const auto fill = [this](size_t bytes) {
    return FillTo(kLengthBytes) && FillTo(kLengthBytes + std::min(bytes, PeekFrameBytes()));
  };
  if (!fill(kNameAt) || PeekFrameBytes() < kNameAt) return {};
  uint32_t announced = 0;
  std::memcpy(&announced, in_.bytes.get() + frame_end_ + kLengthBytes + sizeof(announced), sizeof(announced));
  const size_t name_bytes = ntohl(announced);
  if (name_bytes > kNameBytesMax || !fill(kNameAt + name_bytes) || PeekFrameBytes() < kNameAt + name_bytes) {
    return {};
  }
  const auto* name = reinterpret_cast<const char*>(in_.bytes.get() + frame_end_ + kLengthBytes + kNameAt);
  const std::string_view method(name, name_bytes);
  return method.substr(0, method.find(':'));
}

bool FramedTransport::FillTo(size_t bytes) {
  while (in_end_ - frame_end_ < bytes) {
    const size_t have = in_end_ - frame_end_;
    if (in_end_ == in_.size) {  // grows with what has come, not with what was announced
      in_.Resize(std::max(std::min(bytes, 4 * have), kIdleBytes), frame_end_, have);
      setReadBuffer(in_.bytes.get(), 0);
      frame_end_ = 0;
      in_end_ = have;
    }
    const uint32_t got = inner_->read(in_.bytes.get() + in_end_, static_cast<uint32_t>(in_.size - in_end_));
    if (got == 0) {
      if (have == 0) return false;
      throw TTransportException(TTransportException::END_OF_FILE, "the connection ended within a frame");
    }
    in_end_ += got;
  }
  return true;
}

std::shared_ptr<TTransport> FramedTransportFactory::getTransport(std::shared_ptr<TTransport> inner) {
  return std::make_shared<FramedTransport>(std::move(inner), limits_);
}

std::shared_ptr<TProtocol> MakeProtocol(const std::shared_ptr<FramedTransport>& transport,
                                        const WireLimits& limits) {
  return std::make_shared<LimitedProtocol>(transport, limits);
}

std::shared_ptr<TProtocol> LimitedProtocolFactory::getProtocol(std::shared_ptr<TTransport> transport) {
  auto framed = std::dynamic_pointer_cast<FramedTransport>(transport);
  ASSENT_CHECK(framed != nullptr);
  return MakeProtocol(framed, limits_);
}

void QuietThrift() {
  static std::once_flag once;
  std::call_once(once, [] {
    apache::thrift::GlobalOutput.setOutputFunction([](const char* text) { VLOG(1) << "thrift: " << text; });
  });
}

}  // namespace assent
