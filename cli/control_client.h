#pragma once
// Questions to a control server's debug pages (port 15014).

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "cli/http.h"
#include "cli/lab/record.h"
#include "cli/outcome.h"

namespace mesh::cli {

// A server of control, and how to ask it.
struct ControlTarget {
  std::string name = "control";  // its pod's, on a cluster
  // The answer of a page, as it is. Waits.
  std::function<Outcome<HttpAnswer>(HttpMethod, const std::string& path)> ask;
};

// The control server of a lab, or at `url` (http://ADDRESS:15014) with the token in a file.
ControlTarget control_of(const lab::Record& record);
Outcome<ControlTarget> control_at(const std::string& url, const std::string& token_file);

// The body of a 200 answer. Errors: no answer, another status and what it said.
Outcome<std::string> control_get(const ControlTarget& target, const std::string& path);
Outcome<std::string> control_post(const ControlTarget& target, const std::string& path);

// "FILE:LINE: OBJECT: FIELD: what is wrong; what holds", for every error in the manifests.
Outcome<std::vector<std::string>> control_problems(const ControlTarget& target);

struct NodeSync {
  std::string node = "";
  bool connected = false;
  std::uint64_t acked = 0;
  int pending = 0;  // answers outstanding
  int pods = 0;     // enrolled pods there
  std::string last_nack = "";
  std::map<std::string, std::string> types = {};  // of a waypoint: "CDS" and its state
};

struct Sync {
  std::uint64_t version = 0;
  std::vector<NodeSync> nodes;
  std::vector<NodeSync> waypoints = {};  // "NAMESPACE/POD"
};
Outcome<Sync> control_sync(const ControlTarget& target);
Outcome<Sync> parse_sync(const std::string& json);

// "10.0.0.1" as it goes into a query string.
std::string url_encoded(const std::string& text);

}  // namespace mesh::cli
