#pragma once

#include <string>

namespace assent::cli {

// The program as it was called, as one word for a shell: for lines that people paste.
const std::string& ProgramWord();
void ProgramIs(const std::string& argv0);

}  // namespace assent::cli
