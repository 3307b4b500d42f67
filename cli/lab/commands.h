#pragma once
// `weft lab …`: what each subcommand does. Each returns the program's exit code, and has printed
// its own errors.

#include <string>
#include <vector>

#include "cli/lab/options.h"
#include "cli/session.h"

namespace mesh::cli::lab {

struct StopOptions {
  std::string lab;
  std::string program;
  bool kill = false;  // SIGKILL instead of SIGTERM
};

int up(UpOptions options, bool foreground);
int down(const std::string& lab, bool all);
int list(const Session& session);
int status(const Session& session);
int logs(const std::string& lab, const std::string& name, bool follow);
int exec(const std::string& lab, const std::string& where, const std::vector<std::string>& command);
// Refuses a manifest that is not valid, and changes nothing then.
int apply(const std::string& lab, const std::vector<std::string>& files);
int remove(const std::string& lab, const std::vector<std::string>& what, const std::string& file);
// The names that completion offers: "labs", "exec", "logs", or programs for anything else.
int names(const std::string& lab, const std::string& what);
// Runs DIR/demo.py with $WEFT set to this program.
int demo(const std::string& folder, const std::vector<std::string>& arguments);
int program(const std::string& op, const StopOptions& options);  // stop, start, restart

}  // namespace mesh::cli::lab
