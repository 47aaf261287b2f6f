// Operations as people write them at the command line: what is read, what is refused and how, and the way
// back.
#include <assent/client.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "cli/parse_operation.h"

namespace assent::cli {
namespace {

std::string ErrorOf(std::string_view text) {
  const auto operation = ParseOperation(text);
  EXPECT_FALSE(operation.ok()) << text;
  return operation.ok() ? "(none)" : operation.status().message();
}

// The value of "put k <text>".
std::string ValueOf(const std::string& text) {
  const auto operation = ParseOperation("put k " + text);
  EXPECT_TRUE(operation.ok()) << text;
  return operation.ok() ? std::get<PutOp>(*operation).value : "(none)";
}

TEST(ParseOperation, EscapesAreReadInDoubleQuotesOnly) {
  using std::string_literals::operator""s;
  EXPECT_EQ(ValueOf(R"("a\n\t\r\0\x00\xfF\"\\")"), "a\n\t\r\0\0\xff\"\\"s);
  EXPECT_EQ(ValueOf(R"(C:\new)"), R"(C:\new)");
  EXPECT_EQ(ValueOf(R"(a"b c"d)"), "ab cd");
  EXPECT_EQ(ValueOf(R"("")"), "");
  EXPECT_EQ(ValueOf("'x'"), "'x'");
}

TEST(ParseOperation, UnknownEscapesAreRefused) {
  for (const char* value : {R"("caf\u00e9")", R"("\q")", R"("\ ")", R"("\X41")"}) {
    EXPECT_NE(ErrorOf("put k " + std::string(value)).find("is no escape"), std::string::npos) << value;
  }
  EXPECT_EQ(ErrorOf(R"(put k "\q")"), R"(\q is no escape; there are \n \t \r \0 \xNN \" \\)");
  EXPECT_NE(ErrorOf(R"(put k "\x4")").find("two hexadecimal digits"), std::string::npos);
  EXPECT_NE(ErrorOf(R"(put k "\012")").find("octal"), std::string::npos);
  EXPECT_NE(ErrorOf(R"(put k "x)").find("not closed"), std::string::npos);
}

TEST(ParseOperation, ControlCharactersOutsideOfQuotesAreRefused) {
  for (const char* text : {"put k 1\r", "put k\n1", "put \x1bk 1", "put k \x7f"}) {
    EXPECT_NE(ErrorOf(text).find("control character"), std::string::npos) << text;
  }
  EXPECT_EQ(ValueOf("\"1\r\n\""), "1\r\n");
}

TEST(ParseOperation, OneSignLeadsANumber) {
  EXPECT_EQ(std::get<AddOp>(*ParseOperation("add k +5 min=-3")).delta, 5);
  EXPECT_EQ(std::get<AddOp>(*ParseOperation("add k -5 min=+3")).floor, 3);
  for (const char* text :
       {"add k +-5", "add k -+5", "add k --5", "add k ++5", "add k +", "add k 1 min=+-3", "scan k limit=-1",
        "scan k limit=+-1", "check k version=+-1", "add k 0x1", "add k 9223372036854775808"}) {
    EXPECT_FALSE(ParseOperation(text).ok()) << text;
  }
  EXPECT_EQ(ParseUnsigned("18446744073709551615"), 18446744073709551615u);
  EXPECT_EQ(ParseUnsigned("18446744073709551616"), std::nullopt);
  EXPECT_EQ(ParseUnsigned("-1"), std::nullopt);
}

TEST(ParseOperation, ErrorsAreOneLineAndSayWhatToWrite) {
  EXPECT_EQ(ErrorOf("put k"), "not understood: write put KEY VALUE, not put with 1 word");
  EXPECT_EQ(ErrorOf("exot"),
            "not an operation: exot; there are get KEY, put KEY VALUE, delete KEY, add, check, scan");
  for (const char* text :
       {"", "frobnicate x", "get", "put k v w", "scan k after", "check k maybe", "add k x"}) {
    EXPECT_EQ(ErrorOf(text).find('\n'), std::string::npos) << text;
  }
}

TEST(FormatOperation, IsReadBackAsTheSame) {
  std::minstd_rand random(7);
  const auto bytes = [&](bool may_be_empty) {
    static constexpr char kBytes[] = {'a', 'b', ' ', '"', '\\', 'n', '\n',   '\r',   '\t',   '\0',
                                      '=', '0', '1', '#', '\'', '-', '\x7f', '\xc3', '\xa4', '\xff'};
    std::string text;
    for (size_t left = random() % 6 + (may_be_empty ? 0 : 1); left > 0; --left) {
      text += kBytes[random() % sizeof kBytes];
    }
    return text;
  };
  for (int i = 0; i < 5'000; ++i) {
    const std::string key = bytes(false);
    const Operation operations[] = {
        op::Get(key),
        op::Put(key, bytes(true)),
        op::Delete(key),
        op::Add(key, static_cast<int64_t>(random()) - 1'000'000'000),
        op::Add(key, 1, -5),
        op::Scan(key),
        op::Scan(key, 7, key + bytes(false)),
        op::CheckExists(key),
        op::CheckAbsent(key),
        op::CheckValue(key, bytes(true)),
        op::CheckVersion(key, random()),
    };
    for (const Operation& operation : operations) {
      const std::string text = FormatOperation(operation);
      const auto again = ParseOperation(text);
      ASSERT_TRUE(again.ok()) << text << ": " << again.status().message();
      EXPECT_EQ(FormatOperation(*again), text);
      EXPECT_EQ(again->index(), operation.index());
      EXPECT_EQ(KeyOf(*again), KeyOf(operation));
      if (const auto* put = std::get_if<PutOp>(&operation)) {
        EXPECT_EQ(std::get<PutOp>(*again).value, put->value);
      }
      if (const auto* scan = std::get_if<ScanOp>(&operation)) {
        EXPECT_EQ(std::get<ScanOp>(*again).after, scan->after);
        EXPECT_EQ(std::get<ScanOp>(*again).limit, scan->limit);
      }
      if (const auto* check = std::get_if<CheckOp>(&operation)) {
        EXPECT_EQ(std::get<CheckOp>(*again).kind, check->kind);
        EXPECT_EQ(std::get<CheckOp>(*again).value, check->value);
        EXPECT_EQ(std::get<CheckOp>(*again).version, check->version);
      }
    }
  }
}

}  // namespace
}  // namespace assent::cli
