#include "cli/template/render.h"

#include <nlohmann/json.hpp>

#include "cli/template/functions.h"
#include "cli/template/parse.h"

namespace mesh::cli::tmpl {

using Json = nlohmann::json;

namespace {

constexpr std::size_t kTextBytesMax = 8u << 20;
constexpr unsigned kIncludesMax = 100;

using Definitions = std::map<std::string, std::vector<Node>>;
using Files = std::map<std::string, std::string>;
using Text = Outcome<std::string>;

// One template or definition at work: its variables, and what "." is.
class Frame {
 public:
  Frame(const Definitions& definitions, const Files& files, Json top, unsigned depth)
      : definitions_(definitions), files_(files), depth_(depth) {
    variables_.push_back({"$", top});
    dot_ = std::move(top);
  }

  Text run(const std::vector<Node>& nodes) {
    std::string out;
    const std::size_t scope = variables_.size();
    for (const Node& node : nodes) {
      auto text = one(node);
      if (!text) {
        if (failed_line_ == 0) failed_line_ = node.line;
        return text;
      }
      out += *text;
      if (out.size() > kTextBytesMax) return problem("too much text");
    }
    variables_.resize(scope);
    return out;
  }

  // After an error: where it is.
  unsigned failed_line() const { return failed_line_; }

 private:
  Text one(const Node& node) {
    switch (node.type) {
      case Node::Type::kText:
        return node.text;
      case Node::Type::kDefine:
        return "";
      case Node::Type::kOutput: {
        TRY(const Json value, evaluate(node.pipeline));
        return node.pipeline.variables.empty() ? printed(value) : "";
      }
      case Node::Type::kRange:
        return range(node);
      case Node::Type::kIf:
      case Node::Type::kWith:
        break;
    }
    const std::size_t scope = variables_.size();
    TRY(Json value, evaluate(node.pipeline));
    const bool taken = is_true(value);
    const Json outer = dot_;
    if (taken && node.type == Node::Type::kWith) dot_ = std::move(value);
    Text text = run(taken ? node.body : node.otherwise);
    dot_ = outer;
    variables_.resize(scope);
    return text;
  }

  Text range(const Node& node) {
    Pipeline pipeline = node.pipeline;
    pipeline.variables.clear();
    TRY(const Json all, evaluate(pipeline));
    if (!all.is_null() && !all.is_structured()) return problem("range over what is no list or map");
    if (all.empty()) return run(node.otherwise);
    const Json outer = dot_;
    std::string out;
    std::int64_t number = 0;
    for (const auto& [key, value] : all.items()) {
      const std::size_t scope = variables_.size();
      const std::vector<std::string>& names = node.pipeline.variables;
      if (names.size() == 2) {
        variables_.push_back({names[0], all.is_array() ? Json(number) : Json(key)});
      }
      if (!names.empty()) variables_.push_back({names.back(), value});
      ++number;
      dot_ = value;
      TRY(const std::string text, run(node.body));
      out += text;
      variables_.resize(scope);
      if (out.size() > kTextBytesMax) return problem("too much text");
    }
    dot_ = outer;
    return out;
  }

  Outcome<Json> evaluate(const Pipeline& pipeline) {
    Json value;
    for (std::size_t i = 0; i < pipeline.commands.size(); ++i) {
      const Json* const last = i == 0 ? nullptr : &value;
      TRY(value, command(pipeline.commands[i], last));
    }
    for (const std::string& name : pipeline.variables) {
      if (pipeline.declares) {
        variables_.push_back({name, value});
        continue;
      }
      Json* const known = variable(name);
      if (known == nullptr) return problem("variable " + name + " is not declared");
      *known = value;
    }
    return value;
  }

  // `last`: the value of the command before, as the last argument.
  Outcome<Json> command(const std::vector<Operand>& words, const Json* last) {
    const Operand& first = words.front();
    const bool reads_file = first.fields.size() >= 2 &&
                            first.fields[first.fields.size() - 2] == "Files" &&
                            first.fields.back() == "Get";
    if (first.type != Operand::Type::kFunction && !reads_file) {
      if (words.size() > 1 || last != nullptr) return problem("arguments for what is no function");
      return operand(first);
    }
    Arguments arguments;
    for (std::size_t i = 1; i < words.size(); ++i) {
      TRY(Json value, operand(words[i]));
      arguments.push_back(std::move(value));
    }
    if (last != nullptr) arguments.push_back(*last);
    if (reads_file) return file(arguments);
    return first.text == "include" ? include(arguments) : call(first.text, arguments);
  }

