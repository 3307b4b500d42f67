#pragma once
// Putting pods into the mesh and taking them out of it: what a Node does, for those who decide
// when.

#include <functional>
#include <string>
#include <vector>

#include "ebpf/pod.h"
#include "ebpf/unique_fd.h"

namespace mesh::ebpf {

struct Enrolled {
  std::string error = {};  // in words; empty: the pod's traffic is captured
  bool ztunnel = false;    // and a ztunnel has taken it
  bool captured = false;   // with an error too: ztunnel refused a pod that is captured
};

// Called once with the text of the answer.
using OnReply = std::function<void(std::string)>;

class Enrolments {
 public:
  virtual ~Enrolments() = default;

  // `netns` is the pod's network namespace. `done` is called once, perhaps before this returns.
  virtual void enrol(PodInfo pod, UniqueFd netns, std::function<void(Enrolled)> done) = 0;
  // `done` gets what went wrong; one that is not enrolled is fine.
  virtual void remove(const std::string& uid, std::function<void(std::string)> done) = 0;

  // As remove(), but the connections that run through ztunnel go on until they end; new ones pass
  // by it from now on. It is not enrolled any more, and may be enrolled again meanwhile.
  virtual void let_go(const std::string& uid) = 0;
  // Those whose last connections are waited for. remove() ends that.
  virtual std::vector<const PodInfo*> all_let_go() const = 0;

  // Null if it is not enrolled, or leaving. Good until the next call that is not const.
  virtual const PodInfo* enrolled(const std::string& uid) const = 0;
  virtual std::vector<const PodInfo*> all_enrolled() const = 0;
  virtual bool has_ztunnel() const = 0;
};

}  // namespace mesh::ebpf
