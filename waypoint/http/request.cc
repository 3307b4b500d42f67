#include "waypoint/http/request.h"

#include <algorithm>

namespace mesh::waypoint::http {

std::string_view Request::path_only() const {
  const std::string_view whole = path;
  return whole.substr(0, whole.find('?'));
}

std::string_view Request::query() const {
  const std::string_view whole = path;
  const auto mark = whole.find('?');
  return mark == std::string_view::npos ? std::string_view() : whole.substr(mark + 1);
}

HeaderText header_text(const h2::Headers& headers, std::string_view name) {
  const h2::Header* first = nullptr;
  std::string joined;
  for (const h2::Header& header : headers) {
    if (header.name != name) continue;
    if (first == nullptr) {
      first = &header;
      continue;
    }
    if (joined.empty()) joined = first->value;
    joined += ',';
    joined += header.value;
  }
  if (first == nullptr) return {};
  // Two empty values join to ",", so that `joined` is empty only if there is one value.
  return joined.empty() ? HeaderText(std::string_view(first->value))
                        : HeaderText(std::move(joined));
}

HeaderText header_text(const Request& request, std::string_view name) {
  if (name == ":method") return HeaderText(std::string_view(request.method));
  if (name == ":path") return HeaderText(std::string_view(request.path));
  if (name == ":scheme") return HeaderText(std::string_view(request.scheme));
  if (name == ":authority" || name == "host") {
    return HeaderText(std::string_view(request.authority));
  }
  return header_text(request.headers, name);
}

void remove_header(h2::Headers& headers, std::string_view name) {
  std::erase_if(headers, [name](const h2::Header& header) { return header.name == name; });
}

void set_header(h2::Headers& headers, std::string_view name, std::string_view value) {
  remove_header(headers, name);
  add_header(headers, name, value);
}

void add_header(h2::Headers& headers, std::string_view name, std::string_view value) {
  headers.push_back({.name = std::string(name), .value = std::string(value)});
}

bool is_header_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").contains(c);
  });
}

bool is_header_value(std::string_view value) {
  return value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

bool is_grpc(const h2::Headers& headers) {
  constexpr std::string_view kGrpc = "application/grpc";
  for (const h2::Header& header : headers) {
    if (header.name != "content-type") continue;
    const std::string_view value = header.value;
    return value.starts_with(kGrpc) && (value.size() == kGrpc.size() || value[kGrpc.size()] == '+');
  }
  return false;
}

std::optional<std::string_view> query_parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    const auto equals = std::min(one.find('='), one.size());
    if (one.substr(0, equals) == name && !one.empty()) {
      return one.substr(std::min(equals + 1, one.size()));
    }
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return std::nullopt;
}

std::optional<std::string> cookie(const h2::Headers& headers, std::string_view name) {
  for (const h2::Header& header : headers) {
    if (header.name != "cookie") continue;
    std::string_view rest = header.value;
    while (!rest.empty()) {
      const auto end = std::min(rest.find(';'), rest.size());
      std::string_view one = rest.substr(0, end);
      rest.remove_prefix(std::min(end + 1, rest.size()));
      one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
      const auto equals = one.find('=');
      if (equals == std::string_view::npos || one.substr(0, equals) != name) continue;
      std::string_view value = one.substr(equals + 1);
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
        value = value.substr(1, value.size() - 2);
      }
      return std::string(value);
    }
  }
  return std::nullopt;
}

}  // namespace mesh::waypoint::http
