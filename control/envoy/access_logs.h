#pragma once
// The access logs of a chain, as Envoy says them. Pure.

#include "control/telemetry/scopes.h"
#include "wire.pb.h"

namespace envoy::config::accesslog::v3 {
class AccessLog;
}

namespace mesh::control {

void add_access_logs(
    const ChainTelemetry& telemetry,
    google::protobuf::RepeatedPtrField<envoy::config::accesslog::v3::AccessLog>* into);

}  // namespace mesh::control
