#include "cli/outcome.h"

#include <cerrno>
#include <cstring>

namespace mesh::cli {

std::unexpected<std::string> problem_with_errno(const std::string& during) {
  return problem(during + ": " + std::strerror(errno));
}

}  // namespace mesh::cli
