#pragma once
// ZDS, the conversation in which the node agent tells the proxy of its pods: messages and the rules
// of one connection, without I/O. Wire-compatible with Istio's CNI agent (istio.workload.zds).
//
// We speak first (hello); then every packet is one message and gets one ack, in order: adds and
// keeps of what there is, snapshot_sent, then adds and deletes as they happen. A packet that breaks
// the rules is acked with the reason and ends the connection, never the process.

#include <cstddef>
#include <expected>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace mesh::ztunnel {

inline constexpr std::size_t kZdsPacketMax = 1024;

// What identifies a pod; its identity comes from here and from nowhere else.
struct PodInfo {
  std::string uid = {};
  std::string name = {};
  std::string ns = {};
  std::string service_account = {};
  friend bool operator==(const PodInfo&, const PodInfo&) = default;
};

struct ZdsAdd {
  PodInfo pod = {};
};
struct ZdsKeep {
  std::string uid = {};
};
struct ZdsDelete {
  std::string uid = {};
};
// Everything there is has been told. `mentioned`: the uids added or kept on this connection.
struct ZdsSnapshotSent {
  std::set<std::string> mentioned = {};
};
using ZdsMessage = std::variant<ZdsAdd, ZdsKeep, ZdsDelete, ZdsSnapshotSent>;

struct ZdsPacket {
  std::span<const std::byte> bytes = {};
  std::size_t descriptors = 0;
  bool truncated = false;  // of bytes or of descriptors
};

std::string encode_zds_hello();
// An empty error is a plain ack.
std::string encode_zds_ack(std::string_view error);
// One packet on its own. The text says what is wrong, as an agent would log it.
std::expected<ZdsMessage, std::string> decode_zds(const ZdsPacket& packet);

// The rules across packets. Feed every packet of one connection; an error ends it: send the ack,
// then close.
class ZdsSession {
 public:
  // The error is the text of the ack.
  std::expected<ZdsMessage, std::string> receive(const ZdsPacket& packet);
  bool snapshot_received() const { return snapshot_received_; }

 private:
  std::set<std::string> mentioned_;
  bool snapshot_received_ = false;
};

}  // namespace mesh::ztunnel
