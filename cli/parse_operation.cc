#include "cli/parse_operation.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

#include "cli/text.h"

namespace assent::cli {
namespace {

Status Invalid(std::string text) {
  return Status(StatusCode::kInvalid, std::move(text));
}

struct Verb {
  std::string_view name;
  std::string_view usage;  // its words
  size_t words_min;
  size_t words_max;
};
constexpr Verb kVerbs[] = {
    {"get", "KEY", 1, 1},
    {"put", "KEY VALUE", 2, 2},
    {"delete", "KEY", 1, 1},
    {"add", "KEY DELTA [min=N]", 2, 3},
    {"check", "KEY exists|absent|value=V|version=N", 2, 2},
    {"scan", "PREFIX [limit=N] [after=KEY]", 1, 3},
};

const Verb* FindVerb(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kVerbs), std::end(kVerbs), [&](const Verb& verb) { return verb.name == name; });
  return found == std::end(kVerbs) ? nullptr : found;
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

template <typename Number>
std::optional<Number> ParseNumber(std::string_view text, int base = 10) {
  Number number{};
  // from_chars knows no plus; what follows it must be a digit, and no other sign.
  if (base == 10 && text.size() > 1 && text[0] == '+' && IsDigit(text[1])) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// The text behind `name=` in the word; nothing if it does not begin so.
std::optional<std::string_view> Option(std::string_view word, std::string_view name) {
  if (!word.starts_with(name) || word.size() <= name.size() || word[name.size()] != '=') return std::nullopt;
  return word.substr(name.size() + 1);
}

// One word of the notation: bare, unless quotes are needed.
std::string Word(std::string_view bytes) {
  const bool bare =
      !bytes.empty() && bytes.find_first_of(" \\\"") == std::string_view::npos && Printable(bytes) == bytes;
  return bare ? std::string(bytes) : InDoubleQuotes(bytes);
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
      case '"':
      case '\\':
        word += text[at];
        break;
      case 'n':
        word += '\n';
        break;
      case 't':
        word += '\t';
        break;
      case 'r':
        word += '\r';
        break;
      case '0':
        if (at + 1 < text.size() && IsDigit(text[at + 1])) {
          return Invalid("\\0 before a digit could be an octal number; write \\x00");
        }
        word += '\0';
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
        return Invalid(Printable(text.substr(at - 1, 2)).substr(1) +
                       R"( is no escape; there are \n \t \r \0 \xNN \" \\)");
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
      } else if (static_cast<unsigned char>(text[at]) < 0x20 || text[at] == 0x7f) {
        return Invalid("a control character, " + Printable(text.substr(at, 1)) +
                       ", stands outside of double quotes; if it is meant, write it as an escape in them");
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
  const std::string& name = words.empty() ? std::string() : words[0];
  const Verb* const known = FindVerb(name);
  if (known == nullptr) {
    return Invalid((words.empty() ? "an empty operation" : "not an operation: " + Cell(name)) +
                   "; there are get KEY, put KEY VALUE, delete KEY, add, check, scan");
  }
  const size_t count = words.size();
  const std::string verb = name;
  if (count - 1 < known->words_min || count - 1 > known->words_max) {
    return Invalid("not understood: write " + verb + ' ' + std::string(known->usage) + ", not " + verb +
                   " with " + std::to_string(count - 1) + (count == 2 ? " word" : " words"));
  }
  if (verb == "get") return Operation(GetOp{words[1]});
  if (verb == "put") return Operation(PutOp{words[1], words[2]});
  if (verb == "delete") return Operation(DeleteOp{words[1]});
  if (verb == "scan") {
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
        return Invalid("scan: expected limit=N or after=KEY, not " + Cell(words[i]));
      }
    }
    return Operation(std::move(scan));
  }
  if (verb == "add") {
    const auto delta = ParseNumber<int64_t>(words[2]);
    if (!delta) return Invalid("add: " + Cell(words[2]) + " is not a number of 64 bits");
    AddOp add{words[1], *delta, std::nullopt};
    if (count == 4) {
      const auto floor = Option(words[3], "min");
      const auto number = floor ? ParseNumber<int64_t>(*floor) : std::nullopt;
      if (!number) return Invalid("add: expected min=N, not " + Cell(words[3]));
      add.floor = *number;
    }
    return Operation(std::move(add));
  }
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
  if (!number) {
    return Invalid("check: expected exists, absent, value=V or version=N, not " + Cell(words[2]));
  }
  check.kind = CheckKind::kVersion;
  check.version = *number;
  return Operation(std::move(check));
}

std::string_view VerbOf(const Operation& operation) {
  struct Name {
    std::string_view operator()(const GetOp&) { return "get"; }
    std::string_view operator()(const PutOp&) { return "put"; }
    std::string_view operator()(const DeleteOp&) { return "delete"; }
    std::string_view operator()(const CheckOp&) { return "check"; }
    std::string_view operator()(const AddOp&) { return "add"; }
    std::string_view operator()(const ScanOp&) { return "scan"; }
  };
  return std::visit(Name{}, operation);
}

bool IsVerb(std::string_view word) {
  return FindVerb(word) != nullptr;
}

std::string FormatOperation(const Operation& operation) {
  std::string text = std::string(VerbOf(operation)) + ' ' + Word(KeyOf(operation));
  if (const auto* put = std::get_if<PutOp>(&operation)) {
    text += ' ' + Word(put->value);
  } else if (const auto* add = std::get_if<AddOp>(&operation)) {
    text += ' ' + std::to_string(add->delta);
    if (add->floor) text += " min=" + std::to_string(*add->floor);
  } else if (const auto* scan = std::get_if<ScanOp>(&operation)) {
    if (scan->limit != 0) text += " limit=" + std::to_string(scan->limit);
    if (!scan->after.empty()) text += " after=" + Word(scan->after);
  } else if (const auto* check = std::get_if<CheckOp>(&operation)) {
    switch (check->kind) {
      case CheckKind::kExists:
        text += " exists";
        break;
      case CheckKind::kAbsent:
        text += " absent";
        break;
      case CheckKind::kValue:
        text += " value=" + Word(check->value);
        break;
      case CheckKind::kVersion:
        text += " version=" + std::to_string(check->version);
        break;
    }
  }
  return text;
}

std::optional<uint64_t> ParseUnsigned(std::string_view text) {
  return ParseNumber<uint64_t>(text);
}

}  // namespace assent::cli
