#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "common/fields.h"

// The one encoding of values: of log records (docs/FORMAT.md), and of messages between nodes.
//
//   integer, id          little-endian, its full width
//   bool                 a byte, 0 or 1
//   choice (an enum of   a byte within RangeOf(its type), which stands beside the enum and gives the first
//   uint8_t)             and the last one
//   string               length (4 bytes), bytes
//   list                 count (4 bytes), items
//   optional             a byte, 0 or 1; if 1, the value
//   struct               its fields in the order of their declaration (common/fields.h)
//   variant              a byte, which alternative from 1 on; its value
//
// Each value has one encoding, so bytes that decode are those that their value encodes to.
namespace assent {

namespace internal {

template <typename T>
constexpr bool kIsList = false;
template <typename T>
constexpr bool kIsList<std::vector<T>> = true;
template <typename T>
constexpr bool kIsOptional = false;
template <typename T>
constexpr bool kIsOptional<std::optional<T>> = true;
template <typename T>
constexpr bool kIsVariant = false;
template <typename... Ts>
constexpr bool kIsVariant<std::variant<Ts...>> = true;

template <typename T>
concept Choice = std::is_enum_v<T> && sizeof(T) == 1;
template <typename T>
concept Number = std::integral<T> ||(std::is_enum_v<T> && sizeof(T) > 1);
// Bytes that several messages and the log share (common/log_entry.h).
using SharedBytes = std::shared_ptr<const std::string>;

}  // namespace internal

// The bytes that Writer::Put makes of it.
template <typename T>
constexpr size_t EncodedSize(const T& value) {
  if constexpr (internal::Choice<T> || internal::Number<T>) {
    return sizeof(T);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return 4 + value.size();
  } else if constexpr (std::is_same_v<T, internal::SharedBytes>) {
    return 4 + value->size();
  } else if constexpr (internal::kIsList<T>) {
    size_t size = 4;
    for (const auto& item : value) size += EncodedSize(item);
    return size;
  } else if constexpr (internal::kIsOptional<T>) {
    return 1 + (value ? EncodedSize(*value) : 0);
  } else if constexpr (internal::kIsVariant<T>) {
    return 1 + std::visit([](const auto& one) { return EncodedSize(one); }, value);
  } else {
    size_t size = 0;
    ForEachField(value, [&size](const auto& field) { size += EncodedSize(field); });
    return size;
  }
}

class Writer {
 public:
  void Reserve(size_t size) { bytes_.reserve(size); }
  template <typename T>
  void Put(const T& value) {
    if constexpr (internal::Choice<T> || internal::Number<T>) {
      auto rest = static_cast<uint64_t>(value);
      for (size_t i = 0; i < sizeof(T); ++i, rest >>= 8) bytes_ += static_cast<char>(rest & 0xff);
    } else if constexpr (std::is_same_v<T, std::string>) {
      Put(static_cast<uint32_t>(value.size()));
      bytes_ += value;
    } else if constexpr (std::is_same_v<T, internal::SharedBytes>) {
      Put(*value);
    } else if constexpr (internal::kIsList<T>) {
      Put(static_cast<uint32_t>(value.size()));
      for (const auto& item : value) Put(item);
    } else if constexpr (internal::kIsOptional<T>) {
      Put(value.has_value());
      if (value) Put(*value);
    } else if constexpr (internal::kIsVariant<T>) {
      Put(static_cast<uint8_t>(value.index() + 1));
      std::visit([this](const auto& one) { Put(one); }, value);
    } else {
      ForEachField(value, [this](const auto& field) { Put(field); });
    }
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads until something does not fit; from then on every value is empty. Checks each length against what is
// left before it takes anything, so that no bytes make it allocate beyond them.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  T Get() {
    T value{};
    Get(value);
    return value;
  }
  template <typename T>
  void Get(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      const auto byte = Get<uint8_t>();
      if (byte > 1) Fail();
      value = byte == 1;
    } else if constexpr (internal::Choice<T>) {
      const auto byte = Get<uint8_t>();
      const auto [first, last] = RangeOf(T{});
      const bool known = byte >= static_cast<uint8_t>(first) && byte <= static_cast<uint8_t>(last);
      if (!known) Fail();
      value = known ? static_cast<T>(byte) : first;
    } else if constexpr (internal::Number<T>) {
      if (rest_.size() < sizeof(T)) return Fail();
      uint64_t number = 0;
      for (size_t i = sizeof(T); i-- > 0;) number = number << 8 | static_cast<unsigned char>(rest_[i]);
      rest_.remove_prefix(sizeof(T));
      value = static_cast<T>(number);
    } else if constexpr (std::is_same_v<T, std::string>) {
      const auto size = Get<uint32_t>();
      if (size > rest_.size()) return Fail();
      value.assign(rest_.substr(0, size));
      rest_.remove_prefix(size);
    } else if constexpr (std::is_same_v<T, internal::SharedBytes>) {
      value = std::make_shared<const std::string>(Get<std::string>());
    } else if constexpr (internal::kIsList<T>) {
      const auto count = Get<uint32_t>();
      if (count > rest_.size()) return Fail();  // an item takes at least one byte
      for (uint32_t i = 0; i < count && !failed_; ++i) Get(value.emplace_back());
    } else if constexpr (internal::kIsOptional<T>) {
      if (Get<bool>()) Get(value.emplace());
    } else if constexpr (internal::kIsVariant<T>) {
      GetAlternative<0>(Get<uint8_t>(), value);
    } else {
      ForEachField(value, [this](auto& field) { Get(field); });
    }
  }
  // A value that is not allowed here.
  void Fail() {
    failed_ = true;
    rest_ = {};
  }

  // Everything was read, and nothing is left.
  bool complete() const { return !failed_ && rest_.empty(); }

 private:
  template <size_t kIndex, typename Variant>
  void GetAlternative(uint8_t number, Variant& value) {
    if constexpr (kIndex == std::variant_size_v<Variant>) {
      Fail();
    } else if (number == kIndex + 1) {
      Get(value.template emplace<kIndex>());
    } else {
      GetAlternative<kIndex + 1>(number, value);
    }
  }

  std::string_view rest_;
  bool failed_ = false;
};

}  // namespace assent
