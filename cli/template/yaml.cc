#include "cli/template/yaml.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "cli/json.h"

namespace mesh::cli {

using Json = nlohmann::json;
using manifest::Value;

namespace {

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> all) {
  return std::ranges::find(all, text) != all.end();
}

Json plain_scalar(const std::string& text) {
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
  if (is_one_of(text, {"true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})) {
    return true;
  }
  if (is_one_of(text,
                {"false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF"})) {
    return false;
  }
  const char* const end = text.data() + text.size();
  const bool leading_zero = text.size() > 1 && text[0] == '0' &&
                            text.find_first_not_of("0123456789") == std::string::npos;
  if (leading_zero) return text;  // octal to some, text to others: nobody should write it
  std::int64_t whole = 0;
  if (const auto [at, error] = std::from_chars(text.data(), end, whole);
      error == std::errc() && at == end) {
    return whole;
  }
  double real = 0;
  const bool number = text.find_first_not_of("0123456789.eE+-") == std::string::npos;
  if (const auto [at, error] = std::from_chars(text.data(), end, real);
      number && error == std::errc() && at == end && std::isfinite(real)) {
    return real;
  }
  return text;
}

bool is_plain_safe(const std::string& text) {
  if (!plain_scalar(text).is_string()) return false;
  if (text.front() == ' ' || text.back() == ' ' || text.back() == ':') return false;
  if (std::string_view("-?:,[]{}#&*!|>'\"%@`=").find(text.front()) != std::string_view::npos) {
    return false;
  }
  // What YAML 1.1 reads as a number in other ways, or as a date.
  if (std::isdigit(static_cast<unsigned char>(text.front())) != 0 &&
      text.find_first_not_of("0123456789abcdefxoABCDEF_.:-+TZ ") == std::string::npos) {
    return false;
  }
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c < 0x20 || c == 0x7f) return false;
    if (c == ':' && at + 1 < text.size() && text[at + 1] == ' ') return false;
    if (c == '#' && at > 0 && text[at - 1] == ' ') return false;
  }
  return true;
}

// Text of several lines as a block, when a block says exactly that.
bool is_block(const std::string& text) {
  if (text.find('\n') == std::string::npos || text.front() == ' ' || text.front() == '\n')
    return false;
  if (text.size() > 1 && text.ends_with("\n\n")) return false;
  return std::ranges::all_of(text, [](unsigned char c) { return c >= 0x20 || c == '\n'; });
}

std::string scalar(const Json& value, const std::string& indent) {
  if (!value.is_string()) return to_text(value);
  const auto& text = value.get_ref<const std::string&>();
  if (is_block(text)) {
    std::string block = text.back() == '\n' ? "|" : "|-";
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      block += end == at ? "\n" : "\n" + indent + text.substr(at, end - at);
      at = end + 1;
    }
    return block;
  }
  return is_plain_safe(text) ? text : to_text(value);
}

void write(const Json& value, const std::string& indent, std::string& out);

// What stands behind "key:" or "-".
void write_member(const Json& value, const std::string& indent, bool in_list, std::string& out) {
  if (value.is_structured() && !value.empty()) {
    if (in_list) {
      std::string inner;
      write(value, indent + "  ", inner);
      out += " " + inner.substr(indent.size() + 2) + "\n";
    } else {
      out += "\n";
      write(value, value.is_array() ? indent : indent + "  ", out);
      out += "\n";
    }
  } else {
    out += " " + scalar(value, indent + "  ") + "\n";
  }
}

void write(const Json& value, const std::string& indent, std::string& out) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, member] : value.items()) {
      out += indent + scalar(Json(key), indent) + ":";
      write_member(member, indent, /*in_list=*/false, out);
    }
    out.pop_back();
  } else if (value.is_array() && !value.empty()) {
    for (const Json& item : value) {
      out += indent + "-";
      write_member(item, indent, /*in_list=*/true, out);
    }
    out.pop_back();
  } else {
    out += indent + scalar(value, indent + "  ");
  }
}

}  // namespace

Json to_json(const Value& value) {
  switch (value.type) {
    case Value::Type::kNull:
      return nullptr;
    case Value::Type::kScalar:
      return value.quoted ? Json(value.text) : plain_scalar(value.text);
    case Value::Type::kList: {
      Json list = Json::array();
      for (const Value& item : value.items) list.push_back(to_json(item));
      return list;
    }
    case Value::Type::kMap: {
      Json map = Json::object();
      for (std::size_t i = 0; i < value.keys.size(); ++i) {
        map[value.keys[i]] = to_json(value.items[i]);
      }
      return map;
    }
  }
  return nullptr;
}

Outcome<std::vector<Json>> read_yaml(std::string_view text) {
  const manifest::YamlFile file = manifest::read_yaml(text);
  if (!file.errors.empty()) {
    return problem(std::to_string(file.errors.front().line) + ": " + file.errors.front().message);
  }
  std::vector<Json> documents;
  for (const Value& document : file.documents) documents.push_back(to_json(document));
  return documents;
}

std::string to_yaml(const Json& value) {
  std::string out;
  write(value, "", out);
  return out;
}

}  // namespace mesh::cli
