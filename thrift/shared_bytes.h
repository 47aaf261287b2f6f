#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <utility>

// The C++ type of Payload fields (assent.thrift): a log record's bytes go from the log into a message, and
// from a message into the log, by sharing and not by copying.
namespace assent {

class SharedBytes {
 public:
  SharedBytes() = default;
  explicit SharedBytes(std::shared_ptr<const std::string> bytes) : shared_(std::move(bytes)) {}

  // Generated code writes from this.
  operator const std::string&() const {  // NOLINT: implicit on purpose
    static const std::string kEmpty;
    return shared_ != nullptr ? *shared_ : kEmpty;
  }
  // Generated code reads into this: new bytes each time, since the old ones may be shared. So nothing else
  // may convert a non-const one; see Take().
  operator std::string&() {  // NOLINT: implicit on purpose
    auto fresh = std::make_shared<std::string>();
    std::string& bytes = *fresh;
    shared_ = std::move(fresh);
    return bytes;
  }

  std::shared_ptr<const std::string> Take() && {
    return shared_ != nullptr ? std::move(shared_) : std::make_shared<const std::string>();
  }

  bool operator==(const SharedBytes& other) const {
    return static_cast<const std::string&>(*this) == static_cast<const std::string&>(other);
  }
  friend std::ostream& operator<<(std::ostream& out, const SharedBytes& bytes) {
    return out << static_cast<const std::string&>(bytes).size() << " bytes";
  }

 private:
  std::shared_ptr<const std::string> shared_;
};

}  // namespace assent
