#include "control/trust_domains.h"

#include <algorithm>
#include <utility>

namespace mesh::control {
namespace {

void expand(const std::vector<std::string>& domains, std::vector<std::string>& principals) {
  std::vector<std::string> all;
  const auto add = [&](std::string principal) {
    if (std::find(all.begin(), all.end(), principal) == all.end()) {
      all.push_back(std::move(principal));
    }
  };
  for (std::string& principal : principals) {
    const auto slash = principal.find('/');
    const std::string domain = principal.substr(0, slash);
    const bool ours = domain == "cluster.local" ||
                      std::find(domains.begin(), domains.end(), domain) != domains.end();
    if (slash == std::string::npos || !ours) {
      add(std::move(principal));
      continue;
    }
    for (const std::string& name : domains) add(name + principal.substr(slash));
  }
  principals = std::move(all);
}

}  // namespace

std::vector<std::string> trust_domains(const Settings& settings) {
  std::vector<std::string> domains{settings.trust_domain};
  for (const std::string& alias : settings.trust_domain_aliases) {
    if (std::find(domains.begin(), domains.end(), alias) == domains.end()) {
      domains.push_back(alias);
    }
  }
  return domains;
}

manifest::AuthorizationPolicy under_all_names(manifest::AuthorizationPolicy policy,
                                              const Settings& settings) {
  const std::vector<std::string> domains = trust_domains(settings);
  for (manifest::AuthorizationRule& rule : policy.rules) {
    for (manifest::Source& source : rule.from) {
      expand(domains, source.principals);
      expand(domains, source.not_principals);
    }
    for (manifest::Condition& when : rule.when) {
      if (when.key != "source.principal") continue;
      expand(domains, when.values);
      expand(domains, when.not_values);
    }
  }
  return policy;
}

}  // namespace mesh::control
