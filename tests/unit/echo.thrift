// A service of the transport's own tests: it knows nothing of Assent's messages.
namespace cpp assent.test

struct Node {
  1: optional list<Node> children
}

struct Nothing {
}

service Echo {
  binary echo(1: binary bytes)
  i32 add(1: i32 a, 2: i32 b)
  // Answers when the test lets it.
  i32 held(1: i32 a)
  i32 fail(1: i32 how)
  binary make(1: i32 bytes)
  i32 depth(1: Node tree)
  i32 count(1: list<Nothing> nothings)
  // A batch of numbers; answers the last.
  i64 deliver(1: list<i64> numbers, 2: binary padding)
}
