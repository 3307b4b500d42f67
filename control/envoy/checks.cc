#include "control/envoy/checks.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <memory>

#include <re2/re2.h>

#include "envoy/cors.pb.h"
#include "envoy/route.pb.h"

namespace mesh::control {
namespace {

namespace route = envoy::config::route::v3;
using envoy::type::matcher::v3::StringMatcher;

// What weft-sds tells Envoy to take; the incumbent's own limit.
constexpr int kMaxProgram = 32'768;
constexpr std::size_t kMaxRegex = 4'096;
constexpr std::size_t kMaxSubstitution = 2'048;

// nullptr: it cannot be used.
std::unique_ptr<const re2::RE2> compile(std::string_view regex) {
  if (regex.empty() || regex.size() > kMaxRegex) return nullptr;
  auto compiled = std::make_unique<const re2::RE2>(re2::StringPiece(regex.data(), regex.size()),
                                                   re2::RE2::Quiet);
  if (!compiled->ok() || compiled->ProgramSize() > kMaxProgram) return nullptr;
  return compiled;
}

bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_usable(const StringMatcher& matcher) {
  switch (matcher.match_pattern_case()) {
    case StringMatcher::kSafeRegex:
      return is_usable_regex(matcher.safe_regex().regex());
    case StringMatcher::kPrefix:
      return !matcher.prefix().empty();
    case StringMatcher::kSuffix:
      return !matcher.suffix().empty();
    default:
      return true;
  }
}

std::string match_fault(const route::RouteMatch& match) {
  if (match.has_safe_regex() && !is_usable_regex(match.safe_regex().regex())) {
    return "the regular expression " + match.safe_regex().regex() + " cannot be used";
  }
  if (is_one_of('?', match.path_separated_prefix()) ||
      is_one_of('#', match.path_separated_prefix())) {
    return "the path " + match.path_separated_prefix() + " has a query or a fragment";
  }
  for (const route::HeaderMatcher& header : match.headers()) {
    const std::string& name = header.name();
    const bool named = is_header_name(name.starts_with(':') ? name.substr(1) : name);
    if (!named) return "'" + name + "' is no header's name";
    if (header.has_string_match() && !is_usable(header.string_match())) {
      return "the match of header " + name + " cannot be used";
    }
  }
  for (const route::QueryParameterMatcher& query : match.query_parameters()) {
    const bool usable = !query.name().empty() && query.name().size() <= 1024 &&
                        (!query.has_string_match() || is_usable(query.string_match()));
    if (!usable) return "the match of query parameter " + query.name() + " cannot be used";
  }
  return {};
}

// Names that stand for the request's own line and host are not headers to be changed.
bool may_change(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return is_header_name(name) && lower != "host";
}

template <class Message>
std::string headers_fault(const Message& from) {
  const auto added = [](const auto& list) -> std::string {
    for (const auto& one : list) {
      if (!may_change(one.header().key())) {
        return "header '" + one.header().key() + "' cannot be changed";
      }
      if (!is_header_value(one.header().value())) {
        return "header " + one.header().key() + " would have a line break in it";
      }
    }
    return {};
  };
  const auto removed = [](const auto& list) -> std::string {
    for (const std::string& name : list) {
      if (!may_change(name)) return "header '" + name + "' cannot be removed";
    }
    return {};
  };
  for (std::string fault :
       {added(from.request_headers_to_add()), added(from.response_headers_to_add()),
        removed(from.request_headers_to_remove()), removed(from.response_headers_to_remove())}) {
    if (!fault.empty()) return fault;
  }
  return {};
}

std::string rewrite_fault(const auto& from) {
  if (!is_header_value(from.prefix_rewrite())) return "a path has a line break in it";
  if (!from.has_regex_rewrite()) return {};
  const auto& rewrite = from.regex_rewrite();
  const auto pattern = compile(rewrite.pattern().regex());
  if (pattern == nullptr) return "a rewrite's regular expression cannot be used";
  std::string problem;
  const bool fits = rewrite.substitution().size() <= kMaxSubstitution &&
                    is_header_value(rewrite.substitution()) &&
                    pattern->CheckRewriteString(rewrite.substitution(), &problem);
  return fits ? "" : "a rewrite's substitution cannot be used";
}

std::string cors_fault(const route::Route& from) {
  const auto found = from.typed_per_filter_config().find("envoy.filters.http.cors");
  if (found == from.typed_per_filter_config().end()) return {};
  envoy::extensions::filters::http::cors::v3::CorsPolicy policy;
  if (!policy.ParseFromString(found->second.value())) return "a CORS policy that cannot be read";
  for (const auto& origin : policy.allow_origin_string_match()) {
    if (!is_usable(origin)) return "the match of an allowed origin cannot be used";
  }
  return {};
}

std::string action_fault(const route::RouteAction& action) {
  if (!is_header_value(action.host_rewrite_literal())) return "a host has a line break in it";
  std::uint64_t weight = 0;
  for (const auto& cluster : action.weighted_clusters().clusters()) {
    weight += cluster.weight().value();
    if (std::string fault = headers_fault(cluster); !fault.empty()) return fault;
    if (!is_header_value(cluster.host_rewrite_literal())) return "a host has a line break in it";
  }
  if (weight > std::numeric_limits<std::uint32_t>::max())
    return "the weights are too large together";
  if (action.has_weighted_clusters() ? weight == 0 : action.cluster().empty()) {
    return "it goes nowhere";
  }
  for (const auto& hash : action.hash_policy()) {
    if (hash.has_header() && !is_header_name(hash.header().header_name())) {
      return "'" + hash.header().header_name() + "' is no header's name";
    }
  }
  return rewrite_fault(action);
}

std::string route_fault(const route::Route& from) {
  if (std::string fault = headers_fault(from); !fault.empty()) return fault;
  if (std::string fault = cors_fault(from); !fault.empty()) return fault;
  if (from.has_route()) return action_fault(from.route());
  if (from.has_direct_response()) {
    const std::uint32_t status = from.direct_response().status();
    return status >= 200 && status < 600 ? "" : "the status is not between 200 and 599";
  }
  if (!from.has_redirect()) return {};
  const route::RedirectAction& redirect = from.redirect();
  for (const std::string* text : {&redirect.host_redirect(), &redirect.path_redirect()}) {
    if (!is_header_value(*text)) return "a redirect has a line break in it";
  }
  return rewrite_fault(redirect);
}

}  // namespace

bool is_usable_regex(std::string_view regex) { return compile(regex) != nullptr; }

bool is_header_name(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return is_alphanumeric(c) || is_one_of(c, "!#$%&'*+-.^_`|~");
  });
}

bool is_header_value(std::string_view value) {
  using namespace std::string_view_literals;
  return std::none_of(value.begin(), value.end(), [](char c) { return is_one_of(c, "\0\r\n"sv); });
}

bool is_path_template(std::string_view path) {
  if (!path.starts_with('/')) return false;
  bool ended = false;  // by "{**}"
  while (path.starts_with('/')) {
    path.remove_prefix(1);
    const auto slash = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, slash);
    path.remove_prefix(slash);
    if (segment == "{*}" || segment == "{**}") {
      if (ended) return false;
      ended = segment == "{**}";
      continue;
    }
    const bool plain = !segment.empty() && std::all_of(segment.begin(), segment.end(), [](char c) {
      return is_alphanumeric(c) || is_one_of(c, "-._~%!$&'()+,;:@=");
    });
    if (!plain) return false;
  }
  return path.empty();
}

RouteFault check_route(const route::Route& from, std::string& why) {
  why = match_fault(from.match());
  if (!why.empty()) return RouteFault::kMatch;
  why = route_fault(from);
  return why.empty() ? RouteFault::kNone : RouteFault::kAction;
}

}  // namespace mesh::control
