#pragma once
// `weft bug-report`: what somebody needs to see to help, in one tar file: objects, logs, what
// proxies are configured with, what each replica of control says of itself. No secret is in it.

#include <map>
#include <string>

#include "cli/kubernetes/cluster.h"
#include "cli/session.h"

namespace mesh::cli {

int bug_report(const Session& session, const std::string& path);

// By name in the archive. What cannot be read is a line in "problems.txt".
std::map<std::string, std::string> gather_report(Cluster& cluster, const std::string& ns);

// A POSIX tar of the files., names of any length. Pure.
std::string tar_of(const std::map<std::string, std::string>& files, std::int64_t when);

}  // namespace mesh::cli
