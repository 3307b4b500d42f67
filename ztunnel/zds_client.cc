#include "ztunnel/zds_client.h"

#include <algorithm>
#include <array>

#include "mesh/io/timer.h"
#include "ztunnel/report.h"

namespace mesh::ztunnel {

io::Duration next_backoff(io::Duration last, bool had_snapshot) {
  if (had_snapshot || last == io::Duration::zero()) return kAgentBackoffFirst;
  return std::min<io::Duration>(last * 2, kAgentBackoffMax);
}

io::Task<void> ZdsClient::run() {
  io::Duration backoff{};
  for (;;) {
    ZdsSession session;
    const auto over = co_await converse(session);
    node_.set_agent_ready(false);
    if (!over && over.error().reason == Reason::kCancelled) co_return;
    backoff = next_backoff(backoff, session.snapshot_received());
    const std::string error = over ? "the agent closed the connection" : describe(over.error());
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(backoff);
    telemetry_.log.limited("zds", telemetry::Level::kWarn, "zds", "no conversation with the agent",
                           {{"socket", config_.zds_socket},
                            {"error", error},
                            {"retry", std::to_string(milliseconds.count()) + "ms"}});
    if (!co_await io::sleep_for(ring_, backoff)) co_return;
  }
}

io::Task<Result<Done>> ZdsClient::converse(ZdsSession& session) {
  CO_TRY(io::SeqpacketSocket agent,
         co_await io::SeqpacketSocket::connect(ring_, config_.zds_socket));
  const std::string hello = encode_zds_hello();
  CO_TRY_DO(co_await agent.send(std::as_bytes(std::span(hello))));
  telemetry_.log.info("zds", "connected to the agent", {{"socket", config_.zds_socket}});
  std::array<std::byte, kZdsPacketMax> memory;
  for (;;) {
    auto packet = co_await agent.recv(memory, io::SeqpacketSocket::kMaxDescriptors);
    ZdsPacket shape;
    if (packet) {
      if (packet->size == 0) co_return Done{};
      shape = {.bytes = std::span(memory).first(packet->size),
               .descriptors = packet->descriptor_count};
    } else if (packet.error().reason == Reason::kTooLarge) {
      shape.truncated = true;
    } else {
      co_return std::unexpected(packet.error());
    }
    auto message = session.receive(shape);
    std::string problem;
    if (message) {
      io::Descriptor descriptor = packet ? std::move(packet->descriptors[0]) : io::Descriptor();
      problem = co_await handle(*std::move(message), std::move(descriptor));
    } else {
      problem = message.error();
      telemetry_.metrics.add(telemetry_.zds_errors, "");
      telemetry_.log.limited("zds message", telemetry::Level::kError, "zds",
                             "the agent broke the protocol", {{"error", problem}});
    }
    const std::string ack = encode_zds_ack(problem);
    CO_TRY_DO(co_await agent.send(std::as_bytes(std::span(ack))));
    if (session.snapshot_received()) node_.set_agent_ready(true);
    if (!message) co_return failed(Reason::kProtocol, "zds");
  }
}

io::Task<std::string> ZdsClient::handle(ZdsMessage message, io::Descriptor descriptor) {
  if (auto* add = std::get_if<ZdsAdd>(&message)) {
    auto netns = net::NetworkNamespace::adopt(descriptor.release());
    if (!netns) co_return "failure to start proxy : the descriptor is no network namespace";
    std::string problem;
    const auto added = co_await node_.add_pod(
        std::move(add->pod), std::make_shared<net::NetworkNamespace>(*std::move(netns)), problem);
    if (!added) co_return "failure to start proxy : " + problem;
  } else if (const auto* keep = std::get_if<ZdsKeep>(&message)) {
    node_.keep_pod(keep->uid);
  } else if (const auto* gone = std::get_if<ZdsDelete>(&message)) {
    node_.remove_pod(gone->uid);
  } else if (const auto* snapshot = std::get_if<ZdsSnapshotSent>(&message)) {
    node_.snapshot_received(snapshot->mentioned);
  }
  co_return std::string();
}

}  // namespace mesh::ztunnel
