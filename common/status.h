#pragma once

#include <assent/status.h>

#include "common/check.h"

// Returns from the enclosing function with the Status of `expression` unless it is ok.
#define ASSENT_RETURN_IF_ERROR(expression)                                                        \
  do {                                                                                            \
    if (::assent::Status assent_status = (expression); !assent_status.ok()) return assent_status; \
  } while (false)
