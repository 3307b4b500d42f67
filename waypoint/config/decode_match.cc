// Matchers: envoy.type.matcher.v3 and the matches of routes.

#include <algorithm>
#include <string>

#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config::parts {

namespace {

constexpr std::size_t kMaxMatches = 1'024;  // of one list

MetadataMatch::Value value_match(Input& in, const Tree& at, int depth) {
  using Value = MetadataMatch::Value;
  Value value;
  if (depth > 16) {
    in.refuse(at, "nested too deep");
    return value;
  }
  const auto which = in.one_of(at, {"nullMatch", "doubleMatch", "stringMatch", "boolMatch",
                                    "presentMatch", "listMatch", "orMatch"});
  if (which == "nullMatch") {
    Input::overlook(at.find("nullMatch"));
    value.kind = Value::Kind::kNull;
  } else if (which == "stringMatch") {
    value.kind = Value::Kind::kString;
    if (const Tree* text = in.object(at, which)) value.text = string_match(in, *text);
  } else if (which == "boolMatch" || which == "presentMatch") {
    value.kind = which == "boolMatch" ? Value::Kind::kBool : Value::Kind::kPresent;
    value.boolean = in.flag(at, which);
  } else if (which == "doubleMatch") {
    value.kind = Value::Kind::kNumber;
    if (const Tree* number = in.object(at, which)) {
      value.number_exact = in.one_of(*number, {"exact", "range"}) != "range";
      value.number_start = in.real(*number, "exact");
      if (const Tree* range = in.object(*number, "range")) {
        value.number_start = in.real(*range, "start");
        value.number_end = in.real(*range, "end");
      }
    }
  } else if (which == "listMatch") {
    value.kind = Value::Kind::kOneOf;
    const Tree* list = in.object(at, which);
    const Tree* element = list == nullptr ? nullptr : in.object(*list, "oneOf");
    if (element == nullptr) {
      in.refuse(at, "a list match without oneOf");
    } else {
      value.children.push_back(value_match(in, *element, depth + 1));
    }
  } else if (which == "orMatch") {
    value.kind = Value::Kind::kAny;
    if (const Tree* any = in.object(at, which)) {
      for (const Tree* child : in.list(*any, "valueMatchers")) {
        value.children.push_back(value_match(in, *child, depth + 1));
      }
    }
  } else {
    in.refuse(at, "a value match without a pattern");
  }
  return value;
}

void string_header(Input& in, const Tree& at, std::string_view which, HeaderMatch& match) {
  using Kind = StringMatch::Kind;
  match.kind = HeaderMatch::Kind::kString;
  if (which == "stringMatch") {
    if (const Tree* text = in.object(at, which)) match.text = string_match(in, *text);
  } else if (which == "safeRegexMatch") {
    if (const Tree* pattern = in.object(at, which)) {
      match.text = {.kind = Kind::kRegex, .regex = regex(in, *pattern)};
    }
  } else {
    match.text.value = in.text(at, which);
    match.text.kind = which == "exactMatch"    ? Kind::kExact
                      : which == "prefixMatch" ? Kind::kPrefix
                      : which == "suffixMatch" ? Kind::kSuffix
                                               : Kind::kContains;
  }
}

void path_match(Input& in, const Tree& at, RouteMatch& match) {
  using Kind = PathMatch::Kind;
  const auto which = in.one_of(at, {"prefix", "path", "safeRegex", "connectMatcher",
                                    "pathSeparatedPrefix", "pathMatchPolicy"});
  match.path.case_sensitive = in.flag(at, "caseSensitive", true);
  if (which == "prefix" || which == "path" || which == "pathSeparatedPrefix") {
    match.path.value = in.text(at, which);
    match.path.kind = which == "prefix" ? Kind::kPrefix
                      : which == "path" ? Kind::kExact
                                        : Kind::kSegmentPrefix;
    if (!match.path.case_sensitive) match.path.value = to_lower(match.path.value);
  } else if (which == "safeRegex") {
    match.path.kind = Kind::kRegex;
    if (const Tree* pattern = in.object(at, which)) match.path.regex = regex(in, *pattern);
  } else if (which == "connectMatcher") {
    match.path.kind = Kind::kConnect;
    Input::overlook(at.find(which));
  } else if (which == "pathMatchPolicy") {
    const Tree* policy = in.object(at, which);
    const Tree* config = policy == nullptr ? nullptr : in.object(*policy, "typedConfig");
    if (policy != nullptr) Input::overlook(*policy, {"name"});
    if (config == nullptr ||
        config->any_type() !=
            "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig") {
      in.refuse(at, "a path match that is not known");
      return;
    }
    match.path.kind = Kind::kTemplate;
    auto compiled = PathTemplate::compile(in.text(*config, "pathTemplate"));
    if (!compiled) return in.refuse(*config, "not a path template");
    match.path.path_template = *std::move(compiled);
  } else {
    in.refuse(at, "a match without a path");
  }
}

}  // namespace

