#pragma once

#include <memory>

#include "common/status.h"
#include "rm/resource_manager.h"

namespace assent::rm {

// A database of a PostgreSQL server (15 is tested), over libpq. `dsn` is a connection string of libpq's, and
// so may name a service, a password file or certificates of its own. Branches are those that applications
// prepare with PREPARE TRANSACTION. Another database of the same server is another resource manager: branches
// end only in their own.
//
// Evidence that a vote gives: "pg <system identifier> <timeline> <xid8>". On that timeline pg_xact_status()
// says what became of the branch; on a later one the same number may be another transaction's.
std::unique_ptr<ResourceManager> MakePostgresql(const Target& target);
Status CheckPostgresql(const Target& target);

}  // namespace assent::rm
