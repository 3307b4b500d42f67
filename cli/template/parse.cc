#include "cli/template/parse.h"

#include "cli/template/lexer.h"

namespace mesh::cli::tmpl {
namespace {

constexpr unsigned kDepthMax = 64;

class Parser {
 public:
  Parser(const std::string& name, std::vector<Piece> pieces)
      : name_(name), pieces_(std::move(pieces)) {}

  Outcome<std::vector<Node>> whole() {
    TRY(std::vector<Node> nodes, block(0));
    if (at_ < pieces_.size()) return wrong("\"" + keyword() + "\" without a beginning");
    return nodes;
  }

 private:
  std::unexpected<std::string> wrong(const std::string& what) const {
    const unsigned line = at_ < pieces_.size() ? pieces_[at_].line
                          : pieces_.empty()    ? 1
                                               : pieces_.back().line;
    return problem(name_ + ":" + std::to_string(line) + ": " + what);
  }

  // The first name of the action that is next; "" when it is text, or begins with none.
  std::string keyword() const {
    if (at_ == pieces_.size() || !pieces_[at_].action) return "";
    const auto words = words_of(pieces_[at_].text);
    const bool named = words && !words->empty() && words->front().type == Word::Type::kName;
    return named ? words->front().text : "";
  }

  // Up to an end or else, which is left.
  Outcome<std::vector<Node>> block(unsigned depth) {
    if (depth > kDepthMax) return wrong("nested too deeply");
    std::vector<Node> nodes;
    for (; at_ < pieces_.size(); ++at_) {
      Node node{.line = pieces_[at_].line};
      if (!pieces_[at_].action) {
        node.text = pieces_[at_].text;
        nodes.push_back(std::move(node));
        continue;
      }
      const std::string word = keyword();
      if (word == "end" || word == "else") return nodes;
      if (word == "if" || word == "with" || word == "range" || word == "define") {
        TRY_DO(control(word, depth, node));
      } else if (word == "template" || word == "block" || word == "break" || word == "continue") {
        return wrong("\"" + word + "\" is not known here");
      } else {
        node.type = Node::Type::kOutput;
        TRY(node.pipeline, pipeline(0));
      }
      nodes.push_back(std::move(node));
    }
    return nodes;
  }

  // if, with, range, define: at its action before, at its end afterwards.
  Outcome<Done> control(const std::string& word, unsigned depth, Node& node) {
    node.type = word == "if"      ? Node::Type::kIf
                : word == "with"  ? Node::Type::kWith
                : word == "range" ? Node::Type::kRange
                                  : Node::Type::kDefine;
    if (word == "define") {
      const auto words = words_of(pieces_[at_].text);
      if (words->size() != 2 || (*words)[1].type != Word::Type::kText)
        return wrong("define \"NAME\"");
      node.text = (*words)[1].text;
    } else {
      TRY(node.pipeline, pipeline(1));
    }
    ++at_;
    TRY(node.body, block(depth + 1));
    if (keyword() == "else") TRY_DO(alternative(depth, node));
    if (keyword() != "end")
      return wrong("\"" + word + "\" of line " + std::to_string(node.line) + " without an end");
    return Done{};
  }

  Outcome<Done> alternative(unsigned depth, Node& node) {
    if (node.type == Node::Type::kDefine) return wrong("\"else\" without an if");
    TRY(const std::vector<Word> words, words_of(pieces_[at_].text));
    if (words.size() == 1) {
      ++at_;
      TRY(node.otherwise, block(depth + 1));
      return Done{};
    }
    if (words[1].text != "if" || depth + 1 > kDepthMax) return wrong("\"else\" of another kind");
    // else if: an if within, which has the same end.
    Node inner{.type = Node::Type::kIf, .line = pieces_[at_].line};
    TRY(inner.pipeline, pipeline(2));
    ++at_;
    TRY(inner.body, block(depth + 1));
    if (keyword() == "else") TRY_DO(alternative(depth + 1, inner));
    node.otherwise.push_back(std::move(inner));
    return Done{};
  }

