#include "mesh/manifest/parse.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>

#include "mesh/base/check.h"
#include "mesh/manifest/fields.h"
#include "mesh/manifest/read.h"
#include "mesh/manifest/stand_in.h"

namespace mesh::manifest {
namespace {

constexpr KnownKind kKinds[] = {
    {{"v1"}, "Namespace", Kind::kNamespace, false},
    {{"v1"}, "Node", Kind::kNode, false},
    {{"v1"}, "ServiceAccount", Kind::kServiceAccount},
    {{"v1"}, "Pod", Kind::kPod},
    {{"v1"}, "Service", Kind::kService},
    {{"discovery.k8s.io/v1"}, "EndpointSlice", Kind::kEndpointSlice},
    {{"security.istio.io/v1", "security.istio.io/v1beta1"},
     "AuthorizationPolicy",
     Kind::kAuthorizationPolicy},
    {{"security.istio.io/v1", "security.istio.io/v1beta1"},
     "PeerAuthentication",
     Kind::kPeerAuthentication},
    {{"networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"},
     "WorkloadEntry",
     Kind::kWorkloadEntry},
    {{"networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"},
     "ServiceEntry",
     Kind::kServiceEntry},
    {{"security.istio.io/v1", "security.istio.io/v1beta1"},
     "RequestAuthentication",
     Kind::kRequestAuthentication},
    {{"networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"},
     "DestinationRule",
     Kind::kDestinationRule},
    {{"networking.istio.io/v1", "networking.istio.io/v1beta1", "networking.istio.io/v1alpha3"},
     "VirtualService",
     Kind::kVirtualService},
    {{"telemetry.istio.io/v1", "telemetry.istio.io/v1alpha1"}, "Telemetry", Kind::kTelemetry},
    {{"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"},
     "GatewayClass",
     Kind::kGatewayClass,
     false},
    {{"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"},
     "Gateway",
     Kind::kGateway},
    {{"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"},
     "HTTPRoute",
     Kind::kHttpRoute},
    {{"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"},
     "GRPCRoute",
     Kind::kGrpcRoute},
    {{"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"},
     "TCPRoute",
     Kind::kTcpRoute},
    {{"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha3",
      "gateway.networking.k8s.io/v1alpha2"},
     "TLSRoute",
     Kind::kTlsRoute},
    {{"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"},
     "ReferenceGrant",
     Kind::kReferenceGrant},
};

std::string_view group_of(std::string_view api_version) {
  const auto slash = api_version.find('/');
  return slash == std::string_view::npos ? std::string_view() : api_version.substr(0, slash);
}

bool is_dns_name(std::string_view name) {
  return !name.empty() && name.size() <= 253 && name.front() != '-' && name.front() != '.' &&
         name.back() != '-' && name.back() != '.' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

Metadata read_metadata(Fields fields) {
  Metadata metadata;
  metadata.name = fields.text("name");
  metadata.ns = fields.text("namespace");
  metadata.labels = fields.labels("labels");
  metadata.annotations = fields.labels("annotations");
  metadata.generate_name = fields.text("generateName");
  metadata.uid = fields.text("uid");
  metadata.deleting = fields.present("deletionTimestamp");
  if (const Value* created = fields.take("creationTimestamp"); created != nullptr) {
    metadata.created = created->text;
  }
  const bool strict = fields.report().strict;
  fields.report().strict = false;  // the API server's own bookkeeping
  metadata.resource_version = fields.text("resourceVersion");
  metadata.generation = fields.number("generation", std::numeric_limits<std::uint32_t>::max());
  for (Fields& owner : fields.maps("ownerReferences")) {
    metadata.owners.push_back({.kind = owner.text("kind"),
                               .name = owner.text("name"),
                               .controller = owner.flag("controller", false)});
  }
  fields.report().strict = strict;
  for (const std::string_view known : {"deletionTimestamp", "deletionGracePeriodSeconds",
                                       "finalizers", "managedFields", "selfLink"}) {
    fields.ignore(known);
  }
  fields.finish();
  return metadata;
}

class FileReader {
 public:
  FileReader(std::string_view file, Parsed& parsed) : file_(file), parsed_(&parsed) {}

  void document(const Value& value, unsigned depth) {
    Report report{.parsed = parsed_, .file = file_, .object = {}};
    if (value.type != Value::Type::kMap) {
      report.error(value.line, "", "a document must be a map of fields");
      parsed_->unidentified = true;
      return;
    }
    Fields fields(report, &value, "");
    std::optional<ObjectKey> guess;
    if (text_of(value, "apiVersion").empty()) guess = guessed_key(value, report);
    const std::string api_version = fields.required_text("apiVersion");
    const std::string kind = fields.required_text("kind");
    if (report.failed) {
      refuse(guess, value);
    } else if (kind == "List" && api_version == "v1") {
      list(value, report, depth);
    } else if (const KnownKind* known = find(kind, api_version); known != nullptr) {
      object(*known, value, fields, report);
    } else {
      unknown(kind, api_version, value, report);
    }
  }

  // An object of a kind that is known beforehand.
  void object(Kind kind, const Value& value) {
    Report report{.parsed = parsed_, .file = file_, .object = {}};
    Fields fields(report, &value, "");
    if (report.failed) {
      parsed_->unidentified = true;
      return;
    }
    fields.ignore("apiVersion");
    fields.ignore("kind");
    object(known_kind(kind), value, fields, report);
  }

  // Takes the invalid objects out again, and looks at what may stand for them.
  void finish() {
    std::erase_if(parsed_->objects,
                  [&](const ParsedObject& o) { return broken_.contains(key_of(o.object)); });
    for (const auto& [key, values] : broken_) {
      for (const Value* value : values) {
        parsed_->broken.push_back({key, value->line, stand_in(key, *value)});
      }
    }
  }

  // Of a file that is unreadable: what can be identified of it is broken, whatever it says.
  void finish_unreadable() {
    for (const auto& [key, value] : first_) {
      if (!broken_.contains(key)) refuse(key, *value);
    }
    finish();
  }

 private:
  static const KnownKind* find(std::string_view kind, std::string_view api_version) {
    for (const KnownKind& known : kKinds) {
      if (known.name != kind) continue;
      for (const std::string_view version : known.api_versions) {
        if (!version.empty() && version == api_version) return &known;
      }
    }
    return nullptr;
  }

  void list(const Value& value, Report& report, unsigned depth) {
    const Value* items = value.find("items");
    if (items == nullptr || items->is_null()) return;
    if (depth > 0 || items->type != Value::Type::kList) {
      report.error(items->line, "items", "must be a list of objects");
      parsed_->unidentified = true;
      return;
    }
    for (const Value& item : items->items) document(item, depth + 1);
  }

  static std::string text_of(const Value& map, std::string_view key) {
    const Value* value = member(&map, key);
    return value == nullptr || value->type != Value::Type::kScalar ? "" : value->text;
  }

  // Of a document without a version, or of one that does not exist: which of our kinds it must
  // mean.
  static std::optional<ObjectKey> guessed_key(const Value& value, Report& report) {
    const auto* known = std::find_if(std::begin(kKinds), std::end(kKinds), [&](const KnownKind& k) {
      return k.name == text_of(value, "kind");
    });
    const Value* metadata = member(&value, "metadata");
    if (known == std::end(kKinds) || metadata == nullptr) return {};
    Metadata names;
    names.name = text_of(*metadata, "name");
    names.ns = text_of(*metadata, "namespace");
    auto key = identify(*known, names);
    if (key) report.object = key->to_string();
    return key;
  }

  void refuse(const std::optional<ObjectKey>& key, const Value& value) {
    if (!key) {
      parsed_->unidentified = true;
      return;
    }
    const Value* first = first_.emplace(*key, &value).first->second;
    auto& all = broken_[*key];
    // Of two of one name neither is better than the other.
    if (all.empty() && first != &value) all.push_back(first);
    all.push_back(&value);
  }

  static std::optional<ObjectKey> identify(const KnownKind& known, const Metadata& metadata) {
    std::string ns = known.namespaced ? metadata.ns : "";
    if (known.namespaced && ns.empty()) ns = "default";
    if (!is_dns_name(metadata.name) || !(ns.empty() || is_dns_name(ns))) return {};
    return ObjectKey{known.kind, std::move(ns), metadata.name};
  }

  // A kind of ours in a version that does not exist is an error, and so is a kind that a group with
  // policies does not have; a kind of somebody else is not.
  void unknown(const std::string& kind, const std::string& api_version, const Value& value,
               Report& report) {
    const std::string_view asked = group_of(api_version);
    const auto known =
        std::ranges::find_if(kKinds, [&](const KnownKind& k) { return k.name == kind; });
    const bool is_ours = known != std::end(kKinds);
    if (is_ours && (asked.empty() || asked == group_of(known->api_versions[0]))) {
      const auto key = guessed_key(value, report);
      report.error(value.line, "apiVersion",
                   "\"" + api_version.substr(0, 64) + "\" is not a version of " + kind);
      refuse(key, value);
    } else if (asked == "security.istio.io") {
      report.error(value.line, "kind", kind.substr(0, 64) + " is no kind of " + std::string(asked));
      parsed_->unidentified = true;
    } else if (asked.ends_with("istio.io") || (is_ours && is_strict_kind(known->kind))) {
      report.warn(value.line, "",
                  kind.substr(0, 64) + " of " + api_version.substr(0, 64) +
                      " is not known: it has no effect");
    }
  }

  void object(const KnownKind& known, const Value& value, Fields& fields, Report& report) {
    report.strict = is_strict_kind(known.kind);
    Metadata metadata = read_metadata(fields.map("metadata"));
    auto key = identify(known, metadata);
    if (!key) {
      report.error(value.line, "metadata.name", "is not the name of an object");
      parsed_->unidentified = true;
      return;
    }
    metadata.ns = key->ns;
    report.object = key->to_string();
    fields.ignore("status");
    Object object = read(known.kind, fields, std::move(metadata));
    if (report.strict) {
      fields.ignore("spec");
      fields.finish();
    }
    keep(*std::move(key), std::move(object), value, report);
  }

  static Object read(Kind kind, Fields& fields, Metadata metadata) {
    switch (kind) {
      case Kind::kAuthorizationPolicy:
      case Kind::kPeerAuthentication:
      case Kind::kRequestAuthentication:
        return read_security(kind, fields, std::move(metadata));
      case Kind::kWorkloadEntry:
      case Kind::kServiceEntry:
        return read_network(kind, fields, std::move(metadata));
      case Kind::kGatewayClass:
      case Kind::kGateway:
      case Kind::kReferenceGrant:
        return read_gateway(kind, fields, std::move(metadata));
      case Kind::kHttpRoute:
      case Kind::kGrpcRoute:
      case Kind::kTcpRoute:
      case Kind::kTlsRoute:
        return read_route(kind, fields, std::move(metadata));
      case Kind::kDestinationRule:
        return read_destination_rule(fields, std::move(metadata));
      case Kind::kVirtualService:
        return read_virtual_service(fields, std::move(metadata));
      case Kind::kTelemetry:
        return read_telemetry(fields, std::move(metadata));
      default:
        return read_core(kind, fields, std::move(metadata));
    }
  }

  void keep(ObjectKey key, Object object, const Value& value, Report& report) {
    const auto [first, is_first] = first_.emplace(key, &value);
    if (!is_first) {
      report.error(value.line, "metadata.name",
                   "there are two objects of this name: the other is at line " +
                       std::to_string(first->second->line));
    }
    if (report.failed) refuse(key, value);
    parsed_->objects.push_back({std::move(object), value.line});
  }

  std::string file_;
  Parsed* parsed_;
  // Borrowed from the documents.
  std::map<ObjectKey, const Value*> first_;
  std::map<ObjectKey, std::vector<const Value*>> broken_;
};

}  // namespace

std::span<const KnownKind> known_kinds() { return kKinds; }

const KnownKind& known_kind(Kind kind) {
  const auto* known = std::find_if(std::begin(kKinds), std::end(kKinds),
                                   [&](const KnownKind& k) { return k.kind == kind; });
  MESH_CHECK(known != std::end(kKinds));
  return *known;
}

bool Parsed::has_errors() const {
  return std::any_of(problems.begin(), problems.end(),
                     [](const Problem& p) { return p.severity == Severity::kError; });
}

std::string Problem::to_string() const {
  std::string text = file;
  if (line != 0) text += ":" + std::to_string(line);
  text += ": ";
  if (!object.empty()) text += object + ": ";
  if (!field.empty()) text += field + ": ";
  text += message;
  if (!in_force.empty()) text += "; " + in_force;
  return text;
}

Parsed parse(std::string_view file, std::string_view text) {
  Parsed parsed;
  const YamlFile yaml = read_yaml(text);
  if (!yaml.errors.empty()) {
    parsed.unreadable = true;
    for (const YamlError& error : yaml.errors) {
      parsed.problems.push_back(
          {Severity::kError, std::string(file), error.line, "", "", error.message});
    }
    Parsed guessed;
    FileReader reader(file, guessed);
    for (const Value& document : yaml.documents) reader.document(document, 0);
    reader.finish_unreadable();
    parsed.broken = std::move(guessed.broken);
    return parsed;
  }
  FileReader reader(file, parsed);
  for (const Value& document : yaml.documents) reader.document(document, 0);
  reader.finish();
  return parsed;
}

std::optional<Object> read_valid(Kind kind, const Value& object) {
  Parsed parsed;
  FileReader("", parsed).object(kind, object);
  if (parsed.objects.size() != 1 || parsed.has_errors()) return {};
  return std::move(parsed.objects.front().object);
}

Parsed parse_object(std::string_view origin, Kind kind, const Value& object) {
  Parsed parsed;
  FileReader reader(origin, parsed);
  reader.object(kind, object);
  reader.finish();
  return parsed;
}

}  // namespace mesh::manifest
