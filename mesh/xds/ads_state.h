#pragma once
// AdsState: the client side of delta ADS as a state machine. Messages in, messages and changes out;
// no I/O, no clock, no protobuf. ads_client.h drives it over gRPC, simulations drive it directly.
//
// One response becomes one Update. The good resources of a response are taken even when others are
// bad; the bad ones are named in the NACK (and the sink sees to it that what they describe is
// refused, not unknown). The answer, ACK or NACK, is sent only after the caller said applied(): an
// ACK means "in force on every worker".

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mesh/base/result.h"
#include "mesh/xds/ads_message.h"

namespace mesh::xds {

struct AdsLimits {
  std::size_t resources_max = 1'000'000;  // kept, per type
  std::size_t changes_max = 1'000'000;    // resources and removals of one response
  std::size_t name_bytes_max = 2048;      // of a resource
  std::size_t version_bytes_max = 256;    // of a resource, a snapshot or a nonce
  std::size_t unapplied_max = 16;         // responses; can_receive() is false beyond
  std::size_t error_bytes_max = 4096;     // of a NACK's text
  std::size_t rejections_max = 64;        // listed of one response; all are counted and refused
  std::size_t subscriptions_max = 16384;  // on demand, per type
};

enum class AdsMode : std::uint8_t { kWildcard, kOnDemand };

struct AdsOptions {
  Node node{};
  AdsMode mode = AdsMode::kWildcard;
  AdsLimits limits{};
};

// A resource that was not taken, and why (the text names the field).
struct Rejection {
  ResourceType type = ResourceType::kAddress;
  std::string name{};
  std::string error{};
};

// What one response changed.
struct Update {
  std::uint64_t sequence = 0;     // without gaps, over all connections
  std::string control_version{};  // system_version_info
  std::size_t upserts = 0;
  std::size_t removals = 0;
  std::vector<Rejection> rejections{};  // at most AdsLimits::rejections_max are listed
  bool complete = false;                // with this one, both types have been received
};

// Takes what a response holds, before its Update is published.
class ResourceSink {
 public:
  virtual ~ResourceSink() = default;
  // Decodes and stages: first the removals, then the resources. Returns a complaint about each
  // resource that was not understood; the others are taken.
  virtual std::vector<Rejection> take(ResourceType type, std::span<const RawResource> resources,
                                      std::span<const std::string> removed) = 0;
};

class AdsState {
 public:
  explicit AdsState(AdsOptions options);

  // A stream is open: the first request of each type waits in next_request().
  void connected();
  // It is gone. What was received stays; what was not yet applied still will be.
  void disconnected();

  // False when too many responses are not applied yet: read no further until applied().
  bool can_receive() const;

  // Takes a response: hands what it holds and removes to `sink`, and returns the Update to publish;
  // none when there is nothing to publish (a type we did not ask for: it is NACKed). Errors:
  // kProtocol (no nonce), kTooLarge (beyond a limit): it cannot be answered, leave the
  // stream. Nothing was changed.
  Result<std::optional<Update>> receive(const DeltaResponse& response, ResourceSink& sink);

  // Every worker has everything up to and including this sequence.
  void applied(std::uint64_t sequence);

  // On demand only: asks for one resource by name. Errors: kExhausted.
  Result<Done> subscribe(ResourceType type, std::string name);
  void unsubscribe(ResourceType type, const std::string& name);

  // The next message to send, if any. Only while connected.
  std::optional<DeltaRequest> next_request();

  // Both types were received and applied at least once; true forever after.
  bool complete() const;
  // The version of control's snapshot that is in force (its decimal number, or another server's
  // text); empty before the first.
  std::string_view control_version() const { return applied_version_; }
  // Resources of one type that are held, rejected ones included.
  std::size_t resource_count(ResourceType type) const { return of(type).versions.size(); }
  // A response has come on this connection.
  bool made_progress() const { return made_progress_; }
  const std::string& last_nack() const { return last_nack_; }

 private:
  struct PerType {
    // Name to version. An empty version: it was rejected. It is still told to the next server,
    // which then sends it again, or says that it is gone.
    std::map<std::string, std::string, std::less<>> versions;
    std::set<std::string, std::less<>> subscribed;
    std::vector<std::string> to_subscribe;
    std::vector<std::string> to_unsubscribe;
    bool first_request_due = false;
    bool received = false;
    bool applied = false;
  };
  // A response that waits for applied(), then for sending of its answer.
  struct Answer {
    std::uint64_t sequence = 0;
    std::uint64_t connection = 0;
    std::string type_url{};
    std::string nonce{};
    std::string error{};
    std::string control_version{};
  };

  PerType& of(ResourceType type) { return types_[static_cast<std::size_t>(type)]; }
  const PerType& of(ResourceType type) const { return types_[static_cast<std::size_t>(type)]; }
  Result<Done> receive_check(const DeltaResponse& response) const;
  std::size_t receive_removed(ResourceType type, const DeltaResponse& response);
  void receive_versions(ResourceType type, const DeltaResponse& response,
                        const std::vector<Rejection>& rejections);
  bool exceeds_resources_max(ResourceType type, const DeltaResponse& response) const;
  DeltaRequest first_request(ResourceType type);

  AdsOptions options_;
  std::array<PerType, kResourceTypeCount> types_;
  bool connected_ = false;
  bool made_progress_ = false;
  std::uint64_t connection_ = 0;
  std::uint64_t last_sequence_ = 0;
  std::deque<Answer> unapplied_;
  std::deque<Answer> answers_;
  std::string applied_version_;
  std::string last_nack_;
};

}  // namespace mesh::xds
