#include <algorithm>
#include <charconv>

#include "waypoint/limits/local_limit.h"

namespace mesh::waypoint::limits {

namespace {

std::optional<std::uint32_t> header_number(const http::Request& request, std::string_view name) {
  const auto text = http::header_text(request.headers, name);
  std::uint32_t number = 0;
  const char* const last = text.text().data() + text.text().size();
  const auto [end, error] = std::from_chars(text.text().data(), last, number);
  if (text.text().empty() || error != std::errc() || end != last) return std::nullopt;
  return number;
}

// A header may ask for less than the configuration allows, never for more.
bool chosen(const config::Fraction& allowed, bool from_header, const http::Request& request,
            std::string_view percentage_header, http::Dice& dice) {
  config::Fraction fraction = allowed;
  if (from_header) {
    if (const auto asked = header_number(request, percentage_header)) {
      fraction.numerator = std::min(fraction.numerator, *asked);
    }
  }
  return fraction.hit(dice.roll());
}

void decide_delay(const config::Fault::Delay& delay, const http::Request& request, http::Dice& dice,
                  FaultDecision& decision) {
  std::chrono::milliseconds wait = delay.fixed;
  if (delay.from_header) {
    const auto asked = header_number(request, "x-envoy-fault-delay-request");
    if (!asked) return;
    wait = std::chrono::milliseconds(*asked);
  }
  if (wait.count() <= 0) return;
  if (chosen(delay.percentage, delay.from_header, request, "x-envoy-fault-delay-request-percentage",
             dice)) {
    decision.delay = wait;
  }
}

void decide_abort(const config::Fault::Abort& abort, const http::Request& request, http::Dice& dice,
                  FaultDecision& decision) {
  std::uint16_t status = abort.http_status;
  std::optional<std::uint32_t> grpc = abort.grpc_status;
  if (abort.from_header) {
    const auto asked = header_number(request, "x-envoy-fault-abort-request");
    grpc = header_number(request, "x-envoy-fault-abort-grpc-request");
    status = asked && *asked >= 200 && *asked < 600 ? static_cast<std::uint16_t>(*asked) : 0;
  }
  if (status == 0 && !grpc) return;
  if (!chosen(abort.percentage, abort.from_header, request,
              "x-envoy-fault-abort-request-percentage", dice)) {
    return;
  }
  decision.abort_grpc = grpc;
  decision.abort_status = grpc ? 200 : status;
}

}  // namespace

FaultDecision decide_fault(const config::Fault& fault, const http::Request& request,
                           std::string_view cluster, std::uint64_t active, http::Dice& dice) {
  FaultDecision decision;
  if (!fault.upstream_cluster.empty() && fault.upstream_cluster != cluster) return decision;
  if (fault.max_active > 0 && active >= fault.max_active) return decision;
  for (const config::HeaderMatch& match : fault.headers) {
    if (!match.holds_for(http::header_text(request, match.name).value())) return decision;
  }
  if (fault.delay) decide_delay(*fault.delay, request, dice, decision);
  if (fault.abort) decide_abort(*fault.abort, request, dice, decision);
  return decision;
}

}  // namespace mesh::waypoint::limits
