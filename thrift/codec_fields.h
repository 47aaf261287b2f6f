#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "assent_types.h"
#include "common/client_api.h"
#include "common/ids.h"
#include "common/message_codec.h"
#include "common/messages.h"
#include "common/operations.h"
#include "common/records.h"

// The pieces that the codecs of all families share: ids, enums, operations and their results. Encode() cannot
// fail. Decode() trusts nothing: it returns false and names the first fault unless every id, enum and size is
// one that Encode could have written within the limits of common/operations.h; `out` is then half-filled.
//
// Both take what they may consume by rvalue or mutable reference, and move strings instead of copying them.
namespace assent::codec {

// The first thing found wrong with a message. Texts are literals.
struct Fault {
  const char* what = nullptr;
  bool Set(const char* text) {
    if (what == nullptr) what = text;
    return false;
  }
};

// ---- Numbers. Thrift has no unsigned types.

// An id or a count: never negative on the wire.
template <typename T>
constexpr int64_t Number(T value) {
  return static_cast<int64_t>(value);
}
template <typename T>
bool DecodeNumber(int64_t in, T& out, Fault& fault) {
  if (in < 0) return fault.Set("negative number");
  out = static_cast<T>(in);
  return true;
}
template <typename T>
constexpr int32_t SmallNumber(T value) {
  return static_cast<int32_t>(value);
}
template <typename T>
bool DecodeSmallNumber(int32_t in, T& out, Fault& fault) {
  if (in < 0) return fault.Set("negative number");
  out = static_cast<T>(in);
  return true;
}

// ---- Ids

int32_t Encode(GroupId group);
bool Decode(int32_t in, GroupId& out, Fault& fault);
bool DecodeGroups(const std::vector<int32_t>& in, std::vector<GroupId>& out, Fault& fault);

wire::TxnId Encode(const TxnId& txn);
bool Decode(const wire::TxnId& in, TxnId& out, Fault& fault);  // a whole id: seq from 1

wire::Token Encode(const Token& token);
bool Decode(const wire::Token& in, Token& out, Fault& fault);

wire::Age Encode(const Age& age);
bool Decode(const wire::Age& in, Age& out, Fault& fault);

wire::LogPosition Encode(const LogPosition& position);

// ---- Enums

wire::AbortReason::type Encode(AbortReason reason);
bool Decode(wire::AbortReason::type in, AbortReason& out, Fault& fault);
wire::Vote::type Encode(Vote vote);
bool Decode(wire::Vote::type in, Vote& out, Fault& fault);
wire::Decision::type Encode(Decision decision);
bool Decode(wire::Decision::type in, Decision& out, Fault& fault);
wire::HeuristicKind::type Encode(HeuristicKind kind);
bool Decode(wire::HeuristicKind::type in, HeuristicKind& out, Fault& fault);
wire::Outcome::type Encode(Outcome outcome);
bool Decode(wire::Outcome::type in, Outcome& out, Fault& fault);
wire::RefusalCode::type Encode(RefusalCode code);
bool Decode(wire::RefusalCode::type in, RefusalCode& out, Fault& fault);

// ---- Texts

// Constants of assent.thrift, which a test compares.
using assent::CutDetail;
using assent::kDetailBytesMax;
using assent::kNameBytesMax;
using assent::kParticipantsMax;
inline constexpr size_t kForeignPayloadBytesMax = 64 * 1024;
inline constexpr int32_t kFinishedWaitMsMax = kFinishedWaitMaxUs / 1'000;
inline constexpr size_t kForeignWorkMax = 64;  // resource managers in one request

// ---- Operations

wire::Operation Encode(Operation&& operation);
bool Decode(wire::Operation& in, Operation& out, Fault& fault);
std::vector<wire::Operation> Encode(std::vector<Operation>&& operations);
bool Decode(std::vector<wire::Operation>& in, std::vector<Operation>& out, Fault& fault);

std::vector<wire::OperationResult> Encode(std::vector<OperationResult>&& results);
bool Decode(std::vector<wire::OperationResult>& in, std::vector<OperationResult>& out, Fault& fault);

}  // namespace assent::codec
