#pragma once

#include <memory>

#include "common/status.h"
#include "rm/resource_manager.h"

namespace assent::rm {

// A MariaDB server (10.11 is tested), over libmariadb. `dsn` has words "key=value": host, port, unix_socket,
// user, defaults_file and group (an option file of MariaDB's own, which may hold the password and TLS
// settings). Branches are those that applications prepare with XA PREPARE. MariaDB compares neither formatID
// nor user: whoever may log in can end our branches.
//
// Holder that a vote gives: the id of the connection that prepared, which keeps the branch to itself while it
// lives.
std::unique_ptr<ResourceManager> MakeMariadb(const Target& target);
Status CheckMariadb(const Target& target);

}  // namespace assent::rm