  // Of the action that is next, without its first `skipped` words.
  Outcome<Pipeline> pipeline(std::size_t skipped) {
    auto words = words_of(pieces_[at_].text);
    if (!words) return wrong(words.error());
    words_ = std::move(*words);
    word_ = skipped;
    Pipeline made;
    read_variables(made);
    TRY_DO(commands(made, 0));
    if (word_ < words_.size()) return wrong("\"" + words_[word_].text + "\" is not expected here");
    return made;
  }

  bool is_symbol(std::string_view text, std::size_t ahead = 0) const {
    return word_ + ahead < words_.size() && words_[word_ + ahead].type == Word::Type::kSymbol &&
           words_[word_ + ahead].text == text;
  }

  // "$a :=", "$a, $b :=", "$a =": nothing is taken when it is none of these.
  void read_variables(Pipeline& made) {
    const auto is_variable = [&](std::size_t ahead) {
      return word_ + ahead < words_.size() && words_[word_ + ahead].type == Word::Type::kVariable;
    };
    if (!is_variable(0)) return;
    const std::size_t count = is_symbol(",", 1) && is_variable(2) ? 2 : 1;
    const std::size_t sign = count == 2 ? 3 : 1;
    if (!is_symbol(":=", sign) && !is_symbol("=", sign)) return;
    made.declares = is_symbol(":=", sign);
    made.variables.push_back(words_[word_].text);
    if (count == 2) made.variables.push_back(words_[word_ + 2].text);
    word_ += sign + 1;
  }

  Outcome<Done> commands(Pipeline& made, unsigned depth) {
    if (depth > kDepthMax) return wrong("nested too deeply");
    do {
      std::vector<Operand> command;
      while (word_ < words_.size() && !is_symbol("|") && !is_symbol(")")) {
        TRY(Operand one, operand(depth));
        command.push_back(std::move(one));
      }
      if (command.empty()) return wrong("a command is missing");
      made.commands.push_back(std::move(command));
    } while (is_symbol("|") && ++word_ > 0);
    return Done{};
  }

  Outcome<Operand> operand(unsigned depth) {
    const Word& word = words_[word_++];
    Operand made;
    switch (word.type) {
      case Word::Type::kText:
        made.type = Operand::Type::kText;
        break;
      case Word::Type::kNumber:
        made.type = Operand::Type::kNumber;
        break;
      case Word::Type::kVariable:
        made.type = Operand::Type::kVariable;
        break;
      case Word::Type::kField:
        made.type = Operand::Type::kDot;
        if (!word.text.empty()) made.fields.push_back(word.text);
        break;
      case Word::Type::kName:
        made.type = word.text == "true"    ? Operand::Type::kTrue
                    : word.text == "false" ? Operand::Type::kFalse
                    : word.text == "nil"   ? Operand::Type::kNull
                                           : Operand::Type::kFunction;
        break;
      case Word::Type::kSymbol: {
        if (word.text != "(") return wrong("\"" + word.text + "\" is not expected here");
        auto group = std::make_shared<Pipeline>();
        TRY_DO(commands(*group, depth + 1));
        if (!is_symbol(")")) return wrong("a parenthesis without an end");
        ++word_;
        made.type = Operand::Type::kGroup;
        made.group = std::move(group);
      }
    }
    if (word.type != Word::Type::kField && word.type != Word::Type::kSymbol) made.text = word.text;
    while (word_ < words_.size() && words_[word_].type == Word::Type::kField &&
           !words_[word_].spaced) {
      if (words_[word_].text.empty()) return wrong("a field without a name");
      made.fields.push_back(words_[word_++].text);
    }
    return made;
  }

  const std::string& name_;
  std::vector<Piece> pieces_;
  std::size_t at_ = 0;
  std::vector<Word> words_;
  std::size_t word_ = 0;
};

}  // namespace

Outcome<std::vector<Node>> parse_template(const std::string& name, std::string_view text) {
  auto pieces = cut(text);
  if (!pieces) return problem(name + ":" + pieces.error());
  return Parser(name, std::move(*pieces)).whole();
}

}  // namespace mesh::cli::tmpl
