// Moves an amount between two accounts of an Assent cluster, in one transaction, and says how it ended.
//
//   transfer ADDRESSES FROM TO AMOUNT
//   transfer 127.0.0.1:7401,127.0.0.1:7402 accounts/alice accounts/bob 10
//
// Exit code: 0 committed, 1 no cluster or a wrong argument, 3 aborted (surely nothing was done), 4 outcome
// unknown.
#include <assent/client.h>
#include <assent/token_text.h>

#include <charconv>
#include <cstdint>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::vector<std::string> SplitAtCommas(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const size_t comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  int64_t amount = 0;
  const std::string_view digits = argc == 5 ? argv[4] : "";
  if (std::from_chars(digits.data(), digits.data() + digits.size(), amount).ec != std::errc() || amount < 1) {
    std::cerr << "usage: transfer ADDRESSES FROM TO AMOUNT\n";
    return 1;
  }
  auto client = assent::Client::Connect(SplitAtCommas(argv[1]));
  if (!client.ok()) {
    std::cerr << client.status().message() << "\n";
    return 1;
  }
  const assent::CommitResult moved =
      client->Execute({assent::op::Add(argv[2], -amount, /*floor=*/0), assent::op::Add(argv[3], amount)});
  switch (moved.outcome) {
    case assent::Outcome::kCommitted:
      std::cout << assent::Describe(moved) << "\n";
      if (moved.repeated) return 0;  // the first answer, with the results in it, was lost
      std::cout << argv[2] << " = " << moved.results[0].number << "\n"
                << argv[3] << " = " << moved.results[1].number << "\n";
      return 0;
    case assent::Outcome::kAborted:
      std::cerr << assent::Describe(moved) << "\n";
      return 3;
    case assent::Outcome::kUnknown:
      break;
  }
  // The same operations under the same token give the outcome of this time, or take effect once.
  std::cerr << assent::Describe(moved) << "; the token is " << assent::TokenText(moved.token) << "\n";
  return 4;
}
