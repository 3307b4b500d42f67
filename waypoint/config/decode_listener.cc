// Listeners: envoy.config.listener.v3 and the matcher that leads to their chains.

#include <algorithm>
#include <map>
#include <string>

#include "waypoint/config/decode.h"
#include "waypoint/config/decode_http.h"
#include "waypoint/config/decode_parts.h"

namespace mesh::waypoint::config {

namespace {

using namespace parts;

constexpr std::string_view kManager =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
constexpr std::string_view kTcpProxy = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
constexpr std::string_view kRbac = "envoy.extensions.filters.network.rbac.v3.RBAC";
constexpr std::string_view kInputs = "envoy.extensions.matching.common_inputs.network.v3.";

// Filters that pass bytes on as they are: bookkeeping between Envoy's internal listeners, peers
// that introduce themselves, counters.
bool is_ignored(const Tree& config) {
  std::string_view type = config.any_type();
  if (type == "udpa.type.v1.TypedStruct" || type == "xds.type.v3.TypedStruct") {
    const Tree* url = config.find("typeUrl");
    if (url != nullptr) type = std::string_view(url->text).substr(url->text.rfind('/') + 1);
  }
  return type == "envoy.extensions.filters.network.set_filter_state.v3.Config" ||
         type == "envoy.tcp.metadataexchange.config.MetadataExchange" ||
         type == "stats.PluginConfig";
}

// Whether connections are told apart by who makes them: what Envoy's proxy can go by beside what
// somebody put into its filter state, which here nobody does.
bool hashes_source_ip(Input& in, const Tree& at) {
  bool hashes = false;
  for (const Tree* one : in.list(at, "hashPolicy")) {
    const auto which = in.one_of(*one, {"sourceIp", "filterState"});
    if (which.empty()) continue;
    Input::overlook(one->find(which));
    if (which == "sourceIp") {
      hashes = true;
    } else {
      in.note(*one, "filterState: any endpoint may get a connection");
    }
  }
  return hashes;
}

TcpChain tcp_chain(Input& in, const Tree& at) {
  TcpChain chain{.stat_prefix = in.text(at, "statPrefix")};
  const auto which = in.one_of(at, {"cluster", "weightedClusters"});
  if (which == "cluster") {
    chain.targets.push_back({.cluster = in.text(at, which)});
  } else if (which == "weightedClusters") {
    if (const Tree* several = in.object(at, which)) {
      for (const Tree* one : in.list(*several, "clusters")) {
        chain.targets.push_back({.cluster = in.text(*one, "name"),
                                 .weight = static_cast<std::uint32_t>(in.number(*one, "weight"))});
      }
    }
  } else {
    in.refuse(at, "a proxy without a cluster");
  }
  for (const TcpChain::Target& target : chain.targets) chain.total_weight += target.weight;
  if (at.has("metadataMatch")) in.refuse(at, "metadataMatch is not supported");
  chain.idle_timeout = in.duration(at, "idleTimeout", chain.idle_timeout);
  chain.max_duration = in.duration(at, "maxDownstreamConnectionDuration", Millis(0));
  chain.hash_source_ip = hashes_source_ip(in, at);
  chain.access_logs = access_logs(in, at);
  Input::overlook(at, {"maxConnectAttempts"});
  return chain;
}

// Filters of one chain, in order.
void read_filters(Input& in, const Tree& at, Chain& chain, std::vector<RbacFilter>& rbac,
                  std::vector<std::string>& unavailable) {
  for (const Tree* one : in.list(at, "filters")) {
    const std::string name = in.text(*one, "name");
    const Tree* config = in.object(*one, "typedConfig");
    if (config == nullptr) {
      Input::overlook(one);
      unavailable.push_back(name + " has no configuration here");
    } else if (config->any_type() == kManager) {
      chain.http = http_chain(in, *config);
    } else if (config->any_type() == kTcpProxy) {
      chain.tcp = tcp_chain(in, *config);
    } else if (config->any_type() == kRbac) {
      rbac.push_back(rbac_filter(in, *config, false));
    } else if (is_ignored(*config)) {
      Input::overlook(config);
    } else {
      Input::overlook(config);
      unavailable.push_back(std::string(config->any_type()) + " is not supported");
    }
  }
}

bool goes_to_encap(const Chain& chain) {
  constexpr std::string_view kEncap = "encap";
  if (chain.tcp) return chain.tcp->targets.size() == 1 && chain.tcp->targets[0].cluster == kEncap;
  return chain.name == "direct-http";
}

Chain read_chain(Input& in, const Tree& at) {
  Chain chain{.name = in.text(at, "name")};
  std::vector<RbacFilter> rbac;
  std::vector<std::string> unavailable;
  read_filters(in, at, chain, rbac, unavailable);
  if (chain.http.has_value() == chain.tcp.has_value()) {
    in.refuse(at, "a chain that is not one of HTTP and TCP");
    return chain;
  }
  if (chain.http) {
    if (!rbac.empty()) in.refuse(at, "rules about connections in front of HTTP are not supported");
    for (std::string& problem : unavailable) {
      chain.http->filters.insert(
          chain.http->filters.begin(),
          {.name = problem, .settings = UnavailableFilter{.problem = problem}});
    }
  } else {
    chain.tcp->rbac = std::move(rbac);
    chain.tcp->unavailable = std::move(unavailable);
  }
  // Who is behind a chain is decided by the matcher alone.
  for (const std::string_view name : {"filterChainMatch", "transportSocket"}) {
    const Tree* found = at.find(name);
    if (found != nullptr && !found->children.empty()) in.refuse(*found, "not supported");
  }
  chain.direct = goes_to_encap(chain);
  return chain;
}

// A chain with a problem refuses everything, and says why.
Chain closed_chain(const Chain& broken, const std::string& problem) {
  Chain chain{.name = broken.name};
  if (broken.tcp && !broken.http) {
    chain.tcp = TcpChain{.unavailable = {problem}, .stat_prefix = broken.tcp->stat_prefix};
  } else {
    chain.http = HttpChain{};
    chain.http->routes = std::make_shared<const RouteTable>();
    chain.http->filters.push_back(
        {.name = "refused", .settings = UnavailableFilter{.problem = problem}});
  }
  return chain;
}

// Reads the matcher into tables. What it cannot say with them is refused.
class MatcherReader {
 public:
  MatcherReader(Input& in, Listener& into) : in_(in), into_(into) {
    for (const ChainPtr& chain : into.chains) by_name_[chain->name] = chain;
  }

