#pragma once
// Control's half of delta discovery, for one node, as a state machine at the message seam: it tells
// what changes, tells a new stream what that one lacks, and checks what the node answers:
//
//   what was understood is acknowledged, once, by its nonce; what was not is refused, by name
//   a stream that comes back knows what it has, and which of it it refused

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mesh/workload/delta.h"
#include "mesh/xds/ads_message.h"
#include "test/sim/model.h"

namespace mesh::sim {

class Control {
 public:
  Control(Findings& findings, std::string node) : findings_(findings), node_(std::move(node)) {}

  // What the node is to know changes: it is told at once, if it listens. What delta.rejected names
  // becomes garbage. `ends`: by pod, the number of the rule whose change is whole with this. The
  // first that is complete opens the conversation.
  void tell(const workload::Delta& delta, const std::map<int, std::size_t>& ends);
  // Responses that nobody asked for or that cannot be answered.
  void say_foreign_type();
  void say_without_nonce();

  // The node's stream begins; `fresh`: a process that knows nothing.
  void connected(bool fresh);
  void receive(const xds::DeltaRequest& request);
  // The next message; without a type only `ends` are meant, as of what was said before.
  struct Message {
    xds::DeltaResponse response = {};
    std::map<int, std::size_t> ends = {};
    std::vector<std::string> bad = {};  // what the answer must name; none: an ACK
  };
  std::optional<Message> next();

  bool all_answered() const { return unanswered_.empty() && queue_.empty(); }

 private:
  struct Resource {
    std::string version, bytes;
    bool bad = false;
  };
  struct PerType {
    std::map<std::string, Resource> resources;
    std::map<std::string, std::string> told;  // name to version; refused: without one
    bool subscribed = false;
  };
  PerType& of(xds::ResourceType type) { return types_[static_cast<std::size_t>(type)]; }
  void set(xds::ResourceType type, const std::string& name, std::string bytes, bool bad,
           Message& into);
  void remove(xds::ResourceType type, const std::string& name, Message& into);
  static void add(const std::string& name, const Resource& resource, Message& into);
  Message message(xds::ResourceType type);
  void begin(xds::ResourceType type);
  void answered(const xds::DeltaRequest& request);
  bool listens() const { return types_[0].subscribed && types_[1].subscribed; }

  Findings& findings_;
  std::string node_;
  std::array<PerType, xds::kResourceTypeCount> types_;
  std::map<int, std::size_t> ends_;  // of all that was told
  std::deque<Message> queue_;
  std::map<std::string, std::vector<std::string>> unanswered_;  // by nonce: what is bad in it
  std::uint64_t version_ = 0, nonces_ = 0;
  bool complete_ = false;
};

}  // namespace mesh::sim
