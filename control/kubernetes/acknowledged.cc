#include "control/kubernetes/acknowledged.h"

#include "mesh/net/spiffe_id.h"

namespace mesh::control::kubernetes {
namespace {

constexpr std::string_view kNode = "node ";

// A node's ztunnel has use of an identity while a pod there has that service account.
bool is_of_use(const Snapshot& snapshot, const std::string& holder, const std::string& identity) {
  if (!holder.starts_with(kNode)) return true;
  const auto node = snapshot.nodes.find(std::string_view(holder).substr(kNode.size()));
  if (node == snapshot.nodes.end()) return false;
  const auto id = net::SpiffeId::parse(identity);
  return !id || node->second->accounts.contains(id->ns() + "/" + id->service_account());
}

}  // namespace

std::vector<Unacknowledged> unacknowledged(const Snapshot& snapshot, std::string_view roots_pem,
                                           const std::vector<Write>& maps, ca::Holders& holders,
                                           std::int64_t now) {
  std::vector<Unacknowledged> waiting;
  for (const Write& write : maps) {
    waiting.push_back(
        {"namespace " + write.target.ns, "ConfigMap " + write.target.name + " is not written"});
  }
  const auto left =
      holders.without(ca::bundle_of(roots_pem), now, [&](const auto& holder, const auto& identity) {
        return is_of_use(snapshot, holder, identity);
      });
  for (const ca::Holders::Waiting& one : left) {
    std::string what = std::to_string(one.count) + " certificates from before";
    for (const std::string& identity : one.identities) what += " " + identity;
    waiting.push_back({one.holder, std::move(what)});
  }
  return waiting;
}

}  // namespace mesh::control::kubernetes
