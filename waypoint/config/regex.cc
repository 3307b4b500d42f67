#include "waypoint/config/regex.h"

#include <cstdint>
#include <utility>

#include <re2/re2.h>

namespace mesh::waypoint::config {

namespace {

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

re2::RE2::Options options() {
  re2::RE2::Options options;
  options.set_log_errors(false);
  // Latin-1 reads bytes: a path or a header need not be UTF-8, and what is not must not match more
  // than its bytes say. "." then stands for one byte, as an operator who writes ".+" expects.
  options.set_encoding(re2::RE2::Options::EncodingLatin1);
  // "." is any byte, a newline too: a claim that holds one is not an absent claim.
  options.set_dot_nl(true);
  options.set_max_mem(std::int64_t{4} << 20);
  return options;
}

}  // namespace

struct Regex::Compiled {
  explicit Compiled(std::string_view pattern) : expression(piece(pattern), options()) {}
  re2::RE2 expression;
};

Regex::Regex(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
Regex::~Regex() = default;

Result<std::shared_ptr<const Regex>> Regex::compile(std::string_view pattern) {
  if (pattern.size() > kMaxRegexBytes) return failed(Reason::kTooLarge, "regular expression");
  auto compiled = std::make_unique<Compiled>(pattern);
  if (!compiled->expression.ok()) return failed(Reason::kMalformed, "regular expression");
  if (compiled->expression.ProgramSize() > static_cast<int>(kMaxRegexProgram)) {
    return failed(Reason::kTooLarge, "regular expression");
  }
  return std::shared_ptr<const Regex>(new Regex(std::move(compiled)));
}

bool Regex::matches(std::string_view text) const {
  return re2::RE2::FullMatch(piece(text), compiled_->expression);
}

std::string Regex::replace_all(std::string_view text, std::string_view substitution) const {
  std::string replaced(text);
  re2::RE2::GlobalReplace(&replaced, compiled_->expression, piece(substitution));
  return replaced;
}

bool Regex::accepts_substitution(std::string_view substitution) const {
  std::string error;
  return substitution.size() <= kMaxRegexRewrite &&
         compiled_->expression.CheckRewriteString(piece(substitution), &error);
}

const std::string& Regex::pattern() const { return compiled_->expression.pattern(); }

}  // namespace mesh::waypoint::config
