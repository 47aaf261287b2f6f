#pragma once

#include <string>

#include "common/view.h"

namespace assent {

// For people: `epoch 4, primary n1, backups n2 n3`.
std::string Brief(const View& view);

}  // namespace assent
