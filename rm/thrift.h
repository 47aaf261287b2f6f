#pragma once

#include <memory>

#include "rm/resource_manager.h"

namespace assent::rm {

// A service that implements the Participant interface of assent.thrift.
std::unique_ptr<ResourceManager> MakeThrift(const Target& target);

}  // namespace assent::rm
