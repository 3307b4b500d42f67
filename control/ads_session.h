#pragma once
// AdsSession: the server side of delta ADS for one stream, as a state machine. Messages in,
// messages out; no I/O, no clock, no protobuf. grpc_server.h drives it over gRPC; tests and
// simulations drive it directly.
//
// What it keeps to:
//   - at most one response per type waits for its answer; the next one says everything that has
//     changed since, so a slow client gets fewer messages, not more
//   - the first request of a type says what the client has (initial_resource_versions): only what
//     differs is sent, removals included. The first response is sent even when it is empty: it
//     tells the client that it is complete
//   - a policy comes before the workload that names it, and goes after the workload that named it;
//     so does what it no longer reaches, when it shrinks from a namespace to workloads
//   - what a stream costs is what changed, not what there is: streams share what they have and what
//     they are told
//   - a response that was refused (NACK) counts as not known: it is sent again with the next
//   snapshot
//
// Limits: 16 384 names subscribed per type, names of 1 KiB, 1 000 000 initial versions.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "control/delta.h"
#include "control/resource_store.h"
#include "mesh/base/result.h"
#include "mesh/xds/ads_message.h"

namespace mesh::control {

struct AdsResponse {
  std::string system_version;
  xds::ResourceType type = xds::ResourceType::kAddress;
  std::string nonce;
  std::shared_ptr<const Delta> delta;

  xds::DeltaResponse message() const;
  // Its bytes are the delta's, which many share, and these.
  std::string encoded_head() const;
};

class AdsSession {
 public:
  explicit AdsSession(std::shared_ptr<const Snapshot> snapshot);

  // Errors: kProtocol, kTooLarge: the stream must end; the text names what is wrong.
  Result<Done> receive(const xds::DeltaRequest& request);

  void update(std::shared_ptr<const Snapshot> snapshot);

  // The next message to send, if any.
  std::optional<AdsResponse> next();

  // The client has acknowledged everything there is.
  bool is_current() const;
  // The last snapshot for which that was so; 0 before the first.
  std::uint64_t acked_version() const { return acked_version_; }
  // The text of the last NACK, while something of it is still unanswered; else empty.
  const std::string& last_nack() const { return last_nack_; }
  std::uint64_t resources_sent() const { return resources_sent_; }
  std::uint64_t nacks() const { return nacks_; }

 private:
  struct InFlight {
    std::string nonce;
    std::shared_ptr<const Delta> delta;
    // What the client has once it agrees, when it was told everything there is.
    std::optional<Resources> whole;
  };
  struct PerType {
    bool requested = false;
    bool first_due = false;
    bool wildcard = false;
    bool dirty = false;                               // something may be missing
    std::set<std::string, std::less<>> names;         // subscribed beside the wildcard
    std::set<std::string, std::less<>> told_missing;  // names of those that stand for nothing
    // What is acknowledged. As a rule it is a snapshot's own, so that streams share it.
    Resources known;
    std::map<std::string, std::string, std::less<>> refused;  // versions; empty: of a removal
    std::uint64_t refused_at = 0;                             // the snapshot's number
    std::optional<InFlight> in_flight;

    // It has, or is to have, everything, and nothing else needs to be looked at.
    bool simple() const { return wildcard && names.empty() && refused.empty(); }
  };

  PerType& of(xds::ResourceType type) { return types_[static_cast<std::size_t>(type)]; }
  const PerType& of(xds::ResourceType type) const { return types_[static_cast<std::size_t>(type)]; }
  Result<Done> receive_subscriptions(const xds::DeltaRequest& request, PerType& of_type);
  void receive_answer(const xds::DeltaRequest& request, PerType& of_type);
  std::shared_ptr<const Delta> missing(xds::ResourceType type) const;
  // What must come after the workloads that depend on it; `policies` is left without it.
  std::shared_ptr<const Delta> take_late(std::shared_ptr<const Delta>& policies) const;
  bool is_late(const Resource& policy) const;
  Resources wanted(xds::ResourceType type, std::vector<std::string>& unknown_names) const;
  std::optional<AdsResponse> respond(xds::ResourceType type, std::shared_ptr<const Delta> delta,
                                     bool whole);
  // What was refused and is not wanted any more is nobody's business.
  void forget_unwanted_refusals(xds::ResourceType type);
  bool settled(xds::ResourceType type) const;
  void note_progress();

  std::shared_ptr<const Snapshot> snapshot_;
  std::array<PerType, xds::kResourceTypeCount> types_;
  std::uint64_t acked_version_ = 0;
  std::uint64_t last_nonce_ = 0;
  std::uint64_t resources_sent_ = 0;
  std::uint64_t nacks_ = 0;
  std::string last_nack_;
};

}  // namespace mesh::control
