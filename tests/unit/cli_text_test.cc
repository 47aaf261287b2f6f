// Text for people and shells: UTF-8, escapes, cells of tables, tokens, exit codes.
#include <assent/token_text.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "cli/output.h"
#include "cli/parse_operation.h"
#include "cli/program.h"
#include "cli/text.h"
#include "common/edit_distance.h"

namespace assent::cli {
namespace {

TEST(Text, Utf8IsWhatUnicodeSaysItIs) {
  for (const char* good : {"", "a", "grüße", "\xed\x9f\xbf", "\xee\x80\x80", "\xf0\x90\x80\x80",
                           "\xf4\x8f\xbf\xbf", "\x01\x7f", "\xc2\x80"}) {
    EXPECT_TRUE(IsUtf8(good)) << good;
  }
  for (const char* bad :
       {"\x80", "\xff", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80",
        "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xc3", "\xe2\x82", "\xf0\x9f\x98", "a\xc3z"}) {
    EXPECT_FALSE(IsUtf8(bad)) << Printable(bad);
  }
}

TEST(Text, PrintableEscapesItsEscape) {
  EXPECT_EQ(Printable(std::string("\0", 1)), "\\x00");
  EXPECT_EQ(Printable("\\x00"), "\\\\x00");
  EXPECT_EQ(Printable("a\n\r\t\x1b"), "a\\n\\r\\t\\x1b");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\xc2\\x9b");  // CSI, in one character
  EXPECT_EQ(Printable("grüße\xff"), "grüße\\xff");
}

TEST(Text, CellsTellAllTextsApart) {
  EXPECT_EQ(Cell("say \"hi\""), "say \"hi\"");
  EXPECT_EQ(Cell(""), "\"\"");
  EXPECT_EQ(Cell("\"\""), "\"\\\"\\\"\"");
  EXPECT_EQ(Cell(" a"), "\" a\"");
  EXPECT_EQ(Cell("a  b"), "\"a  b\"");
  EXPECT_EQ(Cell("x = y"), "\"x = y\"");
  // Two lines of a table, or of `key = value`, are equal only if the texts are.
  const char alphabet[] = {'a', ' ', '"', '\\', '=', 'n', '\n'};
  std::map<std::string, std::string> shown;
  for (int number = 0; number < 7 * 7 * 7 * 7 * 7; ++number) {
    std::string text;
    for (int rest = number; rest > 0; rest /= 7) text += alphabet[rest % 7];
    const std::string cell = Cell(text);
    const auto [at, fresh] = shown.emplace(cell, text);
    EXPECT_TRUE(fresh || at->second == text) << cell;
    const std::string bare = cell.front() == '"' ? "" : cell;
    EXPECT_EQ(bare.find("  "), std::string::npos);
    EXPECT_EQ(bare.find(" = "), std::string::npos);
  }
}

TEST(Text, DoubleQuotesAreWhatOperationsReads) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const auto words = SplitWords(InDoubleQuotes(all));
  ASSERT_TRUE(words.ok()) << words.status().message();
  EXPECT_EQ(*words, std::vector<std::string>{all});
}

TEST(Text, ShellWord) {
  EXPECT_EQ(ShellWord("put k \"a\""), "'put k \"a\"'");
  EXPECT_EQ(ShellWord("it's"), "'it'\\''s'");
  ProgramIs("build/assent");
  EXPECT_EQ(ProgramWord(), "build/assent");
  ProgramIs("/my programs/assent");
  EXPECT_EQ(ProgramWord(), "'/my programs/assent'");
}

TEST(Text, HarmlessKeepsSentences) {
  EXPECT_EQ(Harmless("check \"\\x00\": no\nnext \x1b[2J\xff"), "check \"\\x00\": no\nnext \\x1b[2J\\xff");
}

TEST(ExitCodes, UnknownIsWorst) {
  const ExitCode order[] = {kOk, kAbsent, kAborted, kUsage, kError, kUnavailable, kMixed, kUnknown};
  for (size_t i = 0; i < std::size(order); ++i) {
    for (size_t j = 0; j < std::size(order); ++j) {
      EXPECT_EQ(Worse(order[i], order[j]), order[std::max(i, j)]);
    }
  }
}

TEST(TokenText, IsReadBackAsTheSame) {
  const Token token{{GroupKind::kCoordinator, 7}, ClientId{0x100000001}, 17, 0x64c0f3a1b2d4e};
  EXPECT_EQ(TokenText(token), "c7/100000001/17/64c0f3a1b2d4e");
  EXPECT_EQ(ParseTokenText(TokenText(token)), token);
  const Token large{{GroupKind::kCoordinator, 65535}, ClientId{~uint64_t{0}}, ~uint64_t{0}, ~uint64_t{0}};
  EXPECT_EQ(ParseTokenText(TokenText(large)), large);
  for (const char* bad :
       {"", "c7", "c7/1/17", "s7/1/17/5", "c7/1/0/5", "c7/1/17/5/", "c7/1/17/5 ", "c7/01/17/5", "c7/1/-1/5",
        "c7/1/17/A", "c7/1/17/", "c7/1/99999999999999999999/5"}) {
    EXPECT_EQ(ParseTokenText(bad), std::nullopt) << bad;
  }
}

TEST(EditDistance, CountsLetters) {
  EXPECT_EQ(EditDistance("ge", "get"), 1u);
  EXPECT_EQ(EditDistance("", "get"), 3u);
  EXPECT_EQ(EditDistance("sacn", "scan"), 2u);
}

}  // namespace
}  // namespace assent::cli
