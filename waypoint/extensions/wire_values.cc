#include "waypoint/extensions/wire_values.h"

#include "envoy/core.pb.h"
#include "waypoint/config/match.h"
#include "wire.pb.h"

namespace mesh::waypoint::extensions::wire_values {
namespace {

bool from_value(const weft::wire::Value& from, http::Value& to, int depth) {
  using Value = http::Value;
  switch (from.kind_case()) {
    case weft::wire::Value::kNumberValue:
      to = Value::of_number(from.number_value());
      return true;
    case weft::wire::Value::kStringValue:
      to = Value::of_text(from.string_value());
      return true;
    case weft::wire::Value::kBoolValue:
      to = Value::of_bool(from.bool_value());
      return true;
    case weft::wire::Value::kStructValue:
    case weft::wire::Value::kListValue:
      break;
    default:
      to = Value();
      return true;
  }
  if (depth >= kDepthMax) return false;
  bool good = true;
  if (from.has_struct_value()) {
    to = Value::object({});
    for (const auto& [name, value] : from.struct_value().fields()) {
      to.members.emplace_back(name, Value());
      good = good && from_value(value, to.members.back().second, depth + 1);
    }
  } else {
    to = Value::of_list({});
    for (const weft::wire::Value& value : from.list_value().values()) {
      good = good && from_value(value, to.list.emplace_back(), depth + 1);
    }
  }
  return good;
}

void to_value(const http::Value& from, weft::wire::Value& to) {
  using Kind = http::Value::Kind;
  switch (from.kind) {
    case Kind::kNull:
      to.set_null_value(0);
      return;
    case Kind::kBool:
      to.set_bool_value(from.boolean);
      return;
    case Kind::kNumber:
      to.set_number_value(from.number);
      return;
    case Kind::kString:
      to.set_string_value(from.text);
      return;
    case Kind::kList:
      to.mutable_list_value();
      for (const http::Value& one : from.list)
        to_value(one, *to.mutable_list_value()->add_values());
      return;
    case Kind::kObject:
      to_struct(from, *to.mutable_struct_value());
      return;
  }
}

}  // namespace

bool from_struct(const weft::wire::Struct& from, http::Value& to) {
  to = http::Value::object({});
  for (const auto& [name, value] : from.fields()) {
    to.members.emplace_back(name, http::Value());
    if (!from_value(value, to.members.back().second, 1)) return false;
  }
  return true;
}

void to_struct(const http::Value& from, weft::wire::Struct& to) {
  for (const auto& [name, value] : from.members) to_value(value, (*to.mutable_fields())[name]);
}

std::string value_of(const envoy::config::core::v3::HeaderValue& header) {
  return header.value().empty() ? header.raw_value() : header.value();
}

HeaderEdit edit_of(const envoy::config::core::v3::HeaderValueOption& option,
                   HeaderEdit::Action otherwise, HeaderEdit::Action appended) {
  using Option = envoy::config::core::v3::HeaderValueOption;
  using Action = HeaderEdit::Action;
  HeaderEdit edit{.name = config::to_lower(option.header().key()),
                  .value = value_of(option.header()),
                  .action = otherwise};
  if (option.has_append()) {
    edit.action = option.append().value() ? appended : Action::kSet;
    return edit;
  }
  switch (option.append_action()) {
    case Option::ADD_IF_ABSENT:
      edit.action = Action::kAddIfAbsent;
      break;
    case Option::OVERWRITE_IF_EXISTS_OR_ADD:
      edit.action = Action::kSet;
      break;
    case Option::OVERWRITE_IF_EXISTS:
      edit.action = Action::kSetIfPresent;
      break;
    default:
      break;
  }
  return edit;
}

void to_address(const net::SocketAddress& from, envoy::config::core::v3::Address& to) {
  to.mutable_socket_address()->set_address(from.ip.to_string());
  to.mutable_socket_address()->set_port_value(from.port);
}

void to_header_map(const h2::Headers& from, envoy::config::core::v3::HeaderMap& to) {
  for (const h2::Header& header : from) {
    auto* made = to.add_headers();
    made->set_key(header.name);
    made->set_raw_value(header.value);
  }
}

}  // namespace mesh::waypoint::extensions::wire_values
