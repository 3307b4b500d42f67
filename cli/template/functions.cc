#include "cli/template/functions.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>
#include <map>

#include "cli/json.h"
#include "cli/template/yaml.h"

namespace mesh::cli::tmpl {

using Json = nlohmann::json;

namespace {

std::string indented(const std::string& text, std::int64_t width) {
  const std::string pad(static_cast<std::size_t>(std::clamp<std::int64_t>(width, 0, 100)), ' ');
  std::string result = pad;
  for (const char c : text) {
    result += c;
    if (c == '\n') result += pad;
  }
  return result;
}

std::string trimmed(std::string text) {
  constexpr const char* kSpaces = " \t\r\n";
  text.erase(text.find_last_not_of(kSpaces) + 1);
  text.erase(0, std::min(text.find_first_not_of(kSpaces), text.size()));
  return text;
}

// %s, %v, %d, %q and %%.
Outcome<Json> formatted(const Arguments& arguments) {
  const std::string format = printed(arguments[0]);
  std::string result;
  std::size_t next = 1;
  for (std::size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') {
      result += format[at];
      continue;
    }
    const char verb = ++at < format.size() ? format[at] : '\0';
    if (verb == '%') {
      result += '%';
    } else if (std::string_view("svdq").find(verb) == std::string_view::npos || verb == '\0') {
      return problem("printf: a verb that is not known");
    } else if (next == arguments.size()) {
      return problem("printf: an argument is missing");
    } else {
      const std::string text = printed(arguments[next++]);
      result += verb == 'q' ? to_text(Json(text)) : text;
    }
  }
  if (next != arguments.size()) return problem("printf: too many arguments");
  return result;
}

Outcome<Json> as_dict(const Arguments& arguments) {
  Json made = Json::object();
  if (arguments.size() % 2 != 0) return problem("dict: a value is missing");
  for (std::size_t i = 0; i < arguments.size(); i += 2) {
    made[printed(arguments[i])] = arguments[i + 1];
  }
  return made;
}

Outcome<Json> required(const Arguments& arguments) {
  if (arguments[1].is_null() || arguments[1] == "") return problem(printed(arguments[0]));
  return arguments[1];
}

Outcome<Json> from_yaml(const Arguments& arguments) {
  TRY(const std::vector<Json> documents, read_yaml(printed(arguments[0])));
  return documents.empty() ? Json::object() : documents.front();
}

std::int64_t whole(const Json& value) {
  if (value.is_number()) return value.get<std::int64_t>();
  return std::strtoll(printed(value).c_str(), nullptr, 10);
}

Outcome<Json> sum(const Arguments& arguments) {
  std::int64_t total = 0;
  for (const Json& one : arguments) {
    if (__builtin_add_overflow(total, whole(one), &total)) return problem("add: too large");
  }
  return total;
}

Outcome<Json> any_of(const Arguments& arguments) {
  for (const Json& one : arguments) {
    if (is_true(one)) return one;
  }
  return arguments.back();
}

Outcome<Json> all_of(const Arguments& arguments) {
  for (const Json& one : arguments) {
    if (!is_true(one)) return one;
  }
  return arguments.back();
}

struct Function {
  std::size_t least = 0;
  std::size_t most = 0;
  std::function<Outcome<Json>(const Arguments&)> body;
};

constexpr std::size_t kAny = 1000;

const std::map<std::string, Function>& functions() {
  static const std::map<std::string, Function> kFunctions = {
      {"add", {1, kAny, sum}},
      {"and", {1, kAny, all_of}},
      {"default", {2, 2, [](const Arguments& a) { return is_true(a[1]) ? a[1] : a[0]; }}},
      {"dict", {0, kAny, as_dict}},
      {"eq", {2, 2, [](const Arguments& a) { return Json(a[0] == a[1]); }}},
      {"fail", {1, 1, [](const Arguments& a) -> Outcome<Json> { return problem(printed(a[0])); }}},
      {"fromYaml", {1, 1, from_yaml}},
      {"indent", {2, 2, [](const Arguments& a) { return indented(printed(a[1]), whole(a[0])); }}},
      {"int", {1, 1, [](const Arguments& a) { return Json(whole(a[0])); }}},
      {"list", {0, kAny, [](const Arguments& a) { return Json(a); }}},
      {"ne", {2, 2, [](const Arguments& a) { return Json(a[0] != a[1]); }}},
      {"nindent",
       {2, 2, [](const Arguments& a) { return "\n" + indented(printed(a[1]), whole(a[0])); }}},
      {"not", {1, 1, [](const Arguments& a) { return Json(!is_true(a[0])); }}},
      {"or", {1, kAny, any_of}},
      {"printf", {1, kAny, formatted}},
      {"quote", {1, 1, [](const Arguments& a) { return to_text(Json(printed(a[0]))); }}},
      {"required", {2, 2, required}},
      {"toJson", {1, 1, [](const Arguments& a) { return to_text(a[0]); }}},
      {"toYaml", {1, 1, [](const Arguments& a) { return to_yaml(a[0]); }}},
      {"trim", {1, 1, [](const Arguments& a) { return trimmed(printed(a[0])); }}},
  };
  return kFunctions;
}

}  // namespace

Outcome<Json> call(const std::string& name, const Arguments& arguments) {
  const auto found = functions().find(name);
  if (found == functions().end()) return problem("function \"" + name + "\" is not known here");
  const Function& function = found->second;
  if (arguments.size() < function.least || arguments.size() > function.most) {
    return problem(name + ": " + std::to_string(arguments.size()) + " arguments");
  }
  return function.body(arguments);
}

bool is_true(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.is_null() && !value.empty();
}

std::string printed(const Json& value) { return text_of(value); }

}  // namespace mesh::cli::tmpl
