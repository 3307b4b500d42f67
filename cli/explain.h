#pragma once
// `weft explain FROM TO:PORT`: would this connection be allowed, and which rule of which policy
// decides? Asks the running control server, which decides as ztunnel does.

#include <string>

#include "cli/session.h"

namespace mesh::cli {

struct ExplainQuestion {
  std::string from;  // NAMESPACE/POD, or a pod's name that is unique in the lab
  std::string to;    // a service's name, an address, or NAMESPACE/POD
  int port = 0;
};

// "cart.shop:80", "10.0.0.1:80", "[fd00::1]:80", "shop/cart:8000".
Outcome<ExplainQuestion> parse_question(const std::string& from, const std::string& target);

// What control says about it.
struct Explanation {
  bool allowed = false;
  std::string text = {};  // lines: who decided and why, every policy, every endpoint
  std::string json = {};
};
// Errors: the asker's (no such pod), in control's words; not an explanation.
Outcome<Explanation> read_explanation(const std::string& body);

// kOk when it would be allowed, kDenied when not.
int explain(const Session& session, const std::string& from, const std::string& target);

}  // namespace mesh::cli