RegexPtr regex(Input& in, const Tree& at) {
  Input::overlook(at, {"googleRe2"});
  auto compiled = Regex::compile(in.text(at, "regex"));
  if (compiled) return *compiled;
  in.refuse(at, compiled.error().reason == Reason::kTooLarge
                    ? "a regular expression that is too large"
                    : "not a regular expression");
  return nullptr;
}

StringMatch string_match(Input& in, const Tree& at) {
  using Kind = StringMatch::Kind;
  StringMatch match;
  const auto which = in.one_of(at, {"exact", "prefix", "suffix", "contains", "safeRegex"});
  match.ignore_case = in.flag(at, "ignoreCase");
  if (which == "safeRegex") {
    if (const Tree* pattern = in.object(at, which)) match.regex = regex(in, *pattern);
    match.kind = Kind::kRegex;
    match.ignore_case = false;  // as Envoy: it has no effect on expressions
    return match;
  }
  if (which.empty()) {
    // An exact match of "" has no field in JSON's view of proto3 oneofs only if it was never set.
    in.refuse(at, "a text match without a pattern");
    return match;
  }
  match.value = in.text(at, which);
  match.kind = which == "exact"    ? Kind::kExact
               : which == "prefix" ? Kind::kPrefix
               : which == "suffix" ? Kind::kSuffix
                                   : Kind::kContains;
  if (match.ignore_case) match.value = to_lower(match.value);
  return match;
}

HeaderMatch header_match(Input& in, const Tree& at) {
  HeaderMatch match;
  match.name = to_lower(in.text(at, "name"));
  if (match.name.empty()) in.refuse(at, "a header match without a name");
  match.invert = in.flag(at, "invertMatch");
  match.missing_is_empty = in.flag(at, "treatMissingHeaderAsEmpty");
  const auto which = in.one_of(at, {"exactMatch", "safeRegexMatch", "rangeMatch", "presentMatch",
                                    "prefixMatch", "suffixMatch", "containsMatch", "stringMatch"});
  if (which.empty()) {
    match.kind = HeaderMatch::Kind::kPresent;  // Envoy: nothing said is presence
  } else if (which == "presentMatch") {
    match.kind = HeaderMatch::Kind::kPresent;
    match.present = in.flag(at, which);
  } else if (which == "rangeMatch") {
    match.kind = HeaderMatch::Kind::kRange;
    if (const Tree* range = in.object(at, which)) {
      match.range_start = in.signed_number(*range, "start");
      match.range_end = in.signed_number(*range, "end");
    }
  } else {
    string_header(in, at, which, match);
  }
  return match;
}

std::vector<HeaderMatch> header_matches(Input& in, const Tree& at, std::string_view name) {
  std::vector<HeaderMatch> matches;
  for (const Tree* one : in.list(at, name)) matches.push_back(header_match(in, *one));
  if (matches.size() > kMaxMatches) in.refuse(at, "too many matches");
  return matches;
}

