#pragma once
// Connections whose bytes are not looked at: policy of layer 4, an endpoint, a relay.

#include "mesh/hbone/authority.h"
#include "waypoint/context.h"
#include "waypoint/wire/wire.h"

namespace mesh::waypoint {

// May this caller send anything here at all? Names and layered policy of the HBONE listener.
bool may_enter(const config::Terminate& terminate, const Caller& caller);

// Until both sides have ended. `first`: bytes of the client that were read already, or null.
io::Task<Result<Done>> relay_opaque(RingContext& context, const Caller& caller,
                                    const hbone::Authority& target, wire::Wire& client,
                                    const tls::Slice* first);

}  // namespace mesh::waypoint