  Outcome<Json> operand(const Operand& word) {
    Json value;
    switch (word.type) {
      case Operand::Type::kText:
        return Json(word.text);
      case Operand::Type::kNumber:
        return Json(std::strtoll(word.text.c_str(), nullptr, 10));
      case Operand::Type::kTrue:
        return Json(true);
      case Operand::Type::kFalse:
        return Json(false);
      case Operand::Type::kNull:
        return Json();
      case Operand::Type::kFunction:
        return command({word}, nullptr);
      case Operand::Type::kDot:
        value = dot_;
        break;
      case Operand::Type::kVariable: {
        const Json* const known = variable(word.text);
        if (known == nullptr) return problem("variable " + word.text + " is not declared");
        value = *known;
        break;
      }
      case Operand::Type::kGroup: {
        TRY(value, evaluate(*word.group));
        break;
      }
    }
    for (const std::string& field : word.fields) {
      if (value.is_null()) return problem("." + field + " of what is not there");
      if (!value.is_object()) return problem("." + field + " of what is no map");
      const auto found = value.find(field);
      Json member = found == value.end() ? Json() : *found;
      value = std::move(member);
    }
    return value;
  }

  Json* variable(const std::string& name) {
    for (auto one = variables_.rbegin(); one != variables_.rend(); ++one) {
      if (one->first == name) return &one->second;
    }
    return nullptr;
  }

  Outcome<Json> include(const Arguments& arguments) {
    if (arguments.size() != 2) return problem("include NAME DATA");
    const auto found = definitions_.find(printed(arguments[0]));
    if (found == definitions_.end())
      return problem("there is no \"" + printed(arguments[0]) + "\"");
    if (depth_ == kIncludesMax) return problem("too many includes within each other");
    Frame inner(definitions_, files_, arguments[1], depth_ + 1);
    Text text = inner.run(found->second);
    if (!text) {
      return problem("in \"" + found->first + "\", line " + std::to_string(inner.failed_line()) +
                     ": " + text.error());
    }
    return Json(std::move(*text));
  }

  Outcome<Json> file(const Arguments& arguments) const {
    if (arguments.size() != 1) return problem("Files.Get NAME");
    const auto found = files_.find(printed(arguments[0]));
    if (found == files_.end()) return problem("there is no file " + printed(arguments[0]));
    return Json(found->second);
  }

  const Definitions& definitions_;
  const Files& files_;
  const unsigned depth_;
  Json dot_;
  std::vector<std::pair<std::string, Json>> variables_;
  unsigned failed_line_ = 0;
};

void define(std::vector<Node>& nodes, Definitions& definitions) {
  for (Node& node : nodes) {
    if (node.type == Node::Type::kDefine) definitions[node.text] = std::move(node.body);
  }
}

}  // namespace

Outcome<std::map<std::string, std::string>> render(
    const std::map<std::string, std::string>& templates, const Json& data, const Files& files) {
  Definitions definitions;
  std::map<std::string, std::vector<Node>> trees;
  for (const auto& [name, text] : templates) {
    TRY(std::vector<Node> nodes, parse_template(name, text));
    define(nodes, definitions);
    trees[name] = std::move(nodes);
  }
  std::map<std::string, std::string> rendered;
  for (const auto& [name, nodes] : trees) {
    const std::size_t slash = name.rfind('/');
    if (name[slash == std::string::npos ? 0 : slash + 1] == '_') continue;
    Frame frame(definitions, files, data, 0);
    auto text = frame.run(nodes);
    if (!text) {
      return problem(name + ":" + std::to_string(frame.failed_line()) + ": " + text.error());
    }
    rendered[name] = std::move(*text);
  }
  return rendered;
}

}  // namespace mesh::cli::tmpl
