#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "common/encoding.h"
#include "common/messages.h"

// Random messages and log records for the tests of codecs, and texts of values that show every field, so that
// two that differ anywhere have different texts.
namespace assent::samples {

using Random = std::mt19937_64;

inline constexpr size_t kMessageTypes = std::variant_size_v<Message>;
inline constexpr size_t kRecordTypes = std::variant_size_v<LogRecord>;

Message RandomMessage(size_t type, Random& random);
LogRecord RandomRecord(size_t type, Random& random);
Envelope RandomEnvelope(size_t type, Random& random);
std::vector<Operation> RandomOperations(Random& random);
std::vector<OperationResult> RandomResults(Random& random);
TxnId RandomTxn(Random& random);
Token RandomToken(Random& random);

uint64_t Upto(Random& random, uint64_t max);
bool Coin(Random& random);
uint64_t Big(Random& random);  // of all sizes, below 2^63
std::string Bytes(Random& random, size_t min, size_t max);

template <typename T>
std::string TextOf(const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return "'" + value + "'";
  } else if constexpr (std::is_same_v<T, internal::SharedBytes>) {
    return TextOf(*value);
  } else if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_arithmetic_v<T>) {
    return std::to_string(value);
  } else if constexpr (internal::kIsList<T>) {
    std::string out = "[";
    for (const auto& item : value) out += TextOf(item) + ";";
    return out + "]";
  } else if constexpr (internal::kIsOptional<T>) {
    return value ? "some " + TextOf(*value) : "none";
  } else if constexpr (internal::kIsVariant<T>) {
    return std::to_string(value.index()) + std::visit([](const auto& one) { return TextOf(one); }, value);
  } else {
    std::string out = "(";
    ForEachField(value, [&out](const auto& field) { out += TextOf(field) + ","; });
    return out + ")";
  }
}

}  // namespace assent::samples
