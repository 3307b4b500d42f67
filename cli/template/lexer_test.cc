#include "cli/template/lexer.h"

#include <catch2/catch_test_macros.hpp>

using namespace mesh::cli::tmpl;

namespace {

// Text as it is, actions in brackets.
std::string cut_up(std::string_view text) {
  const auto pieces = cut(text);
  if (!pieces) return "error " + pieces.error();
  std::string result;
  for (const Piece& one : *pieces) result += one.action ? "[" + one.text + "]" : one.text;
  return result;
}

std::string words(std::string_view action) {
  const auto list = words_of(action);
  if (!list) return "error " + list.error();
  std::string result;
  for (const Word& one : *list) {
    result += (one.spaced && !result.empty() ? " " : "") +
              std::to_string(static_cast<int>(one.type)) + one.text;
  }
  return result;
}

}  // namespace

TEST_CASE("A template is cut into text and actions") {
  CHECK(cut_up("a{{ .b }}c") == "a[ .b ]c");
  CHECK(cut_up("a \n{{- .b -}} \n c") == "a[ .b ]c");
  CHECK(cut_up("a {{/* {{ .b }} */}} c") == "a  c");
  CHECK(cut_up("a {{- /* b */ -}} c") == "ac");
  CHECK(cut_up("{{ \"}}\" }}") == "[ \"}}\" ]");
  CHECK(cut_up("{{-1}}") == "[-1]");
  CHECK(cut_up("") == "");
  CHECK(cut_up("a\nb{{ c") == "error 2: an action without an end");
  CHECK(cut_up("{{/* a") == "error 1: an action without an end");
}

TEST_CASE("An action is cut into words") {
  CHECK(words(".a.b $x.c | f \"t\\\"u\" `r` (1)") == "1a1b 2$x1c 5| 0f 3t\"u 3r 5(415)");
  CHECK(words("$k, $v := .") == "2$k5, 2$v 5:= 1");
  CHECK(words("-5") == "4-5");
  CHECK(words("\"a") == "error a string without an end");
  CHECK(words("\"\\x\"") == "error an escape that is not known: \\x");
  CHECK(words("a ^ b") == "error a character that is not known: ^");
}