  struct Scope {
    std::optional<net::Cidr> block = {};
    std::optional<std::uint16_t> port = {};
    std::string host = {};  // of an authority
  };

  void matcher(const Tree& at, const Scope& scope, int depth) {
    if (depth > 8) return in_.refuse(at, "nested too deep");
    const Tree* tree = in_.object(at, "matcherTree");
    if (tree == nullptr) return in_.refuse(at, "a matcher that is not a tree");
    const Tree* input_of = in_.object(*tree, "input");
    const Tree* config = input_of == nullptr ? nullptr : in_.object(*input_of, "typedConfig");
    const std::string_view type = config == nullptr ? std::string_view() : config->any_type();
    if (input_of != nullptr) Input::overlook(*input_of, {"name"});
    const std::string_view input = type.starts_with(kInputs) ? type.substr(kInputs.size()) : "";
    if (input == "DestinationIPInput") {
      by_ip(*tree, scope, depth);
    } else if (input == "DestinationPortInput") {
      by_port(*tree, scope, depth);
    } else if (input == "ApplicationProtocolInput") {
      return by_protocol(at, *tree, scope);
    } else if (input == "FilterStateInput" &&
               in_.text(*config, "key") == "io.istio.connect_authority") {
      by_authority(*tree, depth);
    } else {
      return in_.refuse(*tree, "an input that is not supported");
    }
    if (const Tree* otherwise = in_.object(at, "onNoMatch")) on_match(*otherwise, scope, depth);
  }

  void on_match(const Tree& at, const Scope& scope, int depth) {
    const auto which = in_.one_of(at, {"action", "matcher"});
    const Tree* found = which.empty() ? nullptr : in_.object(at, which);
    if (found == nullptr) return in_.refuse(at, "neither a matcher nor an action");
    if (which == "matcher") return matcher(*found, scope, depth + 1);
    add(at, scope, destination(*found));
  }

 private:
  Destination destination(const Tree& action) {
    Input::overlook(action, {"name"});
    const Tree* config = in_.object(action, "typedConfig");
    Destination to;
    if (config == nullptr || config->any_type() != "google.protobuf.StringValue") {
      in_.refuse(action, "an action that is not the name of a chain");
      return to;
    }
    const auto found = by_name_.find(in_.text(*config, "value"));
    if (found == by_name_.end()) {
      in_.refuse(action, "the name of a chain that is not there");
    } else {
      (found->second->http ? to.http : to.tcp) = found->second;
    }
    return to;
  }

