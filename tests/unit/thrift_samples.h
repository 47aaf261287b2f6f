#pragma once

#include <thrift/protocol/TBinaryProtocol.h>
#include <thrift/transport/TBufferTransports.h>

#include <cstdint>
#include <memory>
#include <string>

#include "common/client_api.h"
#include "samples.h"

// Random requests and replies of clients, and wire structs as bytes.
namespace assent::samples {

CommitTag RandomTag(Random& random);
Age RandomAge(Random& random);
ClientRequest RandomRequest(size_t type, Random& random);
Ending RandomEnding(Random& random);
EnlistedBranch RandomBranch(Random& random);

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
