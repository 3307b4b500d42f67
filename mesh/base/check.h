#pragma once
// MESH_CHECK(condition): an invariant of our own code. When it does not hold the program is wrong,
// and stops there, in every build type. (Prefixed, because the test framework owns CHECK.)

#include <cstdio>
#include <cstdlib>
#include <source_location>

namespace mesh::internal {

[[noreturn]] inline void check_failed(const char* condition, std::source_location where) {
  std::fprintf(stderr, "%s:%u: check failed: %s\n", where.file_name(), where.line(), condition);
  std::abort();
}

}  // namespace mesh::internal

#define MESH_CHECK(condition) \
  ((condition) ? void()       \
               : ::mesh::internal::check_failed(#condition, std::source_location::current()))
