#include "ztunnel/strict_keeper.h"

#include <algorithm>

#include "mesh/io/timer.h"
#include "mesh/io/unix_socket.h"

namespace mesh::ztunnel {
namespace {

std::uint64_t place_of(const PodEntry& entry) {
  return entry.spec.netns ? entry.spec.netns->inode() : 0;
}

}  // namespace

io::Task<void> StrictKeeper::run() {
  if (config_.agent_socket.empty()) co_return;
  memory_.resize(kAgentAnswerBytesMax);
  io::Duration retry = io::Duration::max();
  for (;;) {
    const auto changed = co_await io::with_deadline(ring_, retry, "wait", node_.changed().wait());
    if (!changed && changed.error().reason == Reason::kCancelled) co_return;
    node_.changed().reset();
    switch (co_await look_at_all()) {
      case Outcome::kCancelled:
        co_return;
      case Outcome::kDone:
        retry = io::Duration::max();
        break;
      case Outcome::kPodFailed:
      case Outcome::kAgentFailed:
        retry = retry == io::Duration::max()
                    ? io::Duration(kStrictRetryFirst)
                    : std::min<io::Duration>(retry * 2, io::Duration(kStrictRetryMax));
        break;
    }
  }
}

void StrictKeeper::forget_gone() {
  std::erase_if(known_, [this](const auto& one) { return !node_.pods().contains(one.first); });
}

io::Task<StrictKeeper::Outcome> StrictKeeper::look_at_all() {
  forget_gone();
  std::vector<std::pair<PodInfo, std::uint64_t>> pods;  // they may change while we wait
  for (const auto& [uid, entry] : node_.pods()) {
    if (entry.state == PodState::kStarting) continue;
    pods.emplace_back(entry.spec.info, place_of(entry));
  }
  Outcome all = Outcome::kDone;
  for (const auto& [pod, netns] : pods) {
    const Outcome one = co_await look_at(pod, netns);
    if (one == Outcome::kCancelled || one == Outcome::kAgentFailed) co_return one;
    if (one == Outcome::kPodFailed) all = one;
  }
  co_return all;
}

io::Task<StrictKeeper::Outcome> StrictKeeper::look_at(PodInfo pod, std::uint64_t netns) {
  Known& first = known_[pod.uid];
  if (first.netns != netns) first = {.netns = netns};
  if (first.none_left) co_return Outcome::kDone;
  // Twice: what the agent said a while ago may be over, so before anything is ended it is asked
  // again.
  for (bool fresh = false;; fresh = true) {
    const workload::DirectoryPtr directory = node_.directory();
    if (!directory->complete()) co_return Outcome::kDone;
    const auto* workload = directory->find_pod(pod.ns, pod.name, pod.service_account);
    if (workload == nullptr || !has_policies(*directory, *workload)) co_return Outcome::kDone;
    Known& known = known_[pod.uid];
    if (known.older && (fresh || known.older->all_listed())) {
      const auto policy = refused_by(*directory, *workload, known.older->listed);
      if (!policy) co_return Outcome::kDone;
      if (fresh) co_return co_await end(pod, *policy);
    }
    const Outcome listed = co_await list(pod);
    if (listed != Outcome::kDone || known_[pod.uid].none_left) co_return listed;
  }
}

io::Task<StrictKeeper::Outcome> StrictKeeper::list(PodInfo pod) {
  const auto answer = co_await ask(encode_agent_request("connections", pod.uid));
  if (!answer) {
    if (answer.error().reason == Reason::kCancelled) co_return Outcome::kCancelled;
    failed_with(pod, describe(answer.error()));
    co_return Outcome::kAgentFailed;
  }
  auto older = decode_connections(*answer);
  if (!older) co_return failed_with(pod, older.error());
  Known& known = known_[pod.uid];
  known.none_left = older->total == 0;
  known.older = *std::move(older);
  co_return Outcome::kDone;
}

io::Task<StrictKeeper::Outcome> StrictKeeper::end(PodInfo pod, std::string policy) {
  const auto answer = co_await ask(encode_agent_request("end-connections", pod.uid));
  if (!answer) {
    if (answer.error().reason == Reason::kCancelled) co_return Outcome::kCancelled;
    failed_with(pod, describe(answer.error()));
    co_return Outcome::kAgentFailed;
  }
  const auto ended = decode_ended(*answer);
  if (!ended) co_return failed_with(pod, ended.error());
  known_[pod.uid].none_left = true;
  known_[pod.uid].older.reset();
  telemetry_.metrics.add(telemetry_.older_ended, "", *ended);
  telemetry_.log.info("strict", "ended connections older than the enrolment: plaintext is refused",
                      {{"uid", pod.uid},
                       {"name", pod.name},
                       {"namespace", pod.ns},
                       {"ended", std::to_string(*ended)},
                       {"policy", policy}});
  co_return Outcome::kDone;
}

StrictKeeper::Outcome StrictKeeper::failed_with(const PodInfo& pod, const std::string& error) {
  telemetry_.metrics.add(telemetry_.older_failures, "");
  telemetry_.log.limited("strict", telemetry::Level::kWarn, "strict",
                         "cannot end connections older than the enrolment; trying again",
                         {{"name", pod.name},
                          {"namespace", pod.ns},
                          {"socket", config_.agent_socket},
                          {"error", error}});
  return Outcome::kPodFailed;
}

io::Task<Result<std::string_view>> StrictKeeper::ask(std::string request) {
  auto conversation = converse(std::move(request));
  co_return co_await io::with_deadline(ring_, kAgentAnswerMax, "the agent's answer",
                                       std::move(conversation));
}

io::Task<Result<std::string_view>> StrictKeeper::converse(std::string request) {
  CO_TRY(io::SeqpacketSocket agent,
         co_await io::SeqpacketSocket::connect(ring_, config_.agent_socket));
  CO_TRY_DO(co_await agent.send(std::as_bytes(std::span(request))));
  CO_TRY(const auto answer, co_await agent.recv(memory_, 0));
  if (answer.size == 0) co_return failed(Reason::kPeerClosed, "the agent's answer");
  co_return std::string_view(reinterpret_cast<const char*>(memory_.data()), answer.size);
}

}  // namespace mesh::ztunnel
