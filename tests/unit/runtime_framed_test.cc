// G8: bounds on all that bytes from outside can make a process allocate, loop over or recurse into.
#include <gtest/gtest.h>
#include <thrift/transport/TBufferTransports.h>

#include <string>

#include "Echo.h"
#include "runtime/transport/framed.h"
#include "tests/unit/runtime_allocations.h"
#include "tests/unit/runtime_echo.h"

namespace assent::test {
namespace {

using apache::thrift::protocol::TProtocol;
using apache::thrift::protocol::TProtocolException;
using apache::thrift::transport::TMemoryBuffer;
using apache::thrift::transport::TTransportException;

// Both ends of a connection in memory: what is written to `wire` is what the transport reads.
struct Pipe {
  explicit Pipe(const WireLimits& limits = kClientLimits)
      : transport(std::make_shared<FramedTransport>(wire, limits)),
        protocol(MakeProtocol(transport, limits)) {}
  void Feed(const std::string& bytes) {
    wire->write(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<uint32_t>(bytes.size()));
  }
  // Reads a request as the server does.
  void ReadMessage() {
    std::string name;
    apache::thrift::protocol::TMessageType type{};
    int32_t seqid = 0;
    protocol->readMessageBegin(name, type, seqid);
    protocol->skip(apache::thrift::protocol::T_STRUCT);
    protocol->readMessageEnd();
    transport->readEnd();
  }

