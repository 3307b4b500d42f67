#include "ztunnel/pod.h"

#include "mesh/io/timer.h"
#include "ztunnel/dns_proxy.h"
#include "ztunnel/labels.h"
#include "ztunnel/route.h"

namespace mesh::ztunnel {
namespace {

constexpr io::Duration kAcceptPause = std::chrono::milliseconds(50);
constexpr io::Duration kApplicationDeadline = std::chrono::seconds(10);

hbone::ServerOptions server_options(Lane& lane) {
  hbone::ServerOptions options;
  options.h2.budget = &lane.credit;
  options.congestion = lane.congestion;
  return options;
}

}  // namespace

Pod::Pod(Lane& lane, PodSpec spec)
    : lane_(lane),
      spec_(std::move(spec)),
      server_(lane.ring, server_options(lane), *this),
      stop_(lane.ring),
      served_(lane.ring) {
  on_directory();
}

Pod::~Pod() = default;

Result<Done> Pod::listen(std::string& failed_at) {
  const auto open = [&](std::uint16_t port, std::optional<io::Listener>& into) -> Result<Done> {
    io::ListenOptions options{
        .at = {lane_.config.ipv6 ? net::IpAddress::v6({}) : net::IpAddress(), port},
        .transparent = true,
        .same_host = port == kOutboundPort,  // the pod's own application
        // A tunnel has an end of its own.
        .reset_unless_finished = port != kHbonePort,
        .congestion_control = port == kHbonePort ? lane_.congestion.at_first : std::string_view(),
        .mark = {},
        .netns = spec_.netns.get()};
    failed_at = options.at.to_string();
    auto listener = io::Listener::listen(lane_.ring, options);
    if (!listener && listener.error().os_errno == EAFNOSUPPORT) {
      options.at.ip = net::IpAddress();  // IPv6 is off in this pod
      listener = io::Listener::listen(lane_.ring, options);
    }
    if (!listener) return std::unexpected(listener.error());
    into.emplace(*std::move(listener));
    return Done{};
  };
  TRY_DO(open(kOutboundPort, outbound_));
  TRY_DO(open(kPlaintextPort, plaintext_));
  TRY_DO(open(kHbonePort, hbone_));
  if (lane_.config.dns_proxy) {
    dns_ = std::make_unique<DnsProxy>(lane_, spec_);
    TRY_DO(dns_->listen(failed_at));
  }
  return Done{};
}

io::Task<void> Pod::run() {
  accepting_.spawn(accept_outbound());
  accepting_.spawn(accept_plaintext());
  accepting_.spawn(accept_hbone());
  if (dns_) accepting_.spawn(dns_->run());
  (void)co_await stop_.wait();

  outbound_->close();
  plaintext_->close();
  hbone_->close();
  accepting_.cancel();
  server_.drain();
  lane_.pool.purge_source(spec_.info.uid);
  const auto over = co_await io::with_deadline(lane_.ring, grace_, "drain", wait_served());
  if (!over) {
    live_.for_each([](LiveConnection& one) { one.end(Reason::kDraining); });
    server_.end();
    serving_.cancel();
  }
  co_await accepting_.join();
  co_await serving_.join();
  lane_.pool.end_source(spec_.info.uid);
  outbound_.reset();
  plaintext_.reset();
  hbone_.reset();
}

io::Task<Result<Done>> Pod::wait_served() {
  while (serving_.size() > 0) CO_TRY_DO(co_await served_.wait());
  co_return Done{};
}

void Pod::stop(io::Duration grace) {
  grace_ = grace;
  stop_.set();
}

void Pod::on_directory() {
  const workload::Workload* found =
      lane_.directory->find_pod(spec_.info.ns, spec_.info.name, spec_.info.service_account);
  workload_ = found == nullptr ? nullptr : lane_.directory->find_workload_ptr(found->uid);
  // One whose policies are still to come is waited for like one that is.
  if (workload_ != nullptr && workload_->policies_awaited) workload_ = nullptr;
  if (workload_ != nullptr) last_workload_ = workload_;
  live_.for_each([this](LiveConnection& one) { decide_again(one); });
}

// An open connection is judged by the pod's workload of now, so that one which starts to list a
// policy is held to it. When the workload is gone its last known description counts: the policies
// are those of now in any case.
void Pod::decide_again(LiveConnection& one) const {
  if (!one.question || last_workload_ == nullptr) return;
  const policy::Verdict verdict =
      policy::authorize(lane_.directory->policies_for(*last_workload_), *one.question);
  if (!verdict.allowed()) one.end(Reason::kPolicyChanged, verdict.decided_by());
}

workload::WorkloadPtr Pod::workload_for_labels() const {
  if (last_workload_ != nullptr) return last_workload_;
  return stand_in_for(spec_.info, spec_.id.trust_domain(), lane_.config.cluster_id);
}

io::Task<Result<workload::WorkloadPtr>> Pod::wait_workload() {
  const io::TimePoint until = lane_.ring.now() + lane_.config.ready_deadline;
  CO_TRY_DO(co_await lane_.wait_complete());
  while (workload_ == nullptr) {
    const auto changed =
        co_await io::with_deadline(lane_.ring, until - lane_.ring.now(), "wait for the workload",
                                   lane_.directory_changed.wait());
    if (changed) continue;
    if (changed.error().reason == Reason::kCancelled) co_return std::unexpected(changed.error());
    co_return failed(Reason::kNotReady, "wait for news of this pod");
  }
  co_return workload_;
}

io::Task<std::optional<io::Socket>> Pod::next(io::Listener& listener) {
  for (;;) {
    auto accepted = co_await listener.accept();
    if (accepted) co_return std::optional<io::Socket>(*std::move(accepted));
    if (accepted.error().reason == Reason::kCancelled || stop_.is_set()) co_return std::nullopt;
    lane_.telemetry.log.limited(reason_name(accepted.error().reason), telemetry::Level::kWarn,
                                "pod", "cannot accept a connection",
                                {{"pod", spec_.info.name}, {"error", describe(accepted.error())}});
    if (!co_await io::sleep_for(lane_.ring, kAcceptPause)) co_return std::nullopt;
  }
}

io::Task<void> Pod::accept_outbound() {
  while (auto socket = co_await next(*outbound_))
    serving_.spawn(serve_outbound(*std::move(socket)));
}

io::Task<void> Pod::accept_plaintext() {
  while (auto socket = co_await next(*plaintext_)) {
    serving_.spawn(serve_plaintext(*std::move(socket)));
  }
}

io::Task<void> Pod::accept_hbone() {
  while (auto socket = co_await next(*hbone_)) serving_.spawn(serve_hbone(*std::move(socket)));
}

io::Task<Result<io::Socket>> connect_to_application(io::Ring& ring, policy::Permit permit,
                                                    ApplicationAddress address) {
  (void)permit;  // that there is one is the point
  const io::ConnectOptions options{.to = address.to,
                                   .from = address.from,
                                   .mark = {},
                                   .reset_unless_finished = true,
                                   .same_host = true,
                                   .netns = address.netns,
                                   .deadline = kApplicationDeadline};
  co_return co_await io::connect(ring, options);
}

}  // namespace mesh::ztunnel
