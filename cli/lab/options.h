#pragma once
// What `weft lab up` was asked for.

#include <string>
#include <vector>

namespace mesh::cli::lab {

struct UpOptions {
  std::string source = "";                      // the folder of manifests
  std::string name = "";                        // of the lab
  bool kubernetes = false;                      // on a real API server
  bool mesh = true;                             // false: network and pods only, to compare with
  std::string certificate_lifetime = "";        // "" leaves control's default
  std::vector<std::string> control_flags = {};  // passed on as they are
  std::vector<std::string> agent_flags = {};
  std::vector<std::string> ztunnel_flags = {};
};

}  // namespace mesh::cli::lab
