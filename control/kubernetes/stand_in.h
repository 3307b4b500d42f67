#pragma once
// What stands for an object that cannot be read and never was good here, so that what it meant to
// close is not open meanwhile. Pure.
//
// | kind | what holds |
// | --- | --- |
// | AuthorizationPolicy | all that it selects is denied; its namespace, if it has targets |
// | PeerAuthentication | what it selects takes mutual TLS only |
// | RequestAuthentication | HTTP at the waypoints before its targets is denied |
// | DestinationRule that asks for TLS | waypoints call its host not at all, never without TLS |
// | DestinationRule that asks for ISTIO_MUTUAL at most | waypoints call its host by tunnels only |
// | WorkloadEntry with an IP address | connections to that are refused |
// | ServiceEntry | connections to its hosts and addresses are refused |
// | others | nothing: they are left out |
//
// A scope that cannot be read is the whole namespace.

#include <memory>
#include <vector>

#include "mesh/manifest/objects.h"
#include "mesh/manifest/parse.h"
#include "mesh/manifest/yaml.h"

namespace mesh::control::kubernetes {

// nullptr: it is left out. `problems`: what is wrong with the object.
std::shared_ptr<const manifest::Object> stand_in(const manifest::ObjectKey& key,
                                                 const manifest::Value& value,
                                                 const std::vector<manifest::Problem>& problems);

// For its status: what holds, if it has a stand-in.
const char* stand_in_words(manifest::Kind kind);

}  // namespace mesh::control::kubernetes
