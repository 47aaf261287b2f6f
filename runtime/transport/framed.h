#pragma once

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include <cstdint>
#include <memory>
#include <string_view>

// The wire format of every Assent connection: Thrift's framed transport and strict binary protocol, byte for
// byte, but with bounds on all that a peer can make this process allocate, loop over or recurse into. Used on
// both sides: a hostile server can hurt its client as well.
//
// Thrift's own classes are not enough (0.17):
//   - a transport's message budget is only given back by flush(), which a server's input side never calls, so
//     a connection dies after about 100 MiB of requests. Here readEnd() gives it back;
//   - a read past the end of a frame blocks for the next one; here a message ends with its frame;
//   - a frame's buffer is allocated by the length announced, and strings and containers are unlimited. Here a
//     buffer grows only as bytes arrive, and no announced length may exceed what is left of the frame;
//   - close() flushes, so a message that failed half-way through its serialisation is sent as if it were
//     whole. Here close() drops it.
namespace assent {

struct WireLimits {
  int32_t frame_bytes_max;      // one message; both directions
  int32_t string_bytes_max;     // one string or binary field
  int32_t container_items_max;  // one list, set or map
  int32_t depth_max;            // nested structs and containers
  // Each struct in a list; the shortest that Thrift can write is one byte, and costs some hundred in memory.
  int32_t struct_bytes_min = 1;
};

// A branch holds at most 1 MiB in 4,096 operations; the rest is room for names, locks and replies to scans.
inline constexpr WireLimits kClientLimits{2 << 20, 1 << 20, 1 << 16, 16};
// The same, as a server takes them in: operations for a few shards at once, none of which is said in less.
inline constexpr WireLimits kRequestLimits{2 << 20, 1 << 20, 1 << 14, 16, 8};
// Batches of messages and log records up to 3 MiB, with one record of up to 1 MiB more.
inline constexpr WireLimits kPeerLimits{4 << 20, 4 << 20, 1 << 18, 16};

// A frame announced or about to be sent is larger than the limits allow.
class FrameTooLarge : public apache::thrift::transport::TTransportException {
 public:
  FrameTooLarge(bool ours, size_t bytes, size_t bytes_max);
  bool is_ours() const { return ours_; }  // about to be sent, and nothing of it was

 private:
  bool ours_;
};

// Reads ahead: a small request costs one recv(), and pipelined ones share it. Not thread-safe; owned by the
// thread that serves or uses the connection. An exception on reading leaves the stream out of step: close.
class FramedTransport final
    : public apache::thrift::transport::TVirtualTransport<FramedTransport,
                                                          apache::thrift::transport::TBufferBase> {
 public:
  FramedTransport(std::shared_ptr<apache::thrift::transport::TTransport> inner, const WireLimits& limits);

  bool isOpen() const override { return inner_->isOpen(); }
  bool peek() override { return rBase_ < rBound_ || buffered_bytes() > 0 || inner_->peek(); }
  void open() override { inner_->open(); }
  void close() override;  // drops what was written but not flushed
  void flush() override;  // sends what was written as one frame
  uint32_t readEnd() override;
  uint32_t writeEnd() override { return static_cast<uint32_t>(wBase_ - out_.bytes.get()); }
  const std::string getOrigin() const override { return inner_->getOrigin(); }  // NOLINT: Thrift's signature
  using TBufferBase::readAll;

  // Bytes of later frames that are here already: a poll() on the socket does not see them.
  size_t buffered_bytes() const { return in_end_ - frame_end_; }
  // Bytes of the current message that were not read yet.
  size_t frame_bytes_left() const { return static_cast<size_t>(rBound_ - rBase_); }
  // Bytes of the current message, or of the last.
  size_t frame_bytes() const { return frame_bytes_; }
  // Frames whose sending began: once it did, the peer may have the whole message, whatever the error says.
  uint64_t frames_started() const { return frames_started_; }
  // Memory held for input, whether in use or not.
  size_t input_capacity() const { return in_.size; }
  // Bytes that a connection always keeps for input: a message up to this takes no more memory to receive.
  static size_t idle_input_bytes();

  // For a server, which decides what to do with a message before it takes it in. Between two messages:
  // Waits for the next one to begin. False: the peer closed.
  bool AwaitMessage() { return FillTo(1); }
  // The service that the message names ("Peer" of "Peer:deliver"), as soon as so much of it has come; empty
  // if it does not begin as such a call does. Valid until the next read.
  std::string_view PeekService();
  // Its announced length. REQUIRES: PeekService().
  size_t PeekFrameBytes() const;
  // Takes all of it in. Reading it does so, too.
  void ReceiveMessage() { ReadFrame(); }
  // For what is received from now on.
  void set_receive_bytes_max(int32_t bytes_max) { receive_bytes_max_ = static_cast<size_t>(bytes_max); }
  // Drops a message that was written in part.
  void DropUnflushed();

 protected:
  uint32_t readSlow(uint8_t* buf, uint32_t len) override;
  void writeSlow(const uint8_t* buf, uint32_t len) override;
  const uint8_t* borrowSlow(uint8_t* buf, uint32_t* len) override;

 private:
  struct Buffer {
    std::unique_ptr<uint8_t[]> bytes;  // not initialised: most of a large frame's cost would be the zeros
    size_t size = 0;
    void Resize(size_t size_new, size_t keep_from,
                size_t keep);  // keeps [keep_from, +keep), moved to the front
  };

  bool ReadFrame();           // false: the peer closed between two frames
  bool FillTo(size_t bytes);  // until so many follow frame_end_; false: the stream ended, and none do

  const std::shared_ptr<apache::thrift::transport::TTransport> inner_;
  const size_t frame_bytes_max_;
  size_t receive_bytes_max_;  // at most that
  bool in_message_ = false;   // a frame was begun and its readEnd() has not come
  Buffer in_;  // [.., frame_end_): the current frame; [frame_end_, in_end_): what came after it
  size_t frame_end_ = 0;
  size_t frame_bytes_ = 0;
  size_t in_end_ = 0;
  Buffer out_;  // 4 bytes for the length, then the message
  uint64_t frames_started_ = 0;
};

class FramedTransportFactory final : public apache::thrift::transport::TTransportFactory {
 public:
  explicit FramedTransportFactory(const WireLimits& limits) : limits_(limits) {}
  std::shared_ptr<apache::thrift::transport::TTransport> getTransport(
      std::shared_ptr<apache::thrift::transport::TTransport> inner) override;

 private:
  const WireLimits limits_;
};

// Sends what libthrift prints to stderr (each refused connection, say) to the verbose log instead. Any
// thread, once or often; done by whatever here makes connections.
void QuietThrift();

// Strict binary protocol over a FramedTransport, with `limits` set on every object it makes.
std::shared_ptr<apache::thrift::protocol::TProtocol> MakeProtocol(
    const std::shared_ptr<FramedTransport>& transport, const WireLimits& limits);

class LimitedProtocolFactory final : public apache::thrift::protocol::TProtocolFactory {
 public:
  explicit LimitedProtocolFactory(const WireLimits& limits) : limits_(limits) {}
  // REQUIRES: `transport` comes from a FramedTransportFactory.
  std::shared_ptr<apache::thrift::protocol::TProtocol> getProtocol(
      std::shared_ptr<apache::thrift::transport::TTransport> transport) override;

 private:
  const WireLimits limits_;
};

}  // namespace assent
