#pragma once
// lab.json: what a lab is made of, written before it is made, so that `weft lab down` can take it
// apart whatever happened, and every other command finds its way in.

#include <sys/types.h>

#include <string>
#include <vector>

#include "cli/outcome.h"

namespace mesh::cli::lab {

struct ProgramRecord {
  std::string name = {};   // control, NODE/agent, NODE/ztunnel
  std::string state = {};  // running, stopped, waiting (to be restarted)
  pid_t pid = 0;
  int restarts = 0;
};

struct NodeRecord {
  std::string name = {};
  std::string netns = {};
  std::vector<std::string> addresses = {};
  std::string agent_socket = {};
  std::string zds_socket = {};
};

struct PodRecord {
  std::string ns = {};
  std::string name = {};
  std::string uid = {};
  std::string node = {};
  std::string netns = {};
  std::string cgroup = {};
  std::string resolv_conf = {};
  std::string hosts = {};
  std::string working_dir = {};
  std::string phase = {};
  std::string message = {};  // why it is not running
  std::vector<std::string> addresses = {};
  std::vector<pid_t> pids = {};
  bool enrolled = false;
  bool ready = false;
  int restarts = 0;

  std::string key() const { return ns + "/" + name; }
};

struct Record {
  std::string name = {};
  std::string folder = {};  // the run folder
  std::string source = {};  // the folder it was copied from
  std::string state = {};   // starting, ready, stopping
  std::string cgroup = {};
  std::string link_netns = {};
  pid_t supervisor = 0;
  bool mesh = true;
  // Of a lab on Kubernetes: how to reach its API server from the link, and where kubectl is.
  std::string kubeconfig = {};
  std::string tools = {};
  std::vector<NodeRecord> nodes = {};
  std::vector<ProgramRecord> programs = {};
  std::vector<PodRecord> pods = {};

  std::string manifests() const { return folder + "/manifests"; }
  std::string control_state() const { return folder + "/control"; }
  std::string socket() const { return folder + "/lab.sock"; }
  std::string lock() const { return folder + "/lock"; }
  // "node-1/ztunnel" -> FOLDER/logs/node-1.ztunnel.log
  std::string log_of(const std::string& name) const;
  const NodeRecord* node(const std::string& name) const;
};

inline constexpr const char* kLabsFolder = "/run/weft/lab";

std::string to_json(const Record& record);
Outcome<Record> from_json(const std::string& text);

Outcome<Done> write_record(const Record& record);
Outcome<Record> read_record(const std::string& name);
// Names of all labs that left a record, running or not.
std::vector<std::string> lab_names();
// True while the lab's supervisor lives: it holds a lock on the record's folder.
bool is_alive(const Record& record);

// The lab that is meant: `name`, or $WEFT_LAB, or the only one there is.
// Errors: none is running; several are, and they are named.
Outcome<Record> find_lab(const std::string& name);
// The same, but for labs on Kubernetes, which kubectl is for.
Outcome<Record> find_folder_lab(const std::string& name);
// A pod by "NAMESPACE/NAME", or by a name that only one pod has.
Outcome<PodRecord> find_pod(const Record& record, const std::string& name);

}  // namespace mesh::cli::lab
