#pragma once
// What every subcommand shares: the choices made on the command line, and the exit code.

#include <string>
#include <vector>

#include "cli/control_client.h"
#include "cli/lab/record.h"
#include "cli/outcome.h"

namespace mesh::cli {

// Exit codes, the same for every subcommand (lab exec answers with its command's).
inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;    // said why on stderr
inline constexpr int kUsage = 2;     // the command line was not understood
inline constexpr int kTimedOut = 3;  // weft wait: not everywhere in time
inline constexpr int kDenied = 4;    // weft explain: the connection would be refused
inline constexpr int kFindings = 5;  // weft check, weft analyze: something is wrong, and is named

struct Session {
  int code = kOk;
  std::string lab = "";
  std::string output = "table";
  std::string control = "";               // http://ADDRESS:15014, instead of a lab's
  std::string token_file = "";            // for it
  std::string kubeconfig = "";            // of a cluster; "": what the environment says
  std::string context = "";               // of the kubeconfig
  bool kubernetes = false;                // ask a cluster, not a lab
  std::string ns = "";                    // -n; "": the context's
  std::vector<std::string> command = {};  // what stands behind "--"

  bool json() const { return output == "json"; }
};

// Prints "weft: SENTENCE" on stderr; returns kFailed.
int complain(const std::string& sentence);

// The control server that --control names, or else the lab's.
Outcome<ControlTarget> control_target(const Session& session);

}  // namespace mesh::cli
