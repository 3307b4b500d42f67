#pragma once
// Telling a node's agent which pods take part in the mesh. One connection a call.

#include <set>
#include <string>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli::lab {

struct AgentPod {
  std::string uid = "";
  std::string name = "";
  std::string ns = "";
  std::string service_account = "";
  std::vector<std::string> ips = {};
  std::string netns = "";  // path of its network namespace; its descriptor is sent along
};

// Returns when capture is attached and, if a ztunnel is connected, it has taken the pod.
Outcome<Done> agent_add(const std::string& socket, const AgentPod& pod);
Outcome<Done> agent_del(const std::string& socket, const std::string& uid);
// The uids that the agent knows.
Outcome<std::set<std::string>> agent_list(const std::string& socket);

// The pure parts: an answer that agrees or says why not, and the uids it lists.
Outcome<Done> agent_said(const std::string& text);
std::set<std::string> listed_uids(const std::string& text);

}  // namespace mesh::cli::lab
