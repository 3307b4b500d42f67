#pragma once
// Outcome<T>: a T, or a sentence for the person at the terminal. The command line's failures name
// files, programs and addresses, which the fixed reasons of mesh::Error cannot; nothing here runs
// at line rate. TRY and TRY_DO of mesh/base work on it.

#include <expected>
#include <string>
#include <utility>

#include "mesh/base/result.h"

namespace mesh::cli {

template <class T>
using Outcome = std::expected<T, std::string>;

// return problem("no lab named " + name);
inline std::unexpected<std::string> problem(std::string sentence) {
  return std::unexpected(std::move(sentence));
}

// return problem_with_errno("open " + path): appends what errno says.
std::unexpected<std::string> problem_with_errno(const std::string& during);

}  // namespace mesh::cli
