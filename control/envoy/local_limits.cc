#include "control/envoy/local_limits.h"

#include <algorithm>
#include <charconv>

#include "control/envoy/build.h"
#include "control/envoy/checks.h"
#include "control/envoy/limit_lines.h"
#include "control/envoy/route_pieces.h"
#include "envoy/local_ratelimit.pb.h"
#include "envoy/route.pb.h"

namespace mesh::control {
namespace {

namespace route = envoy::config::route::v3;
using envoy::extensions::filters::http::local_ratelimit::v3::LocalRateLimit;

constexpr std::uint32_t kCountMax = 1'000'000;
constexpr std::chrono::seconds kIntervalMax{24 * 3600};
constexpr const char* kKey = "weft.dev/limit";

bool read_number(std::string_view text, std::uint32_t max, std::uint32_t& into) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
  return error == std::errc() && end == text.data() + text.size() && into > 0 && into <= max;
}

bool read_interval(std::string_view text, std::chrono::seconds& into) {
  if (text.empty()) return false;
  const std::string_view unit = text.substr(text.size() - 1);
  const std::uint32_t seconds = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : 0;
  text.remove_suffix(1);
  std::uint32_t number = 1;
  if (seconds == 0 || (!text.empty() && !read_number(text, 86'400, number))) return false;
  into = std::chrono::seconds(std::uint64_t(number) * seconds);
  return into <= kIntervalMax;
}

std::expected<LocalLimit, std::string> parse_line(std::string_view line) {
  const auto wrong = [line](const char* what) {
    return std::unexpected("\"" + std::string(line) + "\": " + what);
  };
  LocalLimit limit;
  std::string_view rest = line;
  const auto space = rest.find_last_of(" \t");
  const std::string_view rate = space == std::string_view::npos ? rest : rest.substr(space + 1);
  rest = trimmed(rest.substr(0, rest.size() - rate.size()));
  const auto slash = rate.find('/');
  if (slash == std::string_view::npos ||
      !read_number(rate.substr(0, slash), kCountMax, limit.count))
    return wrong("no COUNT/INTERVAL of at most 1000000");
  if (!read_interval(rate.substr(slash + 1), limit.interval)) {
    return wrong("an interval is a number of s, m or h, at most 24 h");
  }
  if (const auto colon = rest.find(':'); colon != std::string_view::npos) {
    limit.rule = trimmed(rest.substr(0, colon));
    if (limit.rule.empty()) return wrong("no rule before the colon");
    rest = trimmed(rest.substr(colon + 1));
  }
  if (rest.empty()) return limit;
  const auto equals = rest.find('=');
  if (equals == std::string_view::npos || !is_header_name(rest.substr(0, equals)) ||
      equals + 1 == rest.size()) {
    return wrong("before the rate come RULE: and HEADER=VALUE only");
  }
  limit.header = rest.substr(0, equals);
  limit.value = rest.substr(equals + 1);
  return limit;
}

// In the order of the kinds that may have the annotation; one of another name is another bucket.
std::string bucket_name(const manifest::ObjectKey& author, std::size_t line) {
  return author.to_string() + "#" + std::to_string(line);
}

void fill_bucket(std::uint32_t count, std::chrono::seconds interval, auto* into) {
  into->set_max_tokens(count);
  into->mutable_tokens_per_fill()->set_value(count);
  set_duration(into->mutable_fill_interval(), interval);
}

void fill_always(auto* fraction) { fraction->mutable_default_value()->set_numerator(100); }

// The host's settings of the filter, with a bucket for this line.
void add_bucket(const std::string& name, const LocalLimit& limit, route::VirtualHost* into) {
  auto& any = (*into->mutable_typed_per_filter_config())[kLocalLimitFilter];
  LocalRateLimit filter;
  if (!any.value().empty()) filter.ParseFromString(any.value());
  if (filter.stat_prefix().empty()) {
    filter.set_stat_prefix("local_rate_limit");
    fill_always(filter.mutable_filter_enabled());
    fill_always(filter.mutable_filter_enforced());
    // What no line is for is not limited.
    fill_bucket(0xffffffff, std::chrono::seconds(1), filter.mutable_token_bucket());
  }
  const bool known =
      std::any_of(filter.descriptors().begin(), filter.descriptors().end(),
                  [&](const auto& descriptor) { return descriptor.entries(0).value() == name; });
  if (known) return;
  auto* descriptor = filter.add_descriptors();
  auto* entry = descriptor->add_entries();
  entry->set_key(kKey);
  entry->set_value(name);
  fill_bucket(limit.count, limit.interval, descriptor->mutable_token_bucket());
  pack(filter, &any);
}

void ask(const std::string& name, const LocalLimit& limit, route::RouteAction* action) {
  auto* made = action->add_rate_limits()->add_actions();
  if (limit.header.empty()) {
    made->mutable_generic_key()->set_descriptor_key(kKey);
    made->mutable_generic_key()->set_descriptor_value(name);
    return;
  }
  auto* match = made->mutable_header_value_match();
  match->set_descriptor_key(kKey);
  match->set_descriptor_value(name);
  auto* header = match->add_headers();
  header->set_name(limit.header);
  header->mutable_string_match()->set_exact(limit.value);
}

}  // namespace

std::expected<std::vector<LocalLimit>, std::string> parse_local_limits(std::string_view text) {
  const auto lines = limit_lines(text);
  if (!lines) return std::unexpected(lines.error());
  std::vector<LocalLimit> limits;
  for (const std::string_view line : *lines) {
    auto limit = parse_line(line);
    if (!limit) return std::unexpected(limit.error());
    limits.push_back(*std::move(limit));
  }
  return limits;
}

void limit_last_route(Build& build, const manifest::ObjectKey& author,
                      const manifest::Metadata& object, std::string_view rule,
                      route::VirtualHost* into) {
  const auto annotation = object.annotations.find(std::string(kLocalLimitAnnotation));
  if (annotation == object.annotations.end() || into->routes().empty()) return;
  route::Route& last = *into->mutable_routes(into->routes_size() - 1);
  const auto limits = parse_local_limits(annotation->second);
  if (!limits) {
    return refuse_route(build, author, std::string(kLocalLimitAnnotation) + ": " + limits.error(),
                        last);
  }
  for (std::size_t i = 0; i < limits->size(); ++i) {
    const LocalLimit& limit = (*limits)[i];
    if (!limit.rule.empty() && limit.rule != rule) continue;
    if (!last.has_route()) {
      build.note(author, std::string(kLocalLimitAnnotation) +
                             ": what is redirected or answered here is not limited");
      return;
    }
    const std::string name = bucket_name(author, i);
    add_bucket(name, limit, into);
    ask(name, limit, last.mutable_route());
  }
}

bool has_local_limits(const route::VirtualHost& host) {
  return host.typed_per_filter_config().contains(kLocalLimitFilter);
}

}  // namespace mesh::control
