#pragma once
// Helm templates as trees: the part of Go's text/template that our charts are written in. What is
// not known here is an error, never text that is passed on. Pure.
//
// Known: text, comments, {{- and -}}, variables, if/else if/else, with, range (over one or two
// variables), define, and pipelines of function calls. Limits: 64 levels.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli::tmpl {

struct Pipeline;

// A word of a command: a literal, .a.b, $x.a, a function's name, or (PIPELINE).a
struct Operand {
  enum class Type { kText, kNumber, kTrue, kFalse, kNull, kDot, kVariable, kFunction, kGroup };
  Type type = Type::kNull;
  std::string text = {};  // of a literal; a variable's name with its $; a function's name
  std::vector<std::string> fields = {};
  std::shared_ptr<const Pipeline> group = {};
};

struct Pipeline {
  std::vector<std::string> variables = {};  // $x := …, $k, $v := …
  bool declares = false;                    // := rather than =
  std::vector<std::vector<Operand>> commands = {};
};

struct Node {
  enum class Type { kText, kOutput, kIf, kWith, kRange, kDefine };
  Type type = Type::kText;
  unsigned line = 0;
  std::string text = {};  // the text; a definition's name
  Pipeline pipeline = {};
  std::vector<Node> body = {};
  std::vector<Node> otherwise = {};
};

// Errors: "NAME:LINE: what is wrong".
Outcome<std::vector<Node>> parse_template(const std::string& name, std::string_view text);

}  // namespace mesh::cli::tmpl
