#include "sim/checker/history.h"

#include <cstdio>
#include <string_view>

namespace assent::checker {
namespace {

constexpr size_t kValueCharsMax = 24;   // of a value in a report; its end is what tells lists apart
constexpr size_t kEventsShownMax = 12;  // of a transaction in a report

std::string Shorten(std::string_view value) {
  if (value.size() <= kValueCharsMax) return std::string(value);
  return ".." + std::string(value.substr(value.size() - kValueCharsMax));
}

std::string ShowRead(const std::string& key, const std::optional<std::string>& value, uint64_t version) {
  std::string text = "r(" + key + ")=" + (value ? Shorten(*value) : "absent");
  if (version != 0) text += "@" + std::to_string(version);
  return text;
}

struct Show {
  std::string operator()(const Read& read) const { return ShowRead(read.key, read.value, read.version); }
  std::string operator()(const Write& write) const {
    return "w(" + write.key + ")=" + (write.value ? Shorten(*write.value) : "deleted");
  }
  std::string operator()(const Scan& scan) const {
    return "scan(" + scan.prefix + ")=" + std::to_string(scan.rows.size()) + " rows";
  }
};

std::string_view Name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kCommitted:
      return "committed";
    case Outcome::kAborted:
      return "aborted";
    case Outcome::kUnknown:
      return "unknown";
  }
  return "?";
}

std::string Milliseconds(uint64_t ns) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", static_cast<double>(ns) / 1e6);
  return text;
}

}  // namespace

std::vector<std::string_view> ListElements(std::string_view value) {
  std::vector<std::string_view> elements;
  while (!value.empty()) {
    size_t comma = value.find(',');
    elements.push_back(value.substr(0, comma));
    value = comma == std::string_view::npos ? std::string_view() : value.substr(comma + 1);
  }
  return elements;
}

std::string Describe(const History& history, size_t transaction) {
  const Transaction& t = history.transactions[transaction];
  std::string text = "T" + std::to_string(transaction) + " (client " + std::to_string(t.client) + ", " +
                     Milliseconds(t.invoke_ns) + "-" +
                     (t.complete_ns == kNever ? "?" : Milliseconds(t.complete_ns)) + " ms, " +
                     std::string(Name(t.outcome)) + "):";
  for (size_t i = 0; i < t.events.size() && i < kEventsShownMax; ++i)
    text += " " + std::visit(Show(), t.events[i]);
  if (t.events.size() > kEventsShownMax) text += " ...";
  return text;
}

}  // namespace assent::checker
