#include "waypoint/config/decode.h"

#include <utility>

#include "mesh/xds/envoy_schema.h"
#include "waypoint/config/decode_parts.h"
#include "waypoint/config/tree.h"

namespace mesh::waypoint::config {

namespace {

// A path of the wire's, "a.b[3].c[key]: what", split into steps.
std::vector<std::string_view> steps_of(std::string_view path) {
  std::vector<std::string_view> steps;
  std::size_t at = 0;
  while (at < path.size()) {
    if (path[at] == '[') {
      // A key may hold brackets of its own: "policies[ns[a]-policy[b]]".
      int open = 0;
      std::size_t end = at;
      do {
        if (path[end] == '[') ++open;
        if (path[end] == ']') --open;
        ++end;
      } while (end < path.size() && open > 0);
      steps.push_back(path.substr(at + 1, end - at - 2));
      at = end;
    } else if (path[at] == '.') {
      ++at;
    } else {
      const auto end = std::min(path.find_first_of(".[", at), path.size());
      steps.push_back(path.substr(at, end - at));
      at = end;
    }
  }
  return steps;
}

// Whether somebody said of a place on this path that everything in it counts.
bool is_secure(const Tree& root, std::string_view path) {
  const Tree* at = &root;
  if (at->secure) return true;
  for (const std::string_view step : steps_of(path)) {
    const Tree* next = nullptr;
    for (const auto& child : at->children) {
      if (child->label == step) next = child.get();
    }
    if (next == nullptr) return false;
    at = next;
    if (at->secure) return true;
  }
  return false;
}

// What the schema does not have: a problem in a secure place, else listed.
void judge_unknown(const Tree& root, const std::vector<std::string>& unknown, std::string_view name,
                   std::string& problem, std::vector<NotHonoured>& not_honoured) {
  for (const std::string& one : unknown) {
    // A filter of a type that is not ours has been looked at by its name.
    if (one.ends_with(" is unknown") && !one.contains("field ")) continue;
    const auto colon = one.rfind(": ");
    const std::string_view path =
        std::string_view(one).substr(0, colon == std::string::npos ? 0 : colon);
    const bool malformed = !one.contains("field ");
    if (malformed || is_secure(root, path)) {
      if (problem.empty()) problem = one;
    } else {
      not_honoured.push_back({.resource = std::string(name), .path = one});
    }
  }
}

template <class T, class Read>
Decoded<T> decode_tree(std::string_view json, const std::vector<std::string>& unknown,
                       Read&& read) {
  Decoded<T> decoded;
  const std::unique_ptr<Tree> root = Tree::parse(json);
  if (root == nullptr || root->kind != Tree::Kind::kObject) {
    decoded.problem = "not a message";
    return decoded;
  }
  Input in;
  std::string part_problem;
  T value = read(in, *root, part_problem);
  const Tree* name = root->has("name") ? root->find("name") : root->find("clusterName");
  const std::string called = name == nullptr ? std::string() : name->text;
  decoded.not_honoured = in.leftovers(*root, called);
  std::string unknown_problem;
  judge_unknown(*root, unknown, called, unknown_problem, decoded.not_honoured);
  decoded.problem = in.take_problem();
  const bool usable = decoded.problem.empty() && unknown_problem.empty();
  if (decoded.problem.empty()) decoded.problem = unknown_problem;
  if (decoded.problem.empty()) decoded.problem = part_problem;
  if (usable) decoded.value = std::move(value);
  return decoded;
}

template <class T, class Read>
Decoded<T> decode_bytes(std::string_view type_url, std::string_view bytes, Read&& read) {
  Decoded<T> decoded;
  if (bytes.size() > kMaxResourceBytes) {
    decoded.problem = "larger than 16 MiB";
    return decoded;
  }
  const std::string_view type = xds::message_of(type_url);
  const std::string json = xds::to_json(type, bytes);
  if (json.empty()) {
    const auto unknown = xds::unknown_fields(type, bytes, 1);
    decoded.problem = unknown.empty() ? "not a message" : unknown[0];
    return decoded;
  }
  return decode_tree<T>(json, xds::unknown_fields(type, bytes), read);
}

Listener read_listener(Input& in, const Tree& at, std::string& chain_problem) {
  return listener_of(in, at, chain_problem);
}

ClusterResource read_cluster(Input& in, const Tree& at, std::string&) {
  ClusterResource read{.cluster = cluster_of(in, at)};
  Cluster& cluster = read.cluster;
  if (cluster.name != "connect_originate") return read;
  // Whom tunnels trust. Nobody, unless it says so.
  if (!cluster.tls || cluster.tls->trusted_ca_secret.empty()) {
    in.refuse(at, "tunnels without TLS and a CA");
    return read;
  }
  if (!cluster.tls->certificate_secret.empty()) {
    in.refuse(at, "tunnels with another certificate than our own");
  }
  read.originate = Originate{.server_names = cluster.tls->uri_names,
                             .idle_timeout = cluster.http.idle_timeout.value_or(Millis(3'600'000)),
                             .connect_timeout = cluster.connect_timeout};
  return read;
}

Endpoints read_endpoints(Input& in, const Tree& at, std::string&) { return endpoints_of(in, at); }

RouteTable read_routes(Input& in, const Tree& at, std::string&) {
  return parts::route_table(in, at);
}

Extension read_extension(Input& in, const Tree& at, std::string&) {
  Extension read{.name = in.text(at, "name")};
  read.filter.name = read.name;
  const Tree* config = in.object(at, "typedConfig");
  if (config == nullptr) {
    in.refuse(at, "an extension without a configuration");
    return read;
  }
  read.ignored = parts::http_filter(in, *config, read.filter) == parts::FilterUse::kIgnored;
  return read;
}

Secret read_secret(Input& in, const Tree& at, std::string&) { return parts::secret(in, at); }

}  // namespace

Decoded<Listener> decode_listener(std::string_view bytes) {
  return decode_bytes<Listener>(kListenerType, bytes, read_listener);
}
Decoded<ClusterResource> decode_cluster(std::string_view bytes) {
  return decode_bytes<ClusterResource>(kClusterType, bytes, read_cluster);
}
Decoded<Endpoints> decode_endpoints(std::string_view bytes) {
  return decode_bytes<Endpoints>(kEndpointsType, bytes, read_endpoints);
}
Decoded<RouteTable> decode_routes(std::string_view bytes) {
  return decode_bytes<RouteTable>(kRouteType, bytes, read_routes);
}
Decoded<Extension> decode_extension(std::string_view bytes) {
  return decode_bytes<Extension>(kExtensionType, bytes, read_extension);
}
Decoded<Secret> decode_secret(std::string_view bytes) {
  return decode_bytes<Secret>(kSecretType, bytes, read_secret);
}

Decoded<Listener> decode_listener_json(std::string_view json) {
  return decode_tree<Listener>(json, {}, read_listener);
}
Decoded<ClusterResource> decode_cluster_json(std::string_view json) {
  return decode_tree<ClusterResource>(json, {}, read_cluster);
}
Decoded<Endpoints> decode_endpoints_json(std::string_view json) {
  return decode_tree<Endpoints>(json, {}, read_endpoints);
}
Decoded<RouteTable> decode_routes_json(std::string_view json) {
  return decode_tree<RouteTable>(json, {}, read_routes);
}
Decoded<Extension> decode_extension_json(std::string_view json) {
  return decode_tree<Extension>(json, {}, read_extension);
}
Decoded<Secret> decode_secret_json(std::string_view json) {
  return decode_tree<Secret>(json, {}, read_secret);
}

bool is_prime(std::uint64_t number) {
  if (number < 2) return false;
  for (std::uint64_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) return false;
  }
  return true;
}

}  // namespace mesh::waypoint::config
