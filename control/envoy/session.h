#pragma once
// WaypointSession: the server side of Envoy's discovery for one stream, as a state machine: delta
// or state of the world. Messages in, messages out; no I/O, no clock, no protobuf.
//
// What it keeps to:
//   - what is named is sent before what names it: clusters, endpoints, listeners, routes; and goes
//     after it: a cluster or an endpoint leaves only when the listeners without it are acknowledged
//   - a cluster that is sent anew is followed by its endpoints, changed or not: Envoy warms it with
//     them, and acknowledges it afterwards
//   - at most one response per type waits for its answer; the next says everything that has changed
//     since, so a slow client gets fewer messages, not more
//   - a response that was refused (NACK) is sent again only when its content is another
//   - of endpoints and routes only what is subscribed is sent; of clusters and listeners
//   everything,
//     unless the client names some
//
// Limits: 16 384 names subscribed per type, names of 1 KiB, 100 000 initial versions.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/envoy/translate.h"
#include "control/resource_store.h"
#include "mesh/base/result.h"

namespace mesh::control {

struct WaypointSnapshot {
  std::uint64_t version = 0;  // counts this client's configurations
  std::array<Resources, kEnvoyTypes> resources;
  const Resources& of(EnvoyType type) const { return resources[static_cast<std::size_t>(type)]; }
};

// A DiscoveryRequest or a DeltaDiscoveryRequest.
struct EnvoyRequest {
  std::string type_url = {};
  std::vector<std::string> names = {};        // state of the world: all that are wanted
  std::vector<std::string> subscribe = {};    // delta
  std::vector<std::string> unsubscribe = {};  // delta
  std::vector<std::pair<std::string, std::string>> initial_versions = {};  // delta
  std::string nonce = {};
  std::optional<std::string> error = {};
};

struct EnvoyResponse {
  std::string version;
  std::string type_url;
  std::string nonce;
  std::vector<std::shared_ptr<const Resource>> resources;
  std::vector<std::string> removed;  // delta
};

class WaypointSession {
 public:
  explicit WaypointSession(bool delta) : delta_(delta) {}

  // Errors: kTooLarge: the stream must end; the text names what is wrong. A type that is not served
  // here is answered with nothing.
  Result<Done> receive(const EnvoyRequest& request);

  void update(std::shared_ptr<const WaypointSnapshot> snapshot);

  // The next message to send, if any.
  std::optional<EnvoyResponse> next();

  // Everything that is asked for has been acknowledged.
  bool is_current() const;
  enum class Delivery { kIgnored, kStale, kRefused, kSynced };  // kIgnored: it was never asked for
  Delivery delivery(EnvoyType type) const;
  const std::string& last_nack() const { return last_nack_; }
  std::uint64_t nacks() const { return nacks_; }

 private:
  using Named = std::map<std::string, std::shared_ptr<const Resource>, std::less<>>;
  struct InFlight {
    std::string nonce;
    Named sent;
    std::vector<std::string> removed;
  };
  struct PerType {
    bool requested = false;
    bool first_due = false;
    bool wildcard = false;
    std::set<std::string, std::less<>> names;
    std::set<std::string, std::less<>> told_missing;
    Named known;                                              // acknowledged
    Named refused;                                            // as they were refused
    std::map<std::string, std::string, std::less<>> claimed;  // versions from before the stream
    std::optional<InFlight> in_flight;
  };

  PerType& of(EnvoyType type) { return types_[static_cast<std::size_t>(type)]; }
  const PerType& of(EnvoyType type) const { return types_[static_cast<std::size_t>(type)]; }
  Result<Done> subscribe(const EnvoyRequest& request, bool first, PerType& of_type);
  void answered(const EnvoyRequest& request, PerType& of_type);
  bool wants(EnvoyType type, const std::string& name) const;
  bool has(const PerType& of_type, const std::string& name, const Resource& resource) const;
  // Nothing that names clusters is still on its way or due.
  bool listeners_settled() const;
  Named changes(EnvoyType type) const;
  std::vector<std::string> removals(EnvoyType type) const;
  std::optional<EnvoyResponse> respond(EnvoyType type);
  void fill_whole(EnvoyType type, bool keep, EnvoyResponse& response) const;

  const bool delta_;
  std::shared_ptr<const WaypointSnapshot> snapshot_;
  std::array<PerType, kEnvoyTypes> types_;
  std::uint64_t last_nonce_ = 0;
  std::uint64_t nacks_ = 0;
  std::string last_nack_;
};

}  // namespace mesh::control
