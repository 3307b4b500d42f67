#pragma once
// Questions to a control server's debug pages (port 15014).

#include <cstdint>
#include <string>
#include <vector>

#include "cli/lab/record.h"
#include "cli/outcome.h"

namespace mesh::cli {

struct ControlTarget {
  std::string url = "";    // http://ADDRESS:15014
  std::string token = "";  // of the debug pages
  std::string netns = "";  // name of the namespace to ask from; "" is the caller's
};

// The control server of a lab, or at `url` with the token in a file.
ControlTarget control_of(const lab::Record& record);
Outcome<ControlTarget> control_at(const std::string& url, const std::string& token_file);

// The body of a 200 answer. Errors: no answer, another status and what it said.
Outcome<std::string> control_get(const ControlTarget& target, const std::string& path);

// "FILE:LINE: FIELD: what is wrong", for every error in the manifests.
Outcome<std::vector<std::string>> control_problems(const ControlTarget& target);

struct NodeSync {
  std::string node = "";
  bool connected = false;
  std::uint64_t acked = 0;
  int pending = 0;  // answers outstanding
  int pods = 0;     // enrolled pods there
  std::string last_nack = "";
};

struct Sync {
  std::uint64_t version = 0;
  std::vector<NodeSync> nodes;

  // Empty when every node with enrolled pods has the version; else names those that do not.
  std::string waiting_for() const;
};
Outcome<Sync> control_sync(const ControlTarget& target);
Outcome<Sync> parse_sync(const std::string& json);

// "10.0.0.1" as it goes into a query string.
std::string url_encoded(const std::string& text);

}  // namespace mesh::cli
