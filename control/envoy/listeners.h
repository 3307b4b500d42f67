#pragma once
// The three listeners of a waypoint. Pure.
//
//   connect_terminate   15008: ends the tunnel, hands who called and what was dialled on
//   main_internal       picks a chain by the dialled address and port; a chain does everything
//   connect_originate   the tunnel to where a chain decided

#include "control/envoy/catalog.h"

namespace envoy::config::listener::v3 {
class Listener;
}

namespace mesh::control {

struct Build;

envoy::config::listener::v3::Listener connect_terminate_listener(const Build& build);
envoy::config::listener::v3::Listener connect_originate_listener();
envoy::config::listener::v3::Listener main_internal_listener(Build& build);

}  // namespace mesh::control
