#include "waypoint/secrets.h"

#include <algorithm>
#include <utility>

namespace mesh::waypoint {
namespace {

using Found = std::map<std::string, config::SecretPtr>;

void fill(config::UpstreamTls& tls, const Found& found) {
  if (const auto at = found.find(std::exchange(tls.certificate_secret, {})); at != found.end()) {
    const config::UpstreamTls& part = at->second->part;
    tls.certificate_file = part.certificate_file;
    tls.key_file = part.key_file;
    tls.certificate_pem = part.certificate_pem;
    tls.key_pem = part.key_pem;
  }
  if (const auto at = found.find(std::exchange(tls.roots_secret, {})); at != found.end()) {
    const config::UpstreamTls& part = at->second->part;
    tls.trusted_ca = part.trusted_ca;
    tls.trusted_ca_is_file = part.trusted_ca_is_file;
    tls.uri_names.insert(tls.uri_names.end(), part.uri_names.begin(), part.uri_names.end());
    tls.dns_names.insert(tls.dns_names.end(), part.dns_names.begin(), part.dns_names.end());
  }
}

// A certificate where roots were asked for is as good as none.
bool fits(const config::UpstreamTls& tls, const std::string& name, const config::Secret& secret) {
  return (name != tls.certificate_secret || secret.part.trusted_ca.empty()) &&
         (name != tls.roots_secret || !secret.part.trusted_ca.empty());
}

bool fits(const config::Cluster& cluster, const std::string& name, const config::Secret& secret) {
  return (!cluster.tls || fits(*cluster.tls, name, secret)) &&
         (!cluster.tls_istio || fits(*cluster.tls_istio, name, secret));
}

void add_names(const config::Cluster& cluster, Secrets::Names& names) {
  for (const auto* tls : {&cluster.tls, &cluster.tls_istio}) {
    if (!*tls) continue;
    for (const std::string* name : {&(*tls)->certificate_secret, &(*tls)->roots_secret}) {
      if (!name->empty()) names.insert(*name);
    }
  }
}

}  // namespace

Secrets::Names Secrets::names_of(const Clusters& clusters) {
  Names names;
  for (const auto& [name, cluster] : clusters) add_names(*cluster, names);
  return names;
}

void Secrets::take(const std::string& name, config::Secret secret) {
  secrets_[name] = std::make_shared<const config::Secret>(std::move(secret));
  given_up_.erase(name);
}

config::ClusterPtr Secrets::fill_in(const config::ClusterPtr& cluster) {
  Names names;
  add_names(*cluster, names);
  if (names.empty()) return cluster;
  Found with;
  for (const std::string& name : names) {
    const auto found = secrets_.find(name);
    if (found == secrets_.end() || !fits(*cluster, name, *found->second)) return nullptr;
    with.insert(*found);
  }
  Filled& filled = filled_[cluster->name];
  if (filled.from == cluster && filled.with == with) return filled.made;
  auto made = std::make_shared<config::Cluster>(*cluster);
  if (made->tls) fill(*made->tls, with);
  if (made->tls_istio) fill(*made->tls_istio, with);
  filled = {.from = cluster, .made = std::move(made), .with = std::move(with)};
  return filled.made;
}

bool Secrets::any_due(const config::Cluster& cluster) const {
  Names names;
  add_names(cluster, names);
  return std::ranges::any_of(names, [&](const std::string& name) {
    return !secrets_.contains(name) && !given_up_.contains(name);
  });
}

void Secrets::give_up(const std::string& name) {
  if (!secrets_.contains(name)) given_up_.insert(name);
}

void Secrets::keep_only(const Clusters& clusters) {
  const Names wanted = names_of(clusters);
  std::erase_if(secrets_, [&](const auto& item) { return !wanted.contains(item.first); });
  std::erase_if(given_up_, [&](const auto& name) { return !wanted.contains(name); });
  std::erase_if(filled_, [&](const auto& item) { return !clusters.contains(item.first); });
}

}  // namespace mesh::waypoint
