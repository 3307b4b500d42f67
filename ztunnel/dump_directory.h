#pragma once
// The Directory as JSON, in the shape of Istio's /config_dump. Pure.

#include "mesh/workload/directory.h"
#include "ztunnel/json.h"

namespace mesh::ztunnel {

// "policies", "services", "stagedServices", "workloads": each a sorted array or object.
void write_policies(JsonWriter& json, const workload::Directory& directory);
void write_services(JsonWriter& json, const workload::Directory& directory);
void write_staged(JsonWriter& json, const workload::Directory& directory);
void write_workloads(JsonWriter& json, const workload::Directory& directory);
// Ours: resources that were not understood, and why.
void write_rejected(JsonWriter& json, const workload::Directory& directory);

}  // namespace mesh::ztunnel
