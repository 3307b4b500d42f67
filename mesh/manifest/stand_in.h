#pragma once
// What stands for an object that cannot be read and never was good, so that what it meant to close
// is not open meanwhile. parse() makes it (BrokenObject); whoever keeps last good versions says
// when it holds. Pure.
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
#include <string>

#include "mesh/manifest/objects.h"
#include "mesh/manifest/yaml.h"

namespace mesh::manifest {

// nullptr: it is left out.
std::shared_ptr<const Object> stand_in(const ObjectKey& key, const Value& value);

// For whoever reads of the problem: what holds of a broken object.
inline constexpr const char* kLastGoodHolds = "what was good before stays in force";
inline constexpr const char* kLeftOut = "it was never good here: it is left out";
// "it was never good here: all that it selects is denied"
std::string stand_in_words(Kind kind);
// "all that it selects is denied"
const char* what_stand_in_does(Kind kind);

}  // namespace mesh::manifest
