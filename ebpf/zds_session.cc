#include "ebpf/zds_session.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "ebpf/seqpacket.h"
#include "zds.pb.h"

namespace mesh::ebpf {
namespace {

namespace zds = istio::workload::zds;

template <class Message>
std::vector<std::byte> encode(const Message& message) {
  std::vector<std::byte> bytes(message.ByteSizeLong());
  message.SerializeToArray(bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

}  // namespace

std::vector<std::byte> encode_add(const PodInfo& pod) {
  zds::WorkloadRequest request;
  zds::AddWorkload& add = *request.mutable_add();
  add.set_uid(pod.uid);
  zds::WorkloadInfo& info = *add.mutable_workload_info();
  info.set_name(pod.name);
  info.set_namespace_(pod.ns);
  info.set_service_account(pod.service_account);
  return encode(request);
}

std::vector<std::byte> encode_del(std::string_view uid) {
  zds::WorkloadRequest request;
  request.mutable_del()->set_uid(std::string(uid));
  return encode(request);
}

std::vector<std::byte> encode_snapshot_sent() {
  zds::WorkloadRequest request;
  request.mutable_snapshot_sent();
  return encode(request);
}

std::expected<void, std::string> decode_hello(std::span<const std::byte> bytes) {
  zds::ZdsHello hello;
  if (!hello.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return std::unexpected("its first packet is no ZDS hello");
  if (hello.version() != zds::V1)
    return std::unexpected("it speaks ZDS version " + std::to_string(hello.version()) +
                           ", we speak 1");
  return {};
}

std::expected<std::string, std::string> decode_ack(std::span<const std::byte> bytes) {
  zds::WorkloadResponse response;
  if (!response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !response.has_ack())
    return std::unexpected("its answer is no ZDS ack");
  return response.ack().error();
}

ZdsSession::ZdsSession(UniqueFd socket, std::string name, Clock::time_point now)
    : socket_(std::move(socket)), name_(std::move(name)), deadline_(now + kZdsDeadline) {}

ZdsSession::~ZdsSession() {
  for (Request& request : std::exchange(requests_, {}))
    request.on_answer({.kind = ZdsAnswer::Kind::kLost, .error = lost_because_});
}

void ZdsSession::add(const PodInfo& pod, int netns, OnZdsAnswer on_answer) {
  queue({encode_add(pod), UniqueFd(fcntl(netns, F_DUPFD_CLOEXEC, 0)), std::move(on_answer)});
}

void ZdsSession::del(std::string_view uid, OnZdsAnswer on_answer) {
  queue({encode_del(uid), UniqueFd(), std::move(on_answer)});
}

void ZdsSession::snapshot_sent(OnZdsAnswer on_answer) {
  queue({encode_snapshot_sent(), UniqueFd(), std::move(on_answer)});
}

std::unexpected<std::string> ZdsSession::broken(std::string why) {
  broke_protocol_ = true;
  return std::unexpected(lost_because_ = std::move(why));
}

void ZdsSession::queue(Request request) { requests_.push_back(std::move(request)); }

std::expected<void, std::string> ZdsSession::on_readable(Clock::time_point now) {
  auto packet = receive_packet(socket_.get(), kZdsBytesMax);
  if (!packet) {
    if (packet.error().os_errno == EAGAIN) return {};
    return std::unexpected(lost_because_ = std::strerror(packet.error().os_errno));
  }
  if (packet->bytes.empty())
    return std::unexpected(lost_because_ = "ztunnel closed the connection");
  if (packet->truncated) return broken("its packet is over 1024 bytes");
  if (!greeted_) {
    if (auto hello = decode_hello(packet->bytes); !hello) return broken(hello.error());
    greeted_ = true;
    deadline_.reset();
    return advance(now);
  }
  if (!waits_for_ack_) return broken("it answered what was not asked");
  const auto ack = decode_ack(packet->bytes);
  if (!ack) return broken(ack.error());
  const Request done = std::move(requests_.front());
  requests_.pop_front();
  waits_for_ack_ = false;
  deadline_.reset();
  using enum ZdsAnswer::Kind;
  done.on_answer({.kind = ack->empty() ? kAcked : kRefused, .error = *ack});
  return advance(now);
}

std::expected<void, std::string> ZdsSession::advance(Clock::time_point now) {
  if (deadline_ && now >= *deadline_)
    return broken(greeted_ ? "no ack from ztunnel within 5 s" : "no hello from ztunnel within 5 s");
  if (requests_.size() > kZdsWaitingMax)
    return std::unexpected(lost_because_ = "more than 4096 requests wait for ztunnel");
  if (!greeted_ || waits_for_ack_ || requests_.empty()) return {};
  const Request& next = requests_.front();
  if (next.bytes.size() > kZdsBytesMax)
    return std::unexpected(lost_because_ = "a pod's names do not fit into 1024 bytes");
  if (const auto sent = send_packet(socket_.get(), next.bytes, next.netns.get()); !sent)
    return std::unexpected(lost_because_ = std::strerror(sent.error().os_errno));
  waits_for_ack_ = true;
  deadline_ = now + kZdsDeadline;
  return {};
}

}  // namespace mesh::ebpf