  void add(const Tree& at, const Scope& scope, Destination to) {
    if (!scope.host.empty()) {
      into_.hostnames[scope.host] = std::move(to);
    } else if (!scope.block) {
      if (scope.port) return in_.refuse(at, "a port of any address is not supported");
      into_.direct = std::move(to);
    } else {
      const bool one = scope.block->length() == (scope.block->base().is_v4() ? 32u : 128u);
      if (one && scope.port) {
        into_.destinations.exact[{scope.block->base(), *scope.port}] = std::move(to);
      } else {
        into_.destinations.blocks.push_back(
            {.block = *scope.block, .port = scope.port, .destination = std::move(to)});
      }
    }
  }

  void by_ip(const Tree& tree, const Scope& scope, int depth) {
    const Tree* custom = in_.object(tree, "customMatch");
    const Tree* config = custom == nullptr ? nullptr : in_.object(*custom, "typedConfig");
    if (config == nullptr || config->any_type() != "xds.type.matcher.v3.IPMatcher" || scope.block) {
      return in_.refuse(tree, "not a match of addresses");
    }
    Input::overlook(*custom, {"name"});
    for (const Tree* one : in_.list(*config, "rangeMatchers")) {
      const Tree* match = in_.object(*one, "onMatch");
      if (match == nullptr) {
        in_.refuse(*one, "no onMatch");
        continue;
      }
      if (in_.flag(*one, "exclusive")) in_.refuse(*one, "exclusive is not supported");
      for (const Tree* range : in_.list(*one, "ranges")) {
        Scope inner = scope;
        inner.block = cidr(in_, *range);
        on_match(*match, inner, depth);
      }
    }
  }

  const Tree* exact_map(const Tree& tree) {
    const Tree* map = in_.object(tree, "exactMatchMap");
    if (map == nullptr) in_.refuse(tree, "not an exactMatchMap");
    return map;
  }

  void by_port(const Tree& tree, const Scope& scope, int depth) {
    const Tree* map = exact_map(tree);
    if (map == nullptr) return;
    for (const Tree* entry : in_.map(*map, "map")) {
      const auto port = net::parse_port(entry->label);
      if (!port) {
        in_.refuse(*entry, "not a port");
        continue;
      }
      Scope inner = scope;
      inner.port = *port;
      on_match(*entry, inner, depth);
    }
  }

  // What the client speaks first: HTTP/1.x or HTTP/2 one chain, anything else the other.
  void by_protocol(const Tree& at, const Tree& tree, const Scope& scope) {
    const Tree* map = exact_map(tree);
    if (map == nullptr) return;
    Destination to;
    for (const Tree* entry : in_.map(*map, "map")) {
      const Tree* action = in_.object(*entry, "action");
      const bool http =
          entry->label == "'h2c'" || entry->label == "'http/1.1'" || entry->label == "'http/1.0'";
      if (action == nullptr || !http) {
        in_.refuse(*entry, "a protocol that is not told apart");
        continue;
      }
      to.http = destination(*action).http;
    }
    const Tree* otherwise = in_.object(at, "onNoMatch");
    const Tree* action = otherwise == nullptr ? nullptr : in_.object(*otherwise, "action");
    if (action != nullptr) to.tcp = destination(*action).tcp;
    if (to.http == nullptr || to.tcp == nullptr) in_.refuse(at, "no chain for one of HTTP and TCP");
    add(at, scope, std::move(to));
  }

  void by_authority(const Tree& tree, int depth) {
    const Tree* map = exact_map(tree);
    if (map == nullptr) return;
    for (const Tree* entry : in_.map(*map, "map")) {
      on_match(*entry, Scope{.host = to_lower(entry->label)}, depth);
    }
  }

