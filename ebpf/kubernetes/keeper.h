#pragma once
// Keeper: who on this node is in the mesh, by labels. Facts from the API server and questions of
// the CNI plugin go in; enrolments, annotations and events come out. A state machine without I/O:
// time is a parameter.
//
// A pod that is wanted in the mesh starts only in it: the plugin's ADD waits, and then fails with
// the reason, while the API server has not told of the pod, or while the node has no ztunnel. A
// pod that runs already is enrolled when its labels say so and there is a ztunnel; its connections
// go on as they are. One that loses its label is let go: what runs through ztunnel goes on until it
// ends. What a ztunnel refuses is tried again for the same 5 s: one that ends refuses,
// and the next one is coming.
//
// Limits: as many waiting ADDs as the agent has callers; 8 s for facts, 5 s for a ztunnel; an
// event a minute, pod and reason.

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ebpf/agent_message.h"
#include "ebpf/enrolments.h"
#include "ebpf/kubernetes/facts.h"
#include "ebpf/zds_session.h"

namespace mesh::ebpf {

// What the Keeper writes to the API server; nobody waits for it.
class PodWriter {
 public:
  virtual ~PodWriter() = default;
  virtual void annotate(const PodFacts& pod, bool enrolled) = 0;
  virtual void warn(const PodFacts& pod, std::string_view reason, std::string_view message) = 0;
};

// The network namespaces of running pods, by uid; those that are not found are left out.
using FindNamespaces =
    std::function<std::map<std::string, UniqueFd>(const std::set<std::string>& uids)>;

class Keeper {
 public:
  // Borrows `enrolments` and `writer`.
  Keeper(std::vector<std::string> excluded_namespaces, Enrolments& enrolments, PodWriter& writer,
         FindNamespaces find);

  // The whole of a collection; one object of it.
  void set_pods(std::vector<PodFacts> pods);
  void put_pod(PodFacts pod);
  void remove_pod(const std::string& uid);
  void set_namespaces(std::vector<NamespaceFacts> namespaces);
  void put_namespace(const NamespaceFacts& ns);
  void remove_namespace(const std::string& name);

  // One of the kCni operations. Answers once, now or from a later call.
  void handle(AgentRequest request, std::vector<UniqueFd> descriptors, OnReply reply,
              Clock::time_point now);

  // Does what has become due. When to call it at the latest: wake().
  void advance(Clock::time_point now);
  Clock::time_point wake() const { return dirty_ ? Clock::time_point{} : wake_; }
  // Something that it has not been told of has changed: a ztunnel came.
  void touch() { dirty_ = true; }

  // Takes back what was written on the pods that are enrolled: the mesh leaves this node.
  void say_goodbye();

  struct Counts {
    std::size_t pods = 0, namespaces = 0, waiting = 0, notes = 0;
    bool complete = false;
  };
  Counts counts() const;

 private:
  struct Waiting {
    AgentRequest request;
    UniqueFd netns;
    OnReply reply;
    Clock::time_point since;
  };
  // What is remembered of a pod, for as long as its facts are there.
  struct Note {
    bool busy = false;  // an enrolment or a removal is on its way
    Clock::time_point try_after{};
    Clock::duration pause{};
    std::string refusal = {};            // of a start that is tried again
    bool annotated_as = false;           // what was written last
    Clock::time_point annotate_after{};  // the same again
    Clock::time_point gone_until{};      // its DEL has been: only an ADD brings it back
    std::map<std::string, Clock::time_point> warned;
  };

  const PodFacts* find(const AgentRequest& request) const;
  bool is_complete() const { return pods_known_ && namespaces_known_; }
  bool is_wanted(const PodFacts& pod) const;
  void add(Waiting waiting, Clock::time_point now);
  bool serve(Waiting& waiting, Clock::time_point now);
  void enrol_at_start(const PodFacts& pod, Waiting& waiting);
  void finish_start(const std::string& uid, Waiting waiting, const Enrolled& outcome);
  void check(const AgentRequest& request, const OnReply& reply) const;
  void del(const AgentRequest& request, const OnReply& reply, Clock::time_point now);
  std::vector<const PodInfo*> all_captured() const;
  void collect(const AgentRequest& request, const OnReply& reply);
  void reconcile(Clock::time_point now);
  void reconcile_leavers();
  void reconcile_joiners(Clock::time_point now);
  void reconcile_annotations(Clock::time_point now);
  void enrol_running(const PodFacts& pod, UniqueFd netns);
  void remove(const std::string& uid);
  void failed_try(const std::string& uid, Clock::time_point now);
  void warn(const PodFacts& pod, const std::string& reason, const std::string& message,
            Clock::time_point now);
  void sooner(Clock::time_point when);

  const std::vector<std::string> excluded_;
  Enrolments& enrolments_;
  PodWriter& writer_;
  const FindNamespaces find_;
  std::map<std::string, PodFacts> pods_;  // by uid
  std::map<std::string, DataplaneMode> namespaces_;
  bool pods_known_ = false, namespaces_known_ = false;
  std::map<std::string, Note> notes_;  // by uid
  std::vector<Waiting> waiting_;
  bool dirty_ = true;
  Clock::time_point now_{};
  Clock::time_point wake_ = Clock::time_point::max();
};

}  // namespace mesh::ebpf
