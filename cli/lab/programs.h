#pragma once
// The mesh's own programs in a lab: one weft-control on the link, a weft-agent and a weft-ztunnel
// on each node. Started, stopped when told, and restarted when they end on their own, as a
// DaemonSet would: after 1 s, then 2, 4, … 30.

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/lab/options.h"
#include "cli/lab/process.h"
#include "cli/lab/record.h"
#include "cli/outcome.h"

namespace mesh::cli::lab {

using Clock = std::chrono::steady_clock;

// Where an executable of ours is: $WEFT_PROGRAMS, beside `weft`, in the build tree, in PATH.
Outcome<std::string> find_program(const std::string& name);

class Programs {
 public:
  // Borrows the record; keeps record.programs current.
  Programs(Record& record, const UpOptions& options) : record_(record), options_(options) {}

  // Writes the tokens and fills record.programs; starts nothing.
  Outcome<Done> prepare();
  Outcome<Done> start(const std::string& name);
  // Sends the signal; it is not restarted until start().
  Outcome<Done> stop(const std::string& name, int signal);
  bool is_running(const std::string& name) const;
  // It answers: control's and ztunnel's readiness page, the agent's socket.
  bool is_ready(const std::string& name) const;
  // "node-1/ztunnel", or every program of that last name. Errors: there is none.
  Outcome<std::vector<std::string>> resolve(const std::string& name) const;

  // A child ended. True if it was one of these.
  bool ended(pid_t pid, int wait_status);
  // How the last one ended; with the end of its log when it should have gone on.
  std::string last_words() const { return last_words_; }
  // Starts what is due; returns when to call again.
  std::optional<Clock::time_point> tick(Clock::time_point now);

 private:
  struct Program {
    std::string name;
    Launch launch;
    pid_t pid = 0;
    bool wanted = false;
    int restarts = 0;
    int quick_ends = 0;
    Clock::time_point started{};
    std::optional<Clock::time_point> restart_at{};
  };
  Program* find(const std::string& name);
  const Program* find(const std::string& name) const;
  Outcome<Done> add(const std::string& name, const std::string& executable,
                    std::vector<std::string> arguments, const Place& place,
                    std::vector<std::string> env);
  Outcome<Done> add_control();
  Outcome<Done> add_node(const NodeRecord& node);
  Outcome<Done> launch_now(Program& program);
  void publish();

  Record& record_;
  const UpOptions& options_;
  std::vector<Program> programs_;
  std::string last_words_;
};

}  // namespace mesh::cli::lab
