#pragma once
// AdsSession: the server side of delta ADS for one stream, as a state machine. Messages in,
// messages out; no I/O, no clock, no protobuf. ads_server.h drives it over gRPC; tests and
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

#include "control/resource_store.h"
#include "mesh/base/result.h"
#include "mesh/xds/ads_message.h"

namespace mesh::control {

class AdsSession {
 public:
  explicit AdsSession(std::shared_ptr<const Snapshot> snapshot);

  // Errors: kProtocol, kTooLarge: the stream must end; the text names what is wrong.
  Result<Done> receive(const xds::DeltaRequest& request);

  void update(std::shared_ptr<const Snapshot> snapshot);

  // The next message to send, if any.
  std::optional<xds::DeltaResponse> next();

  // The client has acknowledged everything there is.
  bool is_current() const;
  // The last snapshot for which that was so; 0 before the first.
  std::uint64_t acked_version() const { return acked_version_; }
  // The text of the last NACK, while something of it is still unanswered; else empty.
  const std::string& last_nack() const { return last_nack_; }
  std::uint64_t resources_sent() const { return resources_sent_; }
  std::uint64_t nacks() const { return nacks_; }

 private:
  struct Change {
    std::string name;
    std::string version;  // empty: removed
    std::uint8_t reach = 0;
  };
  struct InFlight {
    std::string nonce;
    std::vector<Change> changes;
  };
  struct PerType {
    bool requested = false;
    bool first_due = false;
    bool wildcard = false;
    bool dirty = false;                                     // something may be missing
    std::set<std::string, std::less<>> names;               // subscribed beside the wildcard
    std::set<std::string, std::less<>> told_missing;        // names of those that stand for nothing
    std::map<std::string, std::string, std::less<>> known;  // acknowledged versions
    std::map<std::string, std::uint8_t, std::less<>> reach;  // of those known that have one
    std::map<std::string, std::string, std::less<>> refused;
    std::uint64_t refused_at = 0;  // the snapshot's number
    std::optional<InFlight> in_flight;
  };
  struct Missing {
    std::vector<std::shared_ptr<const Resource>> changed;
    std::vector<std::string> removed;
    bool empty() const { return changed.empty() && removed.empty(); }
  };

  PerType& of(xds::ResourceType type) { return types_[static_cast<std::size_t>(type)]; }
  const PerType& of(xds::ResourceType type) const { return types_[static_cast<std::size_t>(type)]; }
  Result<Done> receive_subscriptions(const xds::DeltaRequest& request, PerType& of_type);
  void receive_answer(const xds::DeltaRequest& request, PerType& of_type);
  Missing missing(xds::ResourceType type) const;
  // Takes out what must come after the workloads that depend on it.
  Missing take_late(Missing& policies) const;
  Resources wanted(xds::ResourceType type, std::vector<std::string>& unknown_names) const;
  std::optional<xds::DeltaResponse> respond(xds::ResourceType type, Missing missing);
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
