// GatewayClass, Gateway and ReferenceGrant. Gateway and GatewayClass are read leniently, as core
// objects are: most of a Gateway is for controllers that are not ours.

#include "mesh/manifest/read.h"

namespace mesh::manifest {
namespace {

constexpr std::size_t kMaxListeners = 64;
constexpr std::size_t kMaxGrants = 16;

std::optional<ParametersRef> read_parameters(Fields& fields) {
  if (!fields.present("parametersRef")) return {};
  Fields ref = fields.map("parametersRef");
  return ParametersRef{.group = ref.text("group"),
                       .kind = ref.required_text("kind"),
                       .ns = ref.text("namespace"),
                       .name = ref.required_text("name")};
}

GatewayClass read_gateway_class(Fields& document, Metadata metadata) {
  GatewayClass gateway_class;
  gateway_class.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  gateway_class.controller = spec.required_text("controllerName");
  gateway_class.parameters = read_parameters(spec);
  return gateway_class;
}

Listener read_listener(Fields& fields) {
  Listener listener;
  listener.name = fields.text("name");
  listener.hostname = fields.text("hostname");
  listener.port = fields.port("port");
  listener.protocol = fields.text("protocol");
  Fields allowed = fields.map("allowedRoutes");
  for (Fields& kind : allowed.maps("kinds", 8)) {
    listener.routes_kinds.push_back({.group = kind.text("group", "gateway.networking.k8s.io"),
                                     .kind = kind.required_text("kind")});
  }
  Fields namespaces = allowed.map("namespaces");
  listener.routes_from = namespaces.choice("from", {"All", "Selector", "Same", "None"}, "Same");
  listener.routes_selector = read_label_selector(namespaces, "selector");
  return listener;
}

Gateway read_one_gateway(Fields& document, Metadata metadata) {
  Gateway gateway;
  gateway.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  gateway.class_name = spec.text("gatewayClassName");
  for (Fields& fields : spec.maps("listeners", kMaxListeners)) {
    gateway.listeners.push_back(read_listener(fields));
  }
  for (Fields& fields : spec.maps("addresses", 16)) {
    gateway.addresses.push_back(
        {.type = fields.text("type", "IPAddress"), .value = fields.text("value")});
  }
  Fields infrastructure = spec.map("infrastructure");
  gateway.infrastructure_labels = infrastructure.labels("labels");
  gateway.infrastructure_annotations = infrastructure.labels("annotations");
  gateway.parameters = read_parameters(infrastructure);
  return gateway;
}

ReferenceGrant read_grant(Fields& document, Metadata metadata) {
  ReferenceGrant grant;
  grant.metadata = std::move(metadata);
  Fields spec = document.map("spec");
  for (Fields& from : spec.maps("from", kMaxGrants)) {
    grant.from.push_back({.group = from.text("group"),
                          .kind = from.required_text("kind"),
                          .ns = from.required_text("namespace")});
    from.finish();
  }
  for (Fields& to : spec.maps("to", kMaxGrants)) {
    grant.to.push_back(
        {.group = to.text("group"), .kind = to.required_text("kind"), .name = to.text("name")});
    to.finish();
  }
  if (grant.from.empty()) spec.error("from", "is required");
  if (grant.to.empty()) spec.error("to", "is required");
  spec.finish();
  return grant;
}

}  // namespace

LabelSelector read_label_selector(Fields& fields, std::string_view key) {
  Fields from = fields.map(key);
  LabelSelector selector;
  selector.labels = from.labels("matchLabels");
  for (Fields& term : from.maps("matchExpressions", 64)) {
    LabelExpression expression;
    expression.key = term.required_text("key");
    expression.op = term.choice("operator", {"In", "NotIn", "Exists", "DoesNotExist"});
    expression.values = term.texts("values");
    if (expression.op.empty()) term.error("operator", "is required");
    selector.expressions.push_back(std::move(expression));
  }
  return selector;
}

Object read_gateway(Kind kind, Fields& document, Metadata metadata) {
  switch (kind) {
    case Kind::kGatewayClass:
      return read_gateway_class(document, std::move(metadata));
    case Kind::kReferenceGrant:
      return read_grant(document, std::move(metadata));
    default:
      return read_one_gateway(document, std::move(metadata));
  }
}

}  // namespace mesh::manifest
