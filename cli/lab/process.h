#pragma once
// Starting a program in its place: a control group, a network namespace, its own /etc/resolv.conf
// and /etc/hosts, a log file. And running a short helper to its end.

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli::lab {

// Where a process runs. Empty fields mean "as the caller".
struct Place {
  std::string cgroup = "";       // path of the group's folder
  std::string netns = "";        // path of the network namespace
  std::string resolv_conf = "";  // shown to the process as /etc/resolv.conf
  std::string hosts = "";        // shown to the process as /etc/hosts
  std::string working_dir = "";
};

struct Launch {
  Place place{};
  std::vector<std::string> argv = {};  // argv[0] is looked up in PATH
  std::vector<std::string> env = {};   // NAME=VALUE, beside PATH, HOME, LANG
  std::string log = "";                // stdout and stderr are appended here; stdin is /dev/null
};

// Starts it in a session of its own. Errors name the step that failed: the program is not found,
// the namespace cannot be entered, …; then no process is left.
Outcome<pid_t> launch(const Launch& what);

// Moves the calling process into the place, for `weft lab exec`.
Outcome<Done> enter(const Place& place);

// Runs argv with `input` on its stdin, waits for it, and returns its stdout.
// Errors: its stderr, when it does not exit with 0.
Outcome<std::string> run(const std::vector<std::string>& argv, const std::string& input = "");

}  // namespace mesh::cli::lab
