#pragma once
// What every subcommand shares: the choices made on the command line, and the exit code.

#include <nlohmann/json_fwd.hpp>

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

class Cluster;

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
  std::string weft_ns = "weft-system";    // where Weft is
  std::vector<std::string> command = {};  // what stands behind "--"
};

// Prints the value as -o says: as JSON, as YAML, or else `table`.
void print(const Session& session, const nlohmann::json& value, const std::string& table);

// Prints "weft: SENTENCE" on stderr; returns kFailed.
int complain(const std::string& sentence);

// The cluster that --kubeconfig and --context mean; without these and $KUBECONFIG that of a lab on
// Kubernetes, whose network this process enters for good.
Outcome<Cluster> open_cluster(const Session& session);

// Whether a cluster is meant: by -k, --kubeconfig, --context, because the lab is on one, or, when
// nothing says which lab, by $KUBECONFIG or because there is no lab.
bool asks_cluster(const Session& session);

// The control servers that are meant: what --control names, or else the cluster's, all replicas,
// or else the lab's. Never empty.
Outcome<std::vector<ControlTarget>> control_targets(const Session& session);

}  // namespace mesh::cli
