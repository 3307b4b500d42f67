#pragma once
// The agent's log: one line an event, to stderr.

#include <string>
#include <string_view>

#include "mesh/base/result.h"

namespace mesh::ebpf {

void log_info(std::string_view line);
void log_warning(std::string_view line);
void log_error(std::string_view line);

// An Error in words: the step, the kernel's reason, and what can be done about it.
std::string explain(const Error& error);

}  // namespace mesh::ebpf
