#pragma once
// One connection from a ztunnel: Istio's ZDS, the side of the node agent.
//
// ztunnel says hello; we send a request at a time and wait for its ack before the next. The order
// of requests is the caller's: every pod, snapshot_sent, then pods as they come and go.
//
// Limits: 1024 bytes a packet, 4096 requests waiting, 5 s for the hello and for each ack.

#include <chrono>
#include <cstdint>
#include <deque>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ebpf/pod.h"
#include "ebpf/unique_fd.h"

namespace mesh::ebpf {

using Clock = std::chrono::steady_clock;

inline constexpr std::size_t kZdsBytesMax = 1024;
inline constexpr std::size_t kZdsWaitingMax = 4096;
inline constexpr Clock::duration kZdsDeadline = std::chrono::seconds(5);

// What became of a request.
struct ZdsAnswer {
  enum class Kind { kAcked, kRefused, kLost };
  Kind kind = Kind::kLost;
  std::string error;  // kRefused: ztunnel's words; kLost: why the session ended
};
using OnZdsAnswer = std::function<void(const ZdsAnswer&)>;

// The wire's messages. An encoded one over 1024 bytes is refused by ztunnels, so by us first.
std::vector<std::byte> encode_add(const PodInfo& pod);
std::vector<std::byte> encode_del(std::string_view uid);
std::vector<std::byte> encode_snapshot_sent();
// Is this a hello, of version 1? The error is in words.
std::expected<void, std::string> decode_hello(std::span<const std::byte> bytes);
// The ack's error: empty when all is well.
std::expected<std::string, std::string> decode_ack(std::span<const std::byte> bytes);

class ZdsSession {
 public:
  // `name` is how logs call the peer.
  ZdsSession(UniqueFd socket, std::string name, Clock::time_point now);
  ZdsSession(const ZdsSession&) = delete;
  ZdsSession& operator=(const ZdsSession&) = delete;
  // Answers all that still waits with kLost.
  ~ZdsSession();

  // Queues a request. `netns` is duplicated. Never calls `on_answer` before it returns.
  void add(const PodInfo& pod, int netns, OnZdsAnswer on_answer);
  void del(std::string_view uid, OnZdsAnswer on_answer);
  void snapshot_sent(OnZdsAnswer on_answer);

  // Takes one packet from the socket. An error, in words, ends the session: destroy it.
  std::expected<void, std::string> on_readable(Clock::time_point now);
  // Sends what may be sent, and checks the deadline. Errors as above.
  std::expected<void, std::string> advance(Clock::time_point now);
  std::optional<Clock::time_point> deadline() const { return deadline_; }

  int fd() const { return socket_.get(); }
  const std::string& name() const { return name_; }
  bool greeted() const { return greeted_; }
  // It ended because ztunnel said what nobody may say, or nothing in time.
  bool broke_protocol() const { return broke_protocol_; }

 private:
  struct Request {
    std::vector<std::byte> bytes;
    UniqueFd netns;
    OnZdsAnswer on_answer;
  };
  void queue(Request request);
  std::unexpected<std::string> broken(std::string why);

  UniqueFd socket_;
  std::string name_;
  bool greeted_ = false;
  bool broke_protocol_ = false;
  bool waits_for_ack_ = false;
  std::deque<Request> requests_;  // the first is in flight when waits_for_ack_
  std::optional<Clock::time_point> deadline_;
  std::string lost_because_ = "the connection to ztunnel ended";
};

}  // namespace mesh::ebpf
