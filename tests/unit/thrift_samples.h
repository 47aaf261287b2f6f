#pragma once

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/client_api.h"
#include "common/messages.h"

// Random messages and requests for the codec's tests, and texts of them that show every field, so that two
// that differ anywhere have different texts.
namespace assent::samples {

using Random = std::mt19937_64;

inline constexpr size_t kMessageTypes = std::variant_size_v<Message>;

Message RandomMessage(size_t type, Random& random);
Envelope RandomEnvelope(size_t type, Random& random);
std::vector<Operation> RandomOperations(Random& random);
std::vector<OperationResult> RandomResults(Random& random);
CommitTag RandomTag(Random& random);
TxnId RandomTxn(Random& random);
Age RandomAge(Random& random);
ClientRequest RandomRequest(size_t type, Random& random);
Ending RandomEnding(Random& random);

std::string TextOf(const Envelope& envelope);
std::string TextOf(const ClientRequest& request);
std::string TextOf(const ClientReply& reply);

// A number that an enum does not have, as a peer may send it.
template <typename Enum>
Enum Unknown(int number) {
  return static_cast<Enum>(number);
}

// ---- A wire struct to and from the bytes of TBinaryProtocol. FromBytes throws Thrift's exceptions.

template <typename Wire>
std::string ToBytes(const Wire& wire) {
  auto buffer = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
  apache::thrift::protocol::TBinaryProtocol protocol(buffer);
  wire.write(&protocol);
  return buffer->getBufferAsString();
}

template <typename Wire>
Wire FromBytes(const std::string& bytes) {
  auto buffer = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
  buffer->resetBuffer(const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(bytes.data())),
                      static_cast<uint32_t>(bytes.size()));
  apache::thrift::protocol::TBinaryProtocol protocol(buffer);
  Wire wire;
  wire.read(&protocol);
  return wire;
}

}  // namespace assent::samples
