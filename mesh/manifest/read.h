#pragma once
// The readers of single kinds. Each reads its object from the fields of a document, reporting what
// does not fit; the result counts only if nothing was reported as an error.

#include "mesh/manifest/fields.h"
#include "mesh/manifest/objects.h"

namespace mesh::manifest {

// One object of a kind, if nothing of it is wrong.
std::optional<Object> read_valid(Kind kind, const Value& object);

Object read_core(Kind kind, Fields& document, Metadata metadata);
Object read_security(Kind kind, Fields& document, Metadata metadata);
Object read_network(Kind kind, Fields& document, Metadata metadata);
Object read_gateway(Kind kind, Fields& document, Metadata metadata);
Object read_route(Kind kind, Fields& document, Metadata metadata);
RequestAuthentication read_request_authentication(Fields& document, Metadata metadata);
DestinationRule read_destination_rule(Fields& document, Metadata metadata);
VirtualService read_virtual_service(Fields& document, Metadata metadata);
Telemetry read_telemetry(Fields& document, Metadata metadata);

// spec.selector.matchLabels; spec.targetRef and spec.targetRefs of a policy.
std::optional<Labels> read_selector(Fields& spec);
std::vector<TargetRef> read_targets(Fields& spec, bool has_selector);
// A map of matchLabels and matchExpressions.
LabelSelector read_label_selector(Fields& fields, std::string_view key);
// A list of numbers, as text, whether strict or not.
std::vector<std::string> number_texts(Fields& fields, std::string_view key);

}  // namespace mesh::manifest
