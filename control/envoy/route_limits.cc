#include "control/envoy/route_limits.h"

#include <string>

#include "control/envoy/build.h"
#include "control/envoy/global_limits.h"
#include "control/envoy/local_limits.h"

namespace mesh::control {

void limit_route(Build& build, const manifest::ObjectKey& author, const manifest::Metadata& object,
                 std::string_view rule, envoy::config::route::v3::VirtualHost* into) {
  limit_last_route(build, author, object, rule, into);
  count_last_route(build, author, object, rule, into);
}

void note_limits_of_nothing(Build& build, const manifest::ObjectKey& author,
                            const manifest::Metadata& object,
                            const std::set<std::string_view>& rules) {
  const auto note = [&](std::string_view annotation, auto parse) {
    const std::string_view text = object.annotation(annotation);
    if (text.empty()) return;
    const auto limits = parse(text);
    if (!limits) return;  // its routes say so
    for (const auto& limit : *limits) {
      if (limit.rule.empty() || rules.contains(limit.rule)) continue;
      build.note(author, std::string(annotation) + ": there is no rule \"" + limit.rule +
                             "\": nothing is limited by its line");
    }
  };
  note(kLocalLimitAnnotation, parse_local_limits);
  note(kGlobalLimitAnnotation, parse_global_limits);
}

}  // namespace mesh::control
