#include "rm/mariadb.h"
#include "rm/postgresql.h"
#include "rm/resource_manager.h"
#include "rm/thrift.h"

namespace assent::rm {
namespace {

constexpr Kind kKinds[] = {
    {"thrift", MakeThrift, [](const Target&) { return Status(); }},
    {"postgresql", MakePostgresql, CheckPostgresql},
    {"mariadb", MakeMariadb, CheckMariadb},
};

}  // namespace

Result<const Kind*> FindKind(std::string_view name) {
  std::string known;
  for (const Kind& kind : kKinds) {
    if (kind.name == name) return &kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  return Status(StatusCode::kInvalid,
                "\"" + std::string(name) + "\" is no kind of resource manager; known: " + known);
}

}  // namespace assent::rm
