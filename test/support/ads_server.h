#pragma once
// The server's half of delta ADS as a state machine, for tests and simulations: a set of resources,
// and one session per stream that sends what its client lacks. No I/O.

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "mesh/xds/ads_message.h"

namespace mesh::test {

// What control knows. Each change is a new version of the whole and of the resource.
class ControlState {
 public:
  void set(xds::ResourceType type, const std::string& name, std::string bytes);
  void remove(xds::ResourceType type, const std::string& name);
  std::uint64_t version() const { return version_; }

  struct Resource {
    std::string version;
    std::string bytes;
  };
  using Resources = std::map<std::string, Resource>;
  const Resources& of(xds::ResourceType type) const {
    return resources_[static_cast<std::size_t>(type)];
  }

 private:
  std::uint64_t version_ = 1;
  std::array<Resources, xds::kResourceTypeCount> resources_;
};

// One stream of one client. At most one response of a type is unanswered.
class AdsServerSession {
 public:
  explicit AdsServerSession(const ControlState& control) : control_(control) {}

  void receive(const xds::DeltaRequest& request);
  // The next response, if the client lacks anything that it may be sent now.
  std::optional<xds::DeltaResponse> next();

  // The client has answered the last response of both types, and lacks nothing.
  bool in_sync() const;
  std::uint64_t acks() const { return acks_; }
  std::uint64_t nacks() const { return nacks_; }
  std::uint64_t resources_sent() const { return resources_sent_; }
  const std::string& last_error() const { return last_error_; }
  const std::optional<xds::Node>& node() const { return node_; }

 private:
  struct PerType {
    bool subscribed = false;
    bool first_due = false;
    std::string unanswered;  // nonce
    std::map<std::string, std::string> client_has;
  };
  std::optional<xds::DeltaResponse> next(xds::ResourceType type, PerType& state);
  static bool lacks(const PerType& state, const ControlState::Resources& resources);

  const ControlState& control_;
  std::array<PerType, xds::kResourceTypeCount> types_;
  std::optional<xds::Node> node_;
  std::uint64_t nonces_ = 0;
  std::uint64_t acks_ = 0;
  std::uint64_t nacks_ = 0;
  std::uint64_t resources_sent_ = 0;
  std::string last_error_;
};

}  // namespace mesh::test