  std::shared_ptr<TMemoryBuffer> wire = std::make_shared<TMemoryBuffer>();
  std::shared_ptr<FramedTransport> transport;
  std::shared_ptr<TProtocol> protocol;
};

std::string Field(char type, int16_t id) {
  return {type, static_cast<char>(id >> 8), static_cast<char>(id)};
}
constexpr char kString = 11, kStruct = 12, kList = 15, kMap = 13, kVoid = 1;
const std::string kStop(1, '\0');

// Reading `bytes` throws, and on the way takes memory for what came, not for what it announces.
template <class Exception>
void ExpectRefused(const std::string& bytes) {
  Pipe pipe;
  pipe.Feed(bytes);
  largest_allocation = 0;
  EXPECT_THROW(pipe.ReadMessage(), Exception);
  EXPECT_LT(largest_allocation, bytes.size() + (64U << 10));
}

TEST(FramedLimits, FrameLengthBeyondLimitIsRefusedWithoutMemory) {
  ExpectRefused<FrameTooLarge>(Int32(0x7fffffff));
  ExpectRefused<FrameTooLarge>(Int32(-1));
  ExpectRefused<FrameTooLarge>(Int32(kClientLimits.frame_bytes_max + 1));
  ExpectRefused<TTransportException>(Int32(0));
}

TEST(FramedLimits, AnnouncedFrameTakesMemoryOnlyAsItsBytesCome) {
  Pipe pipe;
  pipe.Feed(Int32(kClientLimits.frame_bytes_max) + std::string(100'000, 'x'));
  largest_allocation = 0;
  EXPECT_THROW(pipe.ReadMessage(), TTransportException);
  EXPECT_LT(largest_allocation, 1U << 20);
}

TEST(FramedLimits, StringLengthBeyondFrameIsRefusedWithoutMemory) {
  for (const int32_t length : {0x7fffffff, -1, kClientLimits.string_bytes_max, 100}) {
    ExpectRefused<apache::thrift::TException>(
        Frame(Begin("echo") + Field(kString, 1) + Int32(length) + "abc"));
    // The method's name is a string as well, and it comes first.
    ExpectRefused<apache::thrift::TException>(
        Frame(Int32(static_cast<int32_t>(0x80010001U)) + Int32(length)));
  }
}

TEST(FramedLimits, ContainersOfNothingAreRefused) {
  // Two billion elements that take no bytes: refused by their number before the loop over them begins.
  for (const int32_t size : {0x7fffffff, -1, 1 << 20, 60'000}) {
    for (const char element : {kStruct, kVoid}) {
      ExpectRefused<TProtocolException>(
          Frame(Begin("count") + Field(kList, 1) + element + Int32(size) + kStop));
      ExpectRefused<TProtocolException>(Frame(Begin("x") + Field(14, 1) + element + Int32(size) + kStop));
      ExpectRefused<TProtocolException>(
          Frame(Begin("x") + Field(kMap, 1) + element + element + Int32(size) + kStop));
    }
  }
}

TEST(FramedLimits, GeneratedCodeIsBoundToThem) {
  // As above, through the generated reader, which resizes its vector to the size announced.
  Pipe pipe;
  pipe.Feed(Frame(Field(kList, 1) + kStruct + Int32(60'000) + kStop));
  Echo_count_args args;
  largest_allocation = 0;
  EXPECT_THROW(args.read(pipe.protocol.get()), TProtocolException);
  EXPECT_LT(largest_allocation, 64U << 10);
}

// A struct costs some hundred bytes of memory, and the empty one a single byte on the wire.
TEST(FramedLimits, ListOfStructsNeedsBytesForEach) {
  const auto list = [](size_t items, size_t more) {
    return Frame(Begin("count") + Field(kList, 1) + kStruct + Int32(static_cast<int32_t>(items)) +
                 std::string(items, '\0') + kStop + std::string(more, '\0'));
  };
  const auto read = [](const std::string& frame) {
    Pipe pipe(kRequestLimits);
    pipe.Feed(frame);
    std::string name;
    apache::thrift::protocol::TMessageType type{};
    int32_t seqid = 0;
    pipe.protocol->readMessageBegin(name, type, seqid);
    Echo_count_args args;
    args.read(pipe.protocol.get());
    return args.nothings.size();
  };
  EXPECT_EQ(read(list(64, 0)), 64U) << "few are answered as what they are";
  EXPECT_THROW(read(list(65, 0)), TProtocolException);
  largest_allocation = 0;
  EXPECT_THROW(read(list(16'000, 0)), TProtocolException);
  EXPECT_LT(largest_allocation, 64U << 10);
  EXPECT_EQ(read(list(100, 700)), 100U);
}

TEST(FramedPeek, TellsTheServiceBeforeTheMessageIsHere) {
  Pipe pipe;
  const std::string frame = Frame(Begin("echo") + std::string(100'000, 'x'));
  pipe.Feed(frame.substr(0, 4 + 8 + 9));
  ASSERT_TRUE(pipe.transport->AwaitMessage());
  EXPECT_EQ(pipe.transport->PeekService(), "Echo");
  EXPECT_EQ(pipe.transport->PeekFrameBytes(), frame.size() - 4);
  EXPECT_LE(pipe.transport->input_capacity(), FramedTransport::idle_input_bytes());

  for (const std::string& other :
       {Frame("short"), Frame(std::string(100, '\xff')), Frame(Int32(1) + Int32(1000))}) {
    Pipe unnamed;
    unnamed.Feed(other);
    ASSERT_TRUE(unnamed.transport->AwaitMessage());
    EXPECT_EQ(unnamed.transport->PeekService(), "");
  }
}

TEST(FramedPeek, MessageIsReadAsWithoutIt) {
  Pipe pipe;
  const std::string frame = Frame(Begin("echo") + Field(kString, 1) + Int32(3) + "abc" + kStop);
  pipe.Feed(frame + frame);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(pipe.transport->AwaitMessage());
    EXPECT_EQ(pipe.transport->PeekService(), "Echo");
    pipe.transport->ReceiveMessage();
    pipe.ReadMessage();
  }
}

TEST(FramedLimits, ContainerLimitHoldsInFullFrame) {
  const auto items = static_cast<size_t>(kClientLimits.container_items_max) + 1;
  Pipe pipe;
  pipe.Feed(Frame(Begin("count") + Field(kList, 1) + kStruct + Int32(static_cast<int32_t>(items)) +
                  std::string(items, '\0') + kStop));
  EXPECT_THROW(pipe.ReadMessage(), TProtocolException);
}

TEST(FramedLimits, DeepRecursionIsRefused) {
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += Field(kStruct, 1);
  ExpectRefused<TProtocolException>(Frame(Begin("depth") + deep));

  std::string lists = Field(kList, 1);
  for (int i = 0; i < 100'000; ++i) lists += kList + Int32(1);
  ExpectRefused<TProtocolException>(Frame(Begin("depth") + lists));

  Node node;
  for (int i = 0; i < kClientLimits.depth_max; ++i) {
    Node parent;
    parent.__set_children({node});
    node = parent;
  }
  Pipe pipe;
  EXPECT_THROW(node.write(pipe.protocol.get()), TProtocolException);
}

TEST(FramedLimits, OversizeMessageIsNotSentAndCanBeDropped) {
  Pipe pipe;
  const std::string half(static_cast<size_t>(kClientLimits.frame_bytes_max) / 2, 'x');
  pipe.protocol->writeBinary(half);
  EXPECT_THROW(pipe.protocol->writeBinary(half), FrameTooLarge);
  pipe.transport->DropUnflushed();
  pipe.protocol->writeBinary("small");
  pipe.transport->flush();
  EXPECT_EQ(pipe.wire->getBufferAsString(), Frame(Int32(5) + "small"));
}

TEST(FramedLimits, TypesThatDoNotExistAreRefused) {
  for (const char type : {'\x12', '\x7f', '\x93'}) {
    ExpectRefused<TProtocolException>(Frame(Begin("add") + Field(type, 1) + kStop));
    ExpectRefused<TProtocolException>(Frame(Begin("add") + Field(kList, 1) + type + Int32(1) + kStop));
    ExpectRefused<TProtocolException>(
        Frame(Begin("add") + Field(kMap, 1) + kStruct + type + Int32(1) + kStop));
  }
  for (const int kind : {0, 5, 0xff}) {
    ExpectRefused<TProtocolException>(
        Frame(Int32(static_cast<int32_t>(0x80010000U) | kind) + Int32(3) + "add" + Int32(0) + kStop));
  }
}

TEST(FramedMessage, EndsWithItsFrame) {
  Pipe longer;  // the rest of a frame is no second message
  longer.Feed(Frame(Begin("add") + kStop + "more"));
  EXPECT_THROW(longer.ReadMessage(), TTransportException);

  Pipe shorter;  // nor does a message go on in the next frame
  shorter.Feed(Frame(Begin("add") + Field(kString, 1)) + Frame(Int32(0) + kStop));
  EXPECT_THROW(shorter.ReadMessage(), TTransportException);
}

TEST(FramedMessage, EachHasTheWholeBudget) {
  // In Thrift's own, all messages of a connection's input share one.
  Pipe pipe;
  for (const size_t bytes : {1U << 20, 10U, 1U << 20, 100U, 1U << 20}) {
    pipe.Feed(Frame(Begin("echo") + Field(kString, 1) + Int32(static_cast<int32_t>(bytes)) +
                    std::string(bytes, 'x') + kStop));
    pipe.ReadMessage();
  }
}

TEST(FramedMessage, PipelinedFramesAreReadOneByOne) {
  Pipe pipe;
  const std::string call = Frame(Begin("add") + kStop);
  pipe.Feed(call + call + call.substr(0, 3));
  pipe.ReadMessage();
  EXPECT_EQ(pipe.transport->buffered_bytes(), call.size() + 3);
  pipe.ReadMessage();
  pipe.Feed(call.substr(3));
  pipe.ReadMessage();
  EXPECT_EQ(pipe.transport->buffered_bytes(), 0U);
}

TEST(FramedMessage, LargeBuffersAreGivenBack) {
  Pipe pipe(kPeerLimits);
  const size_t idle = pipe.transport->input_capacity();
  const std::string payload(3U << 20, 'x');
  pipe.Feed(Frame(Begin("echo") + Field(kString, 1) + Int32(static_cast<int32_t>(payload.size())) + payload +
                  kStop));
  pipe.ReadMessage();
  EXPECT_EQ(pipe.transport->input_capacity(), idle);
}

TEST(FramedMessage, CloseDropsWhatWasNotFlushed) {
  // Otherwise a message whose serialisation failed half-way is sent as if it were whole.
  Pipe pipe;
  pipe.protocol->writeBinary("half a message");
  pipe.transport->close();
  EXPECT_EQ(pipe.wire->getBufferAsString(), "");
}

}  // namespace
}  // namespace assent::test
