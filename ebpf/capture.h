#pragma once
// Capture of one pod's traffic: its programs, where they are attached, and the routing they need.
//
// In force means in force: it stays when this object, or the whole process, goes away, and a later
// establish() for the same namespace takes it over without a gap. Only remove() ends it.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ebpf/attach.h"
#include "ebpf/programs.h"
#include "ebpf/routing.h"
#include "mesh/base/result.h"
#include "mesh/net/address.h"
#include "mesh/net/netns.h"

namespace mesh::ebpf {

struct CaptureOptions {
  std::vector<net::IpAddress> addresses = {};  // the pod's; 1 to WEFT_ADDRESSES of a family
  // From where, and to where, the kubelet's probes pass without ztunnel.
  std::optional<net::IpAddress> probe_v4 = {};
  std::optional<net::IpAddress> probe_v6 = {};
  // Connections that exist go on undisturbed. Off when the pod was enrolled before: then whatever
  // connected while the programs were missing has no right to.
  bool keep_older_connections = true;
  // The pod leaves: its new connections pass by ztunnel, those that ztunnel has go on.
  bool lets_go = false;
  AttachKind attach = AttachKind::kTcx;
  // From a former process: what its Capture of this pod said.
  std::vector<SavedSetting> saved_settings = {};
  std::vector<unsigned> made_clsact = {};
};

class Capture {
 public:
  // Borrows `exempt` for as long as the Capture lives. On failure nothing new stays in force.
  // Errors: kMalformed (addresses), kUnreachable (no Ethernet interface has a pod address), and
  // those of Programs::load().
  static Result<Capture> establish(const net::NetworkNamespace& netns, CaptureOptions options,
                                   ExemptCgroups& exempt);
  Capture(Capture&&) noexcept = default;
  Capture& operator=(Capture&&) noexcept = default;

  // Connections older than the enrolment that are still open.
  Result<std::vector<weft_connection>> older(const net::NetworkNamespace& netns);
  // Ends them; how many.
  Result<unsigned> end_older(const net::NetworkNamespace& netns);

  std::array<std::uint64_t, WEFT_OUTCOMES> counters() const { return programs_.counters(); }

  // Attaches again what somebody detached, and also to interfaces that have come since. How many
  // places had to be mended.
  Result<unsigned> mend(const net::NetworkNamespace& netns);
  // Puts rules, routes and settings back. Without them captured traffic goes nowhere.
  Result<Done> mend_routing(const net::NetworkNamespace& netns);

  // Connections of the pod that run through ztunnel.
  Result<unsigned> captured(const net::NetworkNamespace& netns);

  // Ends the connections that ran through ztunnel, then takes away everything: programs, rules,
  // routes, settings.
  Result<Done> remove(const net::NetworkNamespace& netns);

  // What only this object knows and a successor needs.
  const std::vector<SavedSetting>& saved_settings() const { return saved_settings_; }
  const std::vector<unsigned>& made_clsact() const { return attacher_.made_clsact(); }

 private:
  Capture(Programs programs, const weft_pod& pod, Attacher attacher,
          std::vector<SavedSetting> saved)
      : programs_(std::move(programs)),
        pod_(pod),
        attacher_(std::move(attacher)),
        saved_settings_(std::move(saved)) {}
  static Result<Capture> establish_here(const CaptureOptions& options, ExemptCgroups& exempt);
  Result<unsigned> attach_all();
  static Result<Done> detach_all(Attacher& attacher);
  Result<Done> attach(const AttachPoint& point);
  bool is_local(const weft_connection& connection) const;
  Result<std::vector<weft_connection>> older_here();
  Result<std::vector<weft_connection>> captured_here();
  Result<Done> end_captured();

  Programs programs_;
  weft_pod pod_;
  Attacher attacher_;
  std::vector<SavedSetting> saved_settings_;
};

}  // namespace mesh::ebpf
