#pragma once
// DeltaState: the asking side of delta ADS for Envoy's resource types, as a state machine. Messages
// in, messages out; no I/O, no clock, no protobuf.
//
// Listeners and clusters are asked for all (wildcard), routes and endpoints by the names that what
// came so far mentions. One response is answered once: a NACK that names resource and field, or an
// ACK when the caller says applied(): what it holds is in force on every ring.

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/xds/ads_message.h"

namespace mesh::waypoint {

enum class EnvoyType : std::uint8_t {
  kCluster,
  kEndpoints,
  kListener,
  kRoutes,
  kSecret,
  kExtension
};
inline constexpr int kEnvoyTypes = 6;
std::string_view type_url(EnvoyType type);
std::optional<EnvoyType> envoy_type_of(std::string_view url);
std::string_view type_name(EnvoyType type);  // "CDS", …

struct Refused {
  std::string name{};
  std::string error{};  // names the field
};

// Who keeps what arrives.
class ConfigStore {
 public:
  virtual ~ConfigStore() = default;
  // First the removals, then the resources. The good ones are taken even when others are bad.
  virtual std::vector<Refused> take(EnvoyType type, std::span<const xds::RawResource> resources,
                                    std::span<const std::string> removed) = 0;
  // The names that what was taken refers to; for the types that are asked for by name.
  virtual std::set<std::string> wanted(EnvoyType type) const = 0;
};

struct DeltaLimits {
  std::size_t resources_max = 200'000;  // per type
  std::size_t changes_max = 200'000;    // of one response
  std::size_t name_bytes_max = 2048;
  std::size_t version_bytes_max = 256;  // of a resource, a snapshot or a nonce
  std::size_t unapplied_max = 16;       // responses; can_receive() is false beyond
  std::size_t error_bytes_max = 4096;   // of a NACK's text
};

class DeltaState {
 public:
  explicit DeltaState(xds::Node node, DeltaLimits limits = {});

  void connected();
  void disconnected();
  bool can_receive() const { return unapplied_.size() < limits_.unapplied_max; }

  // True: something changed, publish it and say applied() with sequence() later. Errors: kProtocol,
  // kTooLarge: leave the stream.
  Result<bool> receive(const xds::DeltaResponse& response, ConfigStore& store);
  std::uint64_t sequence() const { return sequence_; }
  void applied(std::uint64_t sequence);
  std::optional<xds::DeltaRequest> next_request();

  // A response of both wildcard types has come.
  bool has_both() const;
  bool made_progress() const { return made_progress_; }
  const std::string& version() const { return version_; }  // of what is in force
  const std::string& last_nack() const { return last_nack_; }
  struct Counts {
    std::uint64_t responses = 0, nacks = 0;
    std::size_t resources = 0;
  };
  Counts counts(EnvoyType type) const;

 private:
  struct PerType {
    std::map<std::string, std::string, std::less<>> versions;  // empty version: it was refused
    std::set<std::string> subscribed;
    std::vector<std::string> to_subscribe, to_unsubscribe;
    bool first_due = false;
    bool asked = false;  // on this connection
    bool received = false;
    std::uint64_t responses = 0, nacks = 0;
  };
  struct Answer {
    std::uint64_t sequence = 0, connection = 0;
    std::string type_url, nonce, error, version;
  };

  PerType& of(EnvoyType type) { return types_[static_cast<std::size_t>(type)]; }
  Result<Done> check(const xds::DeltaResponse& response) const;
  void follow(ConfigStore& store);
  xds::DeltaRequest first_request(EnvoyType type);

  xds::Node node_;
  DeltaLimits limits_;
  std::array<PerType, kEnvoyTypes> types_;
  bool connected_ = false, made_progress_ = false;
  bool node_told_ = false;
  std::uint64_t connection_ = 0, sequence_ = 0;
  std::deque<Answer> unapplied_, answers_;
  std::string version_, last_nack_;
};

}  // namespace mesh::waypoint
