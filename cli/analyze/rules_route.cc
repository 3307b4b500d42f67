#include <algorithm>
#include <set>

#include "cli/analyze/finding.h"

namespace mesh::cli {
namespace {

using manifest::Backend;
using manifest::Metadata;
using manifest::Target;

bool is_granted(const Inventory& all, const char* kind, const std::string& from,
                const Target& target) {
  return std::ranges::any_of(all.all<manifest::ReferenceGrant>(), [&](const auto& grant) {
    if (grant->metadata.ns != target.ns) return false;
    const bool who = std::ranges::any_of(grant->from, [&](const manifest::GrantFrom& one) {
      return one.group == "gateway.networking.k8s.io" && one.kind == kind && one.ns == from;
    });
    const bool what = std::ranges::any_of(grant->to, [&](const manifest::GrantTo& one) {
      return one.group == target.group && one.kind == target.kind &&
             (one.name.empty() || one.name == target.name);
    });
    return who && what;
  });
}

class RouteCheck {
 public:
  RouteCheck(const Inventory& all, const char* kind, const Metadata& route, const Place& place,
             Findings& found)
      : all_(all), kind_(kind), route_(route), place_(place), found_(found) {}

  void target(Target target) {
    if (target.kind != "Service" || !target.group.empty()) return;
    if (target.ns.empty()) target.ns = route_.ns;
    const std::string name = "Service " + target.ns + "/" + target.name;
    if (!told_.insert(name + ":" + std::to_string(target.port)).second) return;
    if (target.ns != route_.ns && !is_granted(all_, kind_, route_.ns, target)) {
      say("WEFT010", name + " is in another namespace, which does not grant the reference",
          "add a ReferenceGrant in " + target.ns + " from " + kind_ + " of " + route_.ns +
              " to Service " + target.name);
      return;
    }
    const auto* service = all_.find<manifest::Service>(target.ns, target.name);
    if (service == nullptr) {
      say("WEFT009", "there is no " + name + ": requests are answered with 500",
          "correct the backendRef, or make the Service");
      return;
    }
    const bool has_port =
        target.port == 0 ||
        std::ranges::any_of(service->ports, [&](const manifest::ServicePort& port) {
          return port.port == target.port;
        });
    if (!has_port) {
      say("WEFT009", name + " has no port " + std::to_string(target.port),
          "name one of the Service's ports");
    }
  }

  void backends(const std::vector<Backend>& backends) {
    for (const Backend& one : backends) {
      target(one.target);
      mirrors(one.filters);
    }
  }

  void mirrors(const manifest::RouteFilters& filters) {
    for (const manifest::Mirror& one : filters.mirrors) target(one.target);
  }

 private:
  void say(const char* code, std::string message, std::string fix) {
    found_.push_back({.weight = Weight::kError,
                      .code = code,
                      .object = std::string(kind_) + " " + route_.ns + "/" + route_.name,
                      .place = place_,
                      .message = std::move(message),
                      .fix = std::move(fix)});
  }

  const Inventory& all_;
  const char* kind_;
  const Metadata& route_;
  const Place& place_;
  Findings& found_;
  std::set<std::string> told_;
};

// Routes with HTTP's filters, and those without.
template <class Route>
void check_requests(const Inventory& all, const char* kind, Findings& found) {
  for (const auto& route : all.all<Route>()) {
    RouteCheck check(all, kind, route->metadata, *route.place, found);
    for (const auto& rule : route->rules) {
      check.backends(rule.backends);
      check.mirrors(rule.filters);
    }
  }
}

template <class Route>
void check_connections(const Inventory& all, const char* kind, Findings& found) {
  for (const auto& route : all.all<Route>()) {
    RouteCheck check(all, kind, route->metadata, *route.place, found);
    for (const auto& rule : route->rules) check.backends(rule.backends);
  }
}

}  // namespace

void find_route_faults(const Inventory& all, Findings& found) {
  check_requests<manifest::HttpRoute>(all, "HTTPRoute", found);
  check_requests<manifest::GrpcRoute>(all, "GRPCRoute", found);
  check_connections<manifest::TcpRoute>(all, "TCPRoute", found);
  check_connections<manifest::TlsRoute>(all, "TLSRoute", found);
}

}  // namespace mesh::cli