  Input& in_;
  Listener& into_;
  std::map<std::string, ChainPtr, std::less<>> by_name_;
};

void read_main(Input& in, const Tree& at, Listener& listener, std::string& chain_problem) {
  listener.role = Listener::Role::kMain;
  for (const Tree* one : in.list(at, "filterChains")) {
    Chain chain = read_chain(in, *one);
    // What is not honoured in this chain is this chain's problem, not all chains'.
    in.settle(*one);
    if (!in.ok()) {
      const std::string problem = in.take_problem();
      if (chain_problem.empty()) chain_problem = problem;
      chain = closed_chain(chain, problem);
    }
    listener.chains.push_back(std::make_shared<const Chain>(std::move(chain)));
  }
  const Tree* matcher = in.object(at, "filterChainMatcher");
  if (matcher == nullptr)
    return in.refuse(at, "a table of destinations without filterChainMatcher");
  Input::secure(*matcher);
  MatcherReader(in, listener).matcher(*matcher, {}, 0);
  std::ranges::sort(listener.destinations.blocks, [](const auto& a, const auto& b) {
    return a.block.length() != b.block.length() ? a.block.length() > b.block.length()
                                                : a.port.has_value() > b.port.has_value();
  });
}

void read_terminate_filters(Input& in, const Tree& manager, Terminate& terminate) {
  for (const Tree* one : in.list(manager, "httpFilters")) {
    HttpFilter filter{.name = in.text(*one, "name")};
    const Tree* config = in.object(*one, "typedConfig");
    if (config == nullptr) {
      in.refuse(*one, "a filter without a configuration");
    } else if (config->any_type() == "envoy.extensions.filters.http.rbac.v3.RBAC") {
      terminate.rbac.push_back(rbac_filter(in, *config, false));
    } else if (http_filter(in, *config, filter) == FilterUse::kUsed) {
      in.refuse(*one, "not supported on the tunnel's listener");
    }
  }
}

void read_terminate(Input& in, const Tree& at, Listener& listener) {
  Terminate& terminate = listener.terminate;
  listener.role = Listener::Role::kTerminate;
  const Tree* address = in.object(at, "address");
  const Tree* socket = address == nullptr ? nullptr : in.object(*address, "socketAddress");
  if (socket != nullptr) terminate.port = socket_address(in, *socket, nullptr).port;
  const auto chains = in.list(at, "filterChains");
  if (chains.size() != 1) return in.refuse(at, "not one filter chain");
  const Tree* tls = in.object(*chains[0], "transportSocket");
  const Tree* context = tls == nullptr ? nullptr : in.object(*tls, "typedConfig");
  if (tls != nullptr) Input::overlook(*tls, {"name"});
  if (context == nullptr) return in.refuse(*chains[0], "tunnels without TLS are not supported");
  terminate.client_names = client_names(in, *context);
  Input::overlook(*chains[0], {"name"});
  for (const Tree* one : in.list(*chains[0], "filters")) {
    Input::overlook(*one, {"name"});
    const Tree* config = in.object(*one, "typedConfig");
    if (config == nullptr) {
      in.refuse(*one, "a filter without a configuration");
    } else if (config->any_type() == kRbac) {
      terminate.rbac.push_back(rbac_filter(in, *config, false));
    } else if (config->any_type() == kManager) {
      read_terminate_filters(in, *config, terminate);
      if (const Tree* h2 = in.object(*config, "http2ProtocolOptions")) {
        terminate.max_concurrent_streams = static_cast<std::uint32_t>(
            in.number(*h2, "maxConcurrentStreams", terminate.max_concurrent_streams));
        if (const Tree* alive = in.object(*h2, "connectionKeepalive")) {
          terminate.keepalive_interval =
              in.duration(*alive, "interval", terminate.keepalive_interval);
          terminate.keepalive_timeout = in.duration(*alive, "timeout", terminate.keepalive_timeout);
        }
      }
      terminate.stream_idle_timeout =
          in.duration(*config, "streamIdleTimeout", terminate.stream_idle_timeout);
      // The rest of it says what a tunnel is.
      Input::overlook(config);
    } else if (!is_ignored(*config)) {
      in.refuse(*one, "not supported on the tunnel's listener");
    }
  }
}

}  // namespace

Listener listener_of(Input& in, const Tree& at, std::string& chain_problem) {
  Listener listener{.name = in.text(at, "name")};
  if (listener.name == "connect_terminate") {
    read_terminate(in, at, listener);
  } else if (listener.name == "main_internal") {
    read_main(in, at, listener, chain_problem);
  } else if (listener.name == "connect_originate" || listener.name == "inner_connect_originate" ||
             listener.name == "outer_connect_originate") {
    Input::overlook(&at);
    return listener;
  } else {
    in.refuse(at, "a listener that a waypoint does not have: " + listener.name);
  }
  Input::overlook(
      at, {"address", "additionalAddresses", "connectionBalanceConfig", "internalListener",
           "listenerFilters", "listenerFiltersTimeout", "continueOnListenerFiltersTimeout",
           "trafficDirection", "useOriginalDst", "accessLog", "perConnectionBufferLimitBytes",
           "enableReusePort", "statPrefix"});
  if (const Tree* other = at.find("defaultFilterChain")) in.refuse(*other, "not supported");
  return listener;
}

}  // namespace mesh::waypoint::config
