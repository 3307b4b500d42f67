#pragma once
// `weft install`, `upgrade` and `uninstall`: the charts on a cluster, without Helm.
//
// Objects are applied server-side as the field manager "weft"; what somebody else has set is a
// conflict, unless forced. The values given are kept in the ConfigMap NAME-release, and an upgrade
// starts from them. What Helm installed is left to Helm.

#include <chrono>
#include <string>
#include <vector>

#include "cli/session.h"

namespace mesh::cli {

struct InstallOptions {
  std::string name = "weft";
  std::string ns = "weft-system";
  std::vector<std::string> files = {};  // of values; later ones win
  std::vector<std::string> sets = {};   // KEY=VALUE; win over files
  bool reset_values = false;            // upgrade: do not start from the values of before
  bool dry_run = false;
  bool force = false;  // take fields that others have set
  bool wait = true;
  bool purge = false;  // uninstall: the namespace too, and with it the root's key
  std::chrono::milliseconds timeout{180'000};
};

// Exit codes: kOk; kFailed; kTimedOut: all is applied, but does not run yet.
int install(const Session& session, const InstallOptions& options);
int upgrade(const Session& session, const InstallOptions& options);
int uninstall(const Session& session, const InstallOptions& options);

}  // namespace mesh::cli
