#include "control/envoy/annotations.h"

#include "control/envoy/global_limits.h"
#include "control/envoy/health_checks.h"
#include "control/envoy/local_limits.h"
#include "control/envoy/own_balancer.h"

namespace mesh::control {
namespace {

using manifest::Kind;

template <class Parse>
std::string limits_fault(Kind kind, const manifest::Metadata& object, std::string_view annotation,
                         const Parse& parse) {
  if (kind != Kind::kHttpRoute && kind != Kind::kGrpcRoute && kind != Kind::kVirtualService) {
    return {};
  }
  const auto found = object.annotations.find(annotation);
  if (found == object.annotations.end()) return {};
  const auto limits = parse(found->second);
  return limits ? "" : limits.error() + ": its requests are answered 500";
}

// A rule, or what it is for.
bool is_called(Kind kind) {
  return kind == Kind::kDestinationRule || kind == Kind::kService || kind == Kind::kServiceEntry;
}

std::string checks_fault(Kind kind, const manifest::Metadata& object) {
  const std::string_view asked = is_called(kind) ? object.annotation(kHealthAnnotation) : "";
  if (asked.empty()) return {};
  const auto ask = parse_health_check(asked);
  return ask ? "" : ask.error() + ": nobody is checked";
}

std::string balancer_fault(Kind kind, const manifest::Metadata& object) {
  if (!is_called(kind)) return {};
  const std::string_view asked = object.annotation(kBalancerAnnotation);
  return asked.empty() || asked == kPeakEwma ? "" : "there is only " + std::string(kPeakEwma);
}

}  // namespace

std::vector<std::string> annotation_faults(Kind kind, const manifest::Metadata& object) {
  std::vector<std::string> faults;
  const auto add = [&](std::string_view annotation, const std::string& fault) {
    if (!fault.empty()) faults.push_back(std::string(annotation) + ": " + fault);
  };
  add(kLocalLimitAnnotation, limits_fault(kind, object, kLocalLimitAnnotation, parse_local_limits));
  add(kGlobalLimitAnnotation,
      limits_fault(kind, object, kGlobalLimitAnnotation, parse_global_limits));
  add(kBalancerAnnotation, balancer_fault(kind, object));
  add(kHealthAnnotation, checks_fault(kind, object));
  return faults;
}

}  // namespace mesh::control
