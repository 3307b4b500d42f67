#pragma once
// What the lab's scheduler and kubelet need to know of a Pod, a Service and a Namespace: values
// read from a Document, and the objects written back with what was decided.

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/lab/document.h"
#include "cli/outcome.h"

namespace mesh::cli::lab {

// A readiness probe. The lab runs it from inside the pod's network namespace, to the pod's own
// address, so that it does not depend on the mesh's policies.
struct Probe {
  enum class Kind { kNone, kTcp, kHttp, kExec };
  Kind kind = Kind::kNone;
  int port = 0;
  std::string path = "/";
  std::vector<std::string> command = {};
  std::chrono::seconds initial_delay{0};
  std::chrono::seconds period{10};
  std::chrono::seconds timeout{1};
  int failure_threshold = 3;
};

struct Container {
  std::string name;
  std::vector<std::string> command;  // command and args
  std::map<std::string, std::string> env;
  std::string working_dir;
  Probe readiness;
};

enum class RestartPolicy { kAlways, kOnFailure, kNever };

struct Pod {
  std::string ns;
  std::string name;
  std::string service_account = "default";
  std::string node;            // "" until the scheduler chose one
  std::string dataplane_mode;  // the label's value, "" when absent
  std::vector<Container> containers;
  RestartPolicy restart = RestartPolicy::kAlways;
  std::chrono::seconds grace{30};
  std::string fingerprint;  // equal for equal specs; status and annotations do not count
  std::string json;         // the whole object, as last written or read

  std::string key() const { return ns + "/" + name; }
};

struct Service {
  std::string ns;
  std::string name;
  bool wants_address = true;  // neither headless nor an external name
  bool wants_v4 = true;
  bool wants_v6 = false;
  std::vector<std::string> addresses;  // those it has
  std::map<std::string, std::string> selector;
  std::string json;

  std::string key() const { return ns + "/" + name; }
};

// Errors: "FILE:LINE: field: what is wrong".
Outcome<Pod> read_pod(const Document& document);
Outcome<Service> read_service(const Document& document);

// The value of istio.io/dataplane-mode (or weft.dev/dataplane-mode) in the object's labels.
std::string dataplane_mode(const Document& document);

// A Pod with the annotation lab.weft.dev/managed: "false" is somebody else's to run: the lab leaves
// it alone, and control sees it as it is written.
bool is_kept_by_others(const Document& document);

// A pod is enrolled when its own label says so, else when its namespace's does.
bool is_enrolled(const Pod& pod, const std::string& namespace_mode);

// What the kubelet reports of a pod.
struct PodStatus {
  std::string uid;
  std::string node;
  std::string host_ip;
  std::vector<std::string> ips;
  std::string phase;  // Pending, Running, Succeeded, Failed
  bool ready = false;
  int restarts = 0;
};
std::string with_status(const Pod& pod, const PodStatus& status);
std::string with_addresses(const Service& service, const std::vector<std::string>& addresses);
std::string node_object(const std::string& name, const std::vector<std::string>& addresses);

// True when every pair of `selector` is among the pod's labels; an empty selector matches nothing.
bool selects(const Service& service, const Pod& pod);

}  // namespace mesh::cli::lab
