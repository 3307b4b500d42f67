#include "cli/template/lexer.h"

#include <algorithm>
#include <cctype>

namespace mesh::cli::tmpl {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

bool is_space(char c) { return kSpaces.find(c) != std::string_view::npos; }
bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

void trim_end(std::string& text) {
  while (!text.empty() && is_space(text.back())) text.pop_back();
}

// Where the action that begins at `at` (behind its braces) ends: at "}}" outside of quotes.
std::size_t end_of_action(std::string_view text, std::size_t at) {
  char quote = 0;
  for (; at + 1 < text.size(); ++at) {
    const char c = text[at];
    if (quote != 0) {
      if (c == '\\' && quote == '"') {
        ++at;
      } else if (c == quote) {
        quote = 0;
      }
    } else if (c == '"' || c == '`') {
      quote = c;
    } else if (c == '}' && text[at + 1] == '}') {
      return at;
    }
  }
  return std::string_view::npos;
}

// A string in double quotes, from behind its first quote; `at` is left behind its last.
Outcome<std::string> quoted(std::string_view text, std::size_t& at) {
  std::string result;
  for (; at < text.size(); ++at) {
    if (text[at] == '"') {
      ++at;
      return result;
    }
    if (text[at] != '\\') {
      result += text[at];
      continue;
    }
    if (++at == text.size()) break;
    switch (text[at]) {
      case 'n':
        result += '\n';
        break;
      case 't':
        result += '\t';
        break;
      case '"':
      case '\\':
        result += text[at];
        break;
      default:
        return problem("an escape that is not known: \\" + std::string(1, text[at]));
    }
  }
  return problem("a string without an end");
}

}  // namespace

Outcome<std::vector<Piece>> cut(std::string_view text) {
  std::vector<Piece> pieces;
  std::size_t at = 0;
  bool trim_next = false;
  const auto line_at = [&](std::size_t place) {
    return 1 + static_cast<unsigned>(
                   std::count(text.begin(), text.begin() + static_cast<long>(place), '\n'));
  };
  for (;;) {
    const std::size_t open = std::min(text.find("{{", at), text.size());
    std::string plain(text.substr(at, open - at));
    if (trim_next) plain.erase(0, std::min(plain.find_first_not_of(kSpaces), plain.size()));
    std::size_t begin = open + 2;
    if (begin + 1 < text.size() && text[begin] == '-' && is_space(text[begin + 1])) {
      trim_end(plain);
      ++begin;
    }
    if (!plain.empty()) pieces.push_back({.line = line_at(at), .text = std::move(plain)});
    if (open == text.size()) return pieces;
    const std::size_t first = std::min(text.find_first_not_of(kSpaces, begin), text.size());
    const bool comment = text.substr(first, 2) == "/*";
    std::size_t close = first;
    if (comment) close = text.find("*/", first);
    close = close == std::string_view::npos ? close : end_of_action(text, close);
    if (close == std::string_view::npos) {
      return problem(std::to_string(line_at(open)) + ": an action without an end");
    }
    std::string_view inside = text.substr(begin, close - begin);
    trim_next = inside.size() > 1 && inside.back() == '-' && is_space(inside[inside.size() - 2]);
    if (trim_next) inside.remove_suffix(1);
    if (!comment) {
      pieces.push_back({.action = true, .line = line_at(open), .text = std::string(inside)});
    }
    at = close + 2;
  }
}

Outcome<std::vector<Word>> words_of(std::string_view action) {
  std::vector<Word> words;
  std::size_t at = 0;
  bool spaced = true;
  const auto name_from = [&](std::size_t from) {
    std::size_t end = from;
    while (end < action.size() && is_name(action[end])) ++end;
    at = end;
    return std::string(action.substr(from, end - from));
  };
  while (at < action.size()) {
    const char c = action[at];
    if (is_space(c)) {
      spaced = true;
      ++at;
      continue;
    }
    Word word{.type = Word::Type::kSymbol, .text = {}, .spaced = spaced};
    spaced = false;
    if (c == '.') {
      word.type = Word::Type::kField;
      word.text = name_from(at + 1);
    } else if (c == '$') {
      word.type = Word::Type::kVariable;
      word.text = "$" + name_from(at + 1);
    } else if (c == '"') {
      word.type = Word::Type::kText;
      TRY(word.text, quoted(action, ++at));
    } else if (c == '`') {
      const std::size_t end = action.find('`', at + 1);
      if (end == std::string_view::npos) return problem("a string without an end");
      word.type = Word::Type::kText;
      word.text = action.substr(at + 1, end - at - 1);
      at = end + 1;
    } else if (std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '-') {
      word.type = Word::Type::kNumber;
      const std::string digits = name_from(at + 1);
      word.text = c + digits;
    } else if (is_name(c)) {
      word.type = Word::Type::kName;
      word.text = name_from(at);
    } else if (action.substr(at, 2) == ":=") {
      word.text = ":=";
      at += 2;
    } else if (std::string_view("|(),=").find(c) != std::string_view::npos) {
      word.text = c;
      ++at;
    } else {
      return problem(std::string("a character that is not known: ") + c);
    }
    words.push_back(std::move(word));
  }
  return words;
}

}  // namespace mesh::cli::tmpl
