#include "cli/parse_operation.h"

#include <charconv>
#include <cstdint>
#include <optional>

namespace assent::cli {
namespace {

Status Invalid(std::string text) {
  return Status(StatusCode::kInvalid, std::move(text));
}

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text, int base = 10) {
  Number number{};
  if (base == 10 && text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// What follows `name=` in the word; nothing if it does not begin so.
std::optional<std::string_view> Option(std::string_view word, std::string_view name) {
  if (!word.starts_with(name) || word.size() <= name.size() || word[name.size()] != '=') return std::nullopt;
  return word.substr(name.size() + 1);
}

Result<std::string> Unquote(std::string_view text, size_t& at) {
  std::string word;
  for (++at; at < text.size(); ++at) {
    if (text[at] == '"') {
      ++at;
      return word;
    }
    if (text[at] != '\\') {
      word += text[at];
      continue;
    }
    if (++at == text.size()) break;
    switch (text[at]) {
      case 'n':
        word += '\n';
        break;
      case 't':
        word += '\t';
        break;
      case 'x': {
        const auto byte =
            at + 2 < text.size() ? ParseNumber<uint8_t>(text.substr(at + 1, 2), 16) : std::nullopt;
        if (!byte) return Invalid("\\x wants two hexadecimal digits");
        word += static_cast<char>(*byte);
        at += 2;
        break;
      }
      default:
        word += text[at];
    }
  }
  return Invalid("a double quote is not closed");
}

}  // namespace

Result<std::vector<std::string>> SplitWords(std::string_view text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    if (text[at] == ' ' || text[at] == '\t') {
      ++at;
      continue;
    }
    std::string word;
    while (at < text.size() && text[at] != ' ' && text[at] != '\t') {
      if (text[at] == '"') {
        auto quoted = Unquote(text, at);
        if (!quoted.ok()) return quoted.status();
        word += *quoted;
      } else {
        word += text[at++];
      }
    }
    words.push_back(std::move(word));
  }
  return words;
}

Result<Operation> ParseOperation(std::string_view text) {
  auto words = SplitWords(text);
  if (!words.ok()) return words.status();
  return ParseOperation(*words);
}

Result<Operation> ParseOperation(const std::vector<std::string>& words) {
  const size_t count = words.size();
  if (count == 0) return Invalid("an empty operation; try: get KEY");
  const std::string& verb = words[0];
  if (verb == "get" && count == 2) return Operation(GetOp{words[1]});
  if (verb == "put" && count == 3) return Operation(PutOp{words[1], words[2]});
  if (verb == "delete" && count == 2) return Operation(DeleteOp{words[1]});
  if (verb == "scan" && count >= 2 && count <= 4) {
    ScanOp scan{words[1], 0, {}};
    for (size_t i = 2; i < count; ++i) {
      const auto limit = Option(words[i], "limit");
      const auto number = limit ? ParseNumber<uint32_t>(*limit) : std::nullopt;
      const auto after = Option(words[i], "after");
      if (after && scan.after.empty()) {
        scan.after = *after;
      } else if (number && *number != 0 && scan.limit == 0) {
        scan.limit = *number;
      } else {
        return Invalid("scan: expected limit=N or after=KEY, not '" + words[i] + "'");
      }
    }
    return Operation(std::move(scan));
  }
  if (verb == "add" && (count == 3 || count == 4)) {
    const auto delta = ParseNumber<int64_t>(words[2]);
    if (!delta) return Invalid("add: '" + words[2] + "' is not a number of 64 bits");
    AddOp add{words[1], *delta, std::nullopt};
    if (count == 4) {
      const auto floor = Option(words[3], "min");
      const auto number = floor ? ParseNumber<int64_t>(*floor) : std::nullopt;
      if (!number) return Invalid("add: expected min=N, not '" + words[3] + "'");
      add.floor = *number;
    }
    return Operation(std::move(add));
  }
  if (verb == "check" && count == 3) {
    CheckOp check{words[1], CheckKind::kExists, {}, 0};
    if (words[2] == "exists") return Operation(std::move(check));
    if (words[2] == "absent") {
      check.kind = CheckKind::kAbsent;
      return Operation(std::move(check));
    }
    if (const auto value = Option(words[2], "value")) {
      check.kind = CheckKind::kValue;
      check.value = *value;
      return Operation(std::move(check));
    }
    const auto version = Option(words[2], "version");
    const auto number = version ? ParseNumber<uint64_t>(*version) : std::nullopt;
    if (!number)
      return Invalid("check: expected exists, absent, value=V or version=N, not '" + words[2] + "'");
    check.kind = CheckKind::kVersion;
    check.version = *number;
    return Operation(std::move(check));
  }
  return Invalid("not an operation: '" + verb + "' with " + std::to_string(count - 1) +
                 " words. There are:\n" + std::string(kOperationHelp));
}

}  // namespace assent::cli
