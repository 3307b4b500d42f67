#pragma once
// One lab, from `up` to `down`: a process that owns everything the lab is made of, and takes it
// down when it ends for whatever reason it can still act on.

#include <sys/types.h>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cli/lab/kubelet.h"
#include "cli/lab/options.h"
#include "cli/lab/packet_socket.h"
#include "cli/lab/programs.h"
#include "cli/lab/record.h"
#include "cli/outcome.h"

namespace mesh::cli::lab {

// Takes apart what the record names: processes, control groups, namespaces, the run folder. Safe to
// repeat, and to call when the supervisor has died. Errors: the first thing that would not go.
Outcome<Done> tear_down(const Record& record);

class Supervisor {
 public:
  // `progress_fd` hears one line a step; when its reader goes away before the lab is ready, the lab
  // is given up. Call in a process of its own: signals are blocked and children are reaped.
  Supervisor(UpOptions options, int progress_fd);
  ~Supervisor();

  // Brings the lab up and keeps it until SIGTERM, SIGINT or `weft lab down`; returns when nothing
  // is left of it. The exit code: 0, or 1 when it did not come up.
  int run();

 private:
  using Clock = std::chrono::steady_clock;
  struct Request {
    PacketSocket client;
    std::string packet;
  };

  Outcome<Done> bring_up();
  Outcome<Done> make_run_folder();
  Outcome<Done> plan_nodes();
  Outcome<Done> make_network();
  Outcome<Done> start_programs();
  Outcome<Done> start_program(const std::string& name, std::chrono::seconds within);
  Outcome<Done> wait_for_pods();
  Outcome<Done> wait_for_sync();
  void serve();

  // Runs the event loop until `done`. Errors: stopped by a signal; the deadline.
  Outcome<Done> run_until(const std::function<bool()>& done, std::chrono::milliseconds within,
                          const std::string& what);
  void poll_once(std::chrono::milliseconds at_most);
  void read_signals();
  void read_folder_events();
  void read_request();
  std::string answer(const std::string& packet);
  Outcome<Done> handle_program(const std::string& op, const std::string& name, int signal);
  void publish();
  void say(const std::string& line);
  void log(const std::string& line);

  UpOptions options_;
  Record record_;
  int progress_fd_;
  int signal_fd_ = -1;
  int folder_fd_ = -1;
  int lock_fd_ = -1;
  bool stopping_ = false;
  bool folder_dirty_ = false;
  std::string published_;  // lab.json as last written
  std::optional<PacketSocket> socket_;
  std::deque<Request> requests_;
  std::unique_ptr<Programs> programs_;
  std::unique_ptr<Kubelet> kubelet_;
};

}  // namespace mesh::cli::lab
