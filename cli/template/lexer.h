#pragma once
// A template cut into text and actions, and an action into words. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli::tmpl {

struct Piece {
  bool action = false;
  unsigned line = 0;
  std::string text = {};  // of an action: what stands between the braces
};

// White space that {{- and -}} take away is gone, comments too. Errors: an action without an end.
Outcome<std::vector<Piece>> cut(std::string_view text);

struct Word {
  enum class Type { kName, kField, kVariable, kText, kNumber, kSymbol };
  Type type = Type::kSymbol;
  std::string text = {};  // a field: without its dot, "" for the dot alone; a symbol: | ( ) , := =
  bool spaced = false;    // white space stands before it
};

Outcome<std::vector<Word>> words_of(std::string_view action);

}  // namespace mesh::cli::tmpl
