#include "control/envoy/global_limits.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "control/envoy/build.h"
#include "control/envoy/checks.h"
#include "control/envoy/limit_lines.h"
#include "control/envoy/providers.h"
#include "control/envoy/route_pieces.h"
#include "envoy/ratelimit.pb.h"
#include "envoy/route.pb.h"

namespace mesh::control {
namespace {

namespace route = envoy::config::route::v3;
using envoy::extensions::filters::http::ratelimit::v3::RateLimit;
using manifest::LimitProvider;

constexpr std::size_t kEntriesMax = 16;
constexpr std::size_t kTextMax = 256;

std::string lower(std::string_view text) {
  std::string made(text);
  std::ranges::transform(made, made.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return made;
}

bool is_key(std::string_view text) {
  return !text.empty() && text.size() <= kTextMax && std::ranges::all_of(text, [](unsigned char c) {
    return std::isalnum(c) != 0 || std::string_view("-_./").contains(static_cast<char>(c));
  });
}

// What no proxy takes for anything else: in newer Envoys '%' begins an operator.
bool is_value(std::string_view text) {
  return !text.empty() && text.size() <= kTextMax &&
         std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c < 127 && c != '%'; });
}

bool parse_header_entry(std::string_view word, LimitEntry& to) {
  const auto close = word.find(')');
  if (close == std::string_view::npos) return false;
  const std::string_view name = word.substr(0, close);
  const std::string_view rest = word.substr(close + 1);
  if (!is_header_name(name) || name.size() > kTextMax) return false;
  to.key = to.header = lower(name);
  to.kind = LimitEntry::Kind::kHeader;
  if (rest.empty()) return true;
  to.kind = LimitEntry::Kind::kHeaderValue;
  to.value = rest.substr(1);
  return rest[0] == '=' && is_value(to.value);
}

// False: it is none.
bool parse_entry(std::string_view word, LimitEntry& to) {
  using Kind = LimitEntry::Kind;
  constexpr std::string_view kHeader = "header(";
  if (word == "remote-address") {
    to.kind = Kind::kRemoteAddress;
    return true;
  }
  for (const auto& [name, header] : {std::pair("method", ":method"), std::pair("path", ":path"),
                                     std::pair("host", ":authority")}) {
    if (word != name) continue;
    to = {.kind = Kind::kHeader, .key = name, .header = header, .value = {}};
    return true;
  }
  if (word.starts_with(kHeader)) return parse_header_entry(word.substr(kHeader.size()), to);
  const auto equals = word.find('=');
  if (equals == std::string_view::npos) return false;
  to.key = word.substr(0, equals);
  to.value = word.substr(equals + 1);
  return is_key(to.key) && is_value(to.value);
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  for (text = trimmed(text); !text.empty(); text = trimmed(text)) {
    const auto end = std::min(text.find_first_of(" \t\r"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

std::expected<GlobalLimit, std::string> parse_line(std::string_view line) {
  const auto wrong = [line](const std::string& what) {
    return std::unexpected("\"" + std::string(line.substr(0, kTextMax)) + "\": " + what);
  };
  GlobalLimit limit;
  std::string_view rest = line;
  // A colon with no space behind it belongs to a word.
  if (const auto colon = std::min(rest.find(": "), rest.find(":\t")); colon < rest.size()) {
    limit.rule = trimmed(rest.substr(0, colon));
    if (limit.rule.empty()) return wrong("no rule before the colon");
    rest.remove_prefix(colon + 1);
  }
  const auto words = words_of(rest);
  if (words.size() < 2) return wrong("a provider and what to tell requests apart by");
  if (words.size() > kEntriesMax + 1) return wrong("more than 16 entries");
  limit.provider = words[0];
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (!parse_entry(words[i], limit.entries.emplace_back())) {
      return wrong("\"" + std::string(words[i].substr(0, kTextMax)) +
                   "\" is not remote-address, method, path, host, header(NAME), "
                   "header(NAME)=VALUE or KEY=VALUE");
    }
  }
  return limit;
}

// The stage of a provider, which it keeps at this waypoint; 0: there is none left.
std::uint32_t stage_of(Build& build, const std::string& provider) {
  const auto known = std::ranges::find(build.limiters, provider);
  const auto at = static_cast<std::size_t>(known - build.limiters.begin());
  if (at == kLimitersMax) return 0;
  if (known == build.limiters.end()) build.limiters.push_back(provider);
  return static_cast<std::uint32_t>(at + 1);
}

void fill_action(const LimitEntry& entry, route::RateLimit::Action* to) {
  switch (entry.kind) {
    case LimitEntry::Kind::kRemoteAddress:
      to->mutable_remote_address();
      return;
    case LimitEntry::Kind::kHeader:
      to->mutable_request_headers()->set_header_name(entry.header);
      to->mutable_request_headers()->set_descriptor_key(entry.key);
      return;
    case LimitEntry::Kind::kHeaderValue: {
      auto* match = to->mutable_header_value_match();
      match->set_descriptor_key(entry.key);
      match->set_descriptor_value(entry.value);
      auto* header = match->add_headers();
      header->set_name(entry.header);
      header->mutable_string_match()->set_exact(entry.value);
      return;
    }
    case LimitEntry::Kind::kText:
      to->mutable_generic_key()->set_descriptor_key(entry.key);
      to->mutable_generic_key()->set_descriptor_value(entry.value);
  }
}

// Why it cannot be done; empty: it is.
std::string ask(Build& build, const GlobalLimit& limit, route::RouteAction* action) {
  const manifest::MeshConfig& mesh = build.world.mesh();
  const LimitProvider* provider = mesh.limiter(limit.provider);
  if (provider == nullptr) return mesh.why_not(limit.provider, "weftRateLimitGrpc");
  const auto cluster = grpc_cluster(build, *provider);
  if (!cluster) return cluster.error();
  const std::uint32_t stage = stage_of(build, limit.provider);
  if (stage == 0) return "more than 10 providers of rate limits at one waypoint";
  route::RateLimit* asked = action->add_rate_limits();
  asked->mutable_stage()->set_value(stage);
  for (const LimitEntry& entry : limit.entries) fill_action(entry, asked->add_actions());
  return {};
}

RateLimit filter_of(const LimitProvider& provider, const std::string& cluster,
                    std::uint32_t stage) {
  RateLimit to;
  to.set_domain(provider.domain);
  to.set_stage(stage);
  set_duration(to.mutable_timeout(), provider.timeout);
  to.set_failure_mode_deny(!provider.fail_open);
  fill_grpc_service(cluster, provider.host,
                    to.mutable_rate_limit_service()->mutable_grpc_service());
  to.mutable_rate_limit_service()->set_transport_api_version(envoy::config::core::v3::V3);
  return to;
}

}  // namespace

std::expected<std::vector<GlobalLimit>, std::string> parse_global_limits(std::string_view text) {
  const auto lines = limit_lines(text);
  if (!lines) return std::unexpected(lines.error());
  std::vector<GlobalLimit> limits;
  for (const std::string_view line : *lines) {
    auto limit = parse_line(line);
    if (!limit) return std::unexpected(limit.error());
    limits.push_back(*std::move(limit));
  }
  return limits;
}

void count_last_route(Build& build, const manifest::ObjectKey& author,
                      const manifest::Metadata& object, std::string_view rule,
                      route::VirtualHost* into) {
  const auto annotation = object.annotations.find(std::string(kGlobalLimitAnnotation));
  if (annotation == object.annotations.end() || into->routes().empty()) return;
  const std::string name = std::string(kGlobalLimitAnnotation) + ": ";
  route::Route& last = *into->mutable_routes(into->routes_size() - 1);
  const auto limits = parse_global_limits(annotation->second);
  if (!limits) return refuse_route(build, author, name + limits.error(), last);
  for (const GlobalLimit& limit : *limits) {
    if (!limit.rule.empty() && limit.rule != rule) continue;
    if (!last.has_route()) {
      return build.note(author, name + "what is redirected or answered here is not limited");
    }
    const std::string problem = ask(build, limit, last.mutable_route());
    if (!problem.empty()) return refuse_route(build, author, name + problem, last);
  }
}

std::vector<RateLimit> global_limit_filters(Build& build, const route::VirtualHost& host) {
  std::set<std::uint32_t> stages;
  for (const route::Route& route : host.routes()) {
    for (const route::RateLimit& asked : route.route().rate_limits()) {
      if (asked.stage().value() > 0) stages.insert(asked.stage().value());
    }
  }
  std::vector<RateLimit> filters;
  for (const std::uint32_t stage : stages) {
    const LimitProvider& provider = *build.world.mesh().limiter(build.limiters[stage - 1]);
    filters.push_back(filter_of(provider, *grpc_cluster(build, provider), stage));
  }
  return filters;
}

}  // namespace mesh::control
