#pragma once
// Regex: a compiled regular expression of the configuration (RE2: linear in the text, whatever the
// text), and the limits that keep a configuration from costing too much.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "mesh/base/result.h"

namespace mesh::waypoint::config {

// Limits: kMaxRegexBytes of pattern; kMaxRegexProgram instructions of RE2 (what Istio allows
// Envoy).
inline constexpr std::size_t kMaxRegexBytes = 4'096;
inline constexpr std::size_t kMaxRegexProgram = 32'768;
// Back references in a substitution: \0 to \9.
inline constexpr std::size_t kMaxRegexRewrite = 2'048;

class Regex {
 public:
  // Errors: kTooLarge (a limit), kMalformed (not an expression).
  static Result<std::shared_ptr<const Regex>> compile(std::string_view pattern);
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  // The whole text, not a part of it (Envoy's safe_regex).
  bool matches(std::string_view text) const;
  // Every part of `text` that matches becomes `substitution` (\1 is the first group).
  std::string replace_all(std::string_view text, std::string_view substitution) const;
  // Whether replace_all() can use it: its back references name groups that exist.
  bool accepts_substitution(std::string_view substitution) const;
  const std::string& pattern() const;

 private:
  struct Compiled;
  explicit Regex(std::unique_ptr<Compiled> compiled);
  std::unique_ptr<Compiled> compiled_;
};
using RegexPtr = std::shared_ptr<const Regex>;

}  // namespace mesh::waypoint::config