MetadataMatch metadata_match(Input& in, const Tree& at) {
  MetadataMatch match{.filter = in.text(at, "filter")};
  for (const Tree* step : in.list(at, "path")) match.path.push_back(in.text(*step, "key"));
  if (const Tree* value = in.object(at, "value")) {
    match.value = value_match(in, *value, 0);
  } else {
    in.refuse(at, "a metadata match without a value");
  }
  match.invert = in.flag(at, "invert");
  return match;
}

Fraction fraction(Input& in, const Tree& at) {
  static constexpr std::uint32_t kDenominators[] = {100, 10'000, 1'000'000};
  return {.numerator = static_cast<std::uint32_t>(in.number(at, "numerator")),
          .denominator =
              kDenominators[in.choice(at, "denominator", {"HUNDRED", "TEN_THOUSAND", "MILLION"})]};
}

Fraction runtime_fraction(Input& in, const Tree& at) {
  Input::overlook(at, {"runtimeKey"});  // there is no runtime to change it
  const Tree* value = in.object(at, "defaultValue");
  return value == nullptr ? Fraction{} : fraction(in, *value);
}

void regex_rewrite(Input& in, const Tree& at, RegexPtr& regex_to, std::string& substitution) {
  const Tree* pattern = in.object(at, "pattern");
  if (pattern == nullptr) return in.refuse(at, "a rewrite without a pattern");
  regex_to = regex(in, *pattern);
  substitution = in.text(at, "substitution");
  if (regex_to != nullptr && !regex_to->accepts_substitution(substitution)) {
    in.refuse(at, "a substitution that does not fit the expression");
  }
}

PrincipalMatch principal_match(Input& in, const Tree& at) {
  PrincipalMatch match;
  const std::string key = in.text(at, "key");
  match.of_peer = key == "io.istio.peer_principal";
  if (!match.of_peer && key != "io.istio.local_principal") {
    in.refuse(at, "the filter state " + key + " is not known");
  }
  if (const Tree* text = in.object(at, "stringMatch")) {
    match.text = string_match(in, *text);
  } else {
    in.refuse(at, "a filter state without a text match");
  }
  return match;
}

RouteMatch route_match(Input& in, const Tree& at) {
  // A match that is wider than it was meant to be leads requests astray.
  Input::secure(at);
  RouteMatch match;
  path_match(in, at, match);
  match.headers = header_matches(in, at, "headers");
  for (const Tree* one : in.list(at, "queryParameters")) {
    QueryMatch query{.name = in.text(*one, "name")};
    const auto which = in.one_of(*one, {"stringMatch", "presentMatch"});
    if (which == "stringMatch") {
      if (const Tree* text = in.object(*one, which)) query.text = string_match(in, *text);
    } else {
      query.presence_only = true;
      if (which == "presentMatch" && !in.flag(*one, which)) {
        in.refuse(*one, "a parameter that must be absent is not supported");
      }
    }
    match.query.push_back(std::move(query));
  }
  for (const Tree* one : in.list(at, "filterState")) {
    match.principals.push_back(principal_match(in, *one));
  }
  match.grpc_only = in.object(at, "grpc") != nullptr;
  if (const Tree* part = in.object(at, "runtimeFraction")) {
    match.fraction = runtime_fraction(in, *part);
  }
  return match;
}

std::string changed_header_name(Input& in, const Tree& at, std::string_view name) {
  static constexpr std::string_view kFraming[] = {"connection",        "content-length",  "host",
                                                  "transfer-encoding", "upgrade",         "te",
                                                  "keep-alive",        "proxy-connection"};
  const bool token = !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").contains(c);
  });
  std::string lowered = to_lower(name);
  if (!token) in.refuse(at, "not the name of a header");
  if (std::ranges::find(kFraming, lowered) != std::end(kFraming)) {
    in.refuse(at, "the header " + lowered + " may not be changed");
  }
  return lowered;
}

}  // namespace mesh::waypoint::config::parts
