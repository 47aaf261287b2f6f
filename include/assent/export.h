#pragma once

// What the shared library exports, and what it does not export of a class that it does.
#define ASSENT_API __attribute__((visibility("default")))
#define ASSENT_HIDDEN __attribute__((visibility("hidden")))
