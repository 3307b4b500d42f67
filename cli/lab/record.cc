#include "cli/lab/record.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>

#include "cli/json.h"
#include "cli/lab/files.h"

namespace mesh::cli::lab {

using Json = nlohmann::json;

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(ProgramRecord, name, state, pid, restarts)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(NodeRecord, name, netns, addresses, agent_socket,
                                                zds_socket)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(PodRecord, ns, name, uid, node, netns, cgroup,
                                                resolv_conf, hosts, working_dir, phase, message,
                                                addresses, pids, enrolled, ready, restarts)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Record, name, folder, source, state, cgroup,
                                                link_netns, supervisor, mesh, kubeconfig, tools,
                                                nodes, programs, pods)

std::string Record::log_of(const std::string& program) const {
  std::string file = program;
  std::replace(file.begin(), file.end(), '/', '.');
  return folder + "/logs/" + file + ".log";
}

const NodeRecord* Record::node(const std::string& wanted) const {
  const auto found = std::find_if(nodes.begin(), nodes.end(),
                                  [&](const NodeRecord& one) { return one.name == wanted; });
  return found == nodes.end() ? nullptr : &*found;
}

std::string to_json(const Record& record) { return to_text(record, 2) + "\n"; }

namespace {

// No number of ours has a fraction, and one that has may not fit what it would be read into.
bool has_fraction(const Json& value) {
  return value.is_number_float() ||
         (value.is_structured() && std::any_of(value.begin(), value.end(), has_fraction));
}

}  // namespace

Outcome<Record> from_json(const std::string& text) {
  const Json object = parse_json(text);
  if (!object.is_object() || has_fraction(object)) return problem("not a lab's record");
  try {
    return object.get<Record>();
  } catch (const Json::exception& error) {
    return problem(std::string("not a lab's record: ") + error.what());
  }
}

Outcome<Done> write_record(const Record& record) {
  return write_file(record.folder + "/lab.json", to_json(record), 0600);
}

Outcome<Record> read_record(const std::string& name) {
  const std::string path = std::string(kLabsFolder) + "/" + name + "/lab.json";
  if (!exists(path)) return problem("no lab named " + name);
  TRY(const std::string text, read_file(path));
  auto record = from_json(text);
  if (!record) return problem(path + ": " + record.error());
  return record;
}

std::vector<std::string> lab_names() {
  std::vector<std::string> names;
  const auto folders = list_folder(kLabsFolder);
  if (!folders) return names;
  for (const std::string& name : *folders) {
    if (exists(std::string(kLabsFolder) + "/" + name + "/lab.json")) names.push_back(name);
  }
  return names;
}

bool is_alive(const Record& record) {
  const int fd = ::open(record.lock().c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool free = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
  ::close(fd);
  return !free;
}

Outcome<Record> find_lab(const std::string& name) {
  if (!name.empty()) return read_record(name);
  if (const char* chosen = std::getenv("WEFT_LAB"); chosen != nullptr && *chosen != '\0') {
    return read_record(chosen);
  }
  const auto names = lab_names();
  if (names.empty()) return problem("no lab is running (start one: weft lab up DIR)");
  if (names.size() == 1) return read_record(names[0]);
  std::string list;
  for (const std::string& one : names) list += " " + one;
  return problem("several labs are running; choose one with --lab:" + list);
}

Outcome<Record> find_folder_lab(const std::string& name) {
  TRY(Record record, find_lab(name));
  if (record.kubeconfig.empty()) return record;
  return problem("lab " + record.name + " is on Kubernetes: weft lab exec --lab " + record.name +
                 " link -- kubectl …");
}

Outcome<PodRecord> find_pod(const Record& record, const std::string& name) {
  std::vector<const PodRecord*> found;
  for (const PodRecord& pod : record.pods) {
    if (pod.key() == name || pod.name == name) found.push_back(&pod);
  }
  if (found.size() == 1) return *found[0];
  std::string list;
  for (const PodRecord& pod : record.pods) list += " " + pod.key();
  if (found.empty()) return problem("no pod named " + name + "; there are:" + list);
  return problem("several pods are named " + name + "; say which:" + list);
}

}  // namespace mesh::cli::lab
