#pragma once
// `weft wait KIND NAME --for applied`: until every node has an object as it is now, by the word of
// every replica of control.

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "cli/kubernetes/cluster.h"
#include "cli/session.h"
#include "mesh/manifest/objects.h"

namespace mesh::cli {

struct WaitOptions {
  std::vector<std::string> object = {};  // KIND NAME, KIND/NAME; empty: everything
  bool deleted = false;                  // until nobody has it any more
  std::chrono::milliseconds timeout{60000};
};

int wait_for_object(const Session& session, const WaitOptions& options);

struct ObjectName {
  // None: a ConfigMap, which may hold the mesh's configuration.
  std::optional<manifest::Kind> kind = {};
  std::string ns;
  std::string name;
};

// "authorizationpolicy/web", "Service" "web", "httproutes.gateway.networking.k8s.io" "shop/web".
// Errors: a kind that control does not read, and what to wait for instead; not two words.
Outcome<ObjectName> object_name(const std::vector<std::string>& words, const std::string& ns);

// What a replica's /debug/applied says.
struct AppliedAnswer {
  std::string replica;
  Outcome<Done> answered;
  bool known = false;
  std::uint64_t version = 0;
  std::vector<std::string> current = {}, pending = {}, absent = {};
  std::string refused = {};
  std::string not_read = {};  // why nothing of the mesh is in it
};
AppliedAnswer read_applied(const std::string& replica, const Outcome<std::string>& page);

// Empty: it is applied. A node that one replica does not see must be current with another.
std::string waiting_for(const std::vector<AppliedAnswer>& answers);

}  // namespace mesh::cli
