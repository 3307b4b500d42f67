#include "control/envoy/listeners.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/envoy/build.h"
#include "control/envoy/chains.h"
#include "envoy/http_connection_manager.pb.h"
#include "envoy/http_inspector.pb.h"
#include "envoy/http_set_filter_state.pb.h"
#include "envoy/listener.pb.h"
#include "envoy/network_inputs.pb.h"
#include "envoy/original_dst.pb.h"
#include "envoy/router.pb.h"
#include "envoy/tcp_proxy.pb.h"
#include "envoy/tls.pb.h"
#include "envoy/xds_matcher.pb.h"

namespace mesh::control {
namespace {

namespace filters = envoy::extensions::filters;
namespace hcm = filters::network::http_connection_manager::v3;
namespace inputs = envoy::extensions::matching::common_inputs::network::v3;
namespace listener = envoy::config::listener::v3;
namespace matcher = xds::type::matcher::v3;
using filters::common::set_filter_state::v3::FilterStateValue;
using std::chrono::seconds;

void add_listener_filter(const char* name, const google::protobuf::MessageLite& config,
                         listener::Listener* into) {
  listener::ListenerFilter* filter = into->add_listener_filters();
  filter->set_name(name);
  pack(config, filter->mutable_typed_config());
}

void add_value(const std::string& key, const char* format, bool hashed,
               google::protobuf::RepeatedPtrField<FilterStateValue>* into) {
  FilterStateValue* value = into->Add();
  value->set_object_key(key);
  // Envoy's own kind of text; the incumbent has one of its build for the same.
  if (hashed) value->set_factory_key("envoy.hashable_string");
  value->mutable_format_string()->mutable_text_format_source()->set_inline_string(format);
  value->set_shared_with_upstream(FilterStateValue::ONCE);
}

// What the far side of the tunnel said, for the listener inside.
filters::http::set_filter_state::v3::Config handed_on() {
  filters::http::set_filter_state::v3::Config config;
  auto* values = config.mutable_on_request_headers();
  const std::string original(kOriginalDst);
  add_value(original + ".local_ip", "%REQ(:AUTHORITY)%", false, values);
  add_value("io.istio.connect_authority", "%REQ(:AUTHORITY)%", true, values);
  add_value(original + ".remote_ip", "%DOWNSTREAM_REMOTE_ADDRESS%", false, values);
  add_value(std::string(kPeerPrincipal), "%DOWNSTREAM_PEER_URI_SAN%", true, values);
  add_value("io.istio.local_principal", "%DOWNSTREAM_LOCAL_URI_SAN%", true, values);
  return config;
}

hcm::HttpConnectionManager tunnel_manager() {
  hcm::HttpConnectionManager to;
  to.set_stat_prefix(std::string(kConnectTerminate));
  to.set_server_name("istio-envoy");
  to.mutable_use_remote_address()->set_value(false);
  to.mutable_stream_idle_timeout();
  to.set_forward_client_cert_details(hcm::HttpConnectionManager::APPEND_FORWARD);
  auto* details = to.mutable_set_current_client_cert_details();
  details->mutable_subject()->set_value(true);
  details->set_dns(true);
  details->set_uri(true);
  auto* http2 = to.mutable_http2_protocol_options();
  http2->set_allow_connect(true);
  http2->mutable_max_concurrent_streams()->set_value(100);
  set_duration(http2->mutable_connection_keepalive()->mutable_interval(), seconds(10));
  set_duration(http2->mutable_connection_keepalive()->mutable_timeout(), seconds(20));
  to.add_upgrade_configs()->set_upgrade_type("CONNECT");
  hcm::HttpFilter* filter = to.add_http_filters();
  filter->set_name("connect_authority");
  pack(handed_on(), filter->mutable_typed_config());
  filter = to.add_http_filters();
  filter->set_name("envoy.filters.http.router");
  pack(filters::http::router::v3::Router(), filter->mutable_typed_config());
  auto* routes = to.mutable_route_config();
  routes->set_name("default");
  auto* host = routes->add_virtual_hosts();
  host->set_name("default");
  host->add_domains("*");
  auto* route = host->add_routes();
  route->mutable_match()->mutable_connect_matcher();
  route->mutable_route()->set_cluster(std::string(kMainInternal));
  auto* upgrade = route->mutable_route()->add_upgrade_configs();
  upgrade->set_upgrade_type("CONNECT");
  upgrade->mutable_connect_config();
  return to;
}

// ---- main_internal ------------------------------------------------------------------------------

void set_action(const std::string& chain, matcher::Matcher::OnMatch* to) {
  weft::wire::StringValue name;
  name.set_value(chain);
  to->mutable_action()->set_name(chain);
  pack(name, to->mutable_action()->mutable_typed_config());
}

void set_input(const char* name, const google::protobuf::MessageLite& input,
               matcher::Matcher::MatcherTree* tree) {
  tree->mutable_input()->set_name(name);
  pack(input, tree->mutable_input()->mutable_typed_config());
}

// HTTP, as http_inspector saw it, to one chain and everything else to the other.
void set_by_look(const std::string& http, const std::string& tcp, matcher::Matcher::OnMatch* to) {
  matcher::Matcher* by_protocol = to->mutable_matcher();
  matcher::Matcher::MatcherTree* tree = by_protocol->mutable_matcher_tree();
  set_input("application-protocol", inputs::ApplicationProtocolInput(), tree);
  auto& map = *tree->mutable_exact_match_map()->mutable_map();
  for (const char* protocol : {"'h2c'", "'http/1.0'", "'http/1.1'"}) {
    set_action(http, &map[protocol]);
  }
  set_action(tcp, by_protocol->mutable_on_no_match());
}

void set_blocks(const std::vector<net::Cidr>& blocks, matcher::IPMatcher::IPRangeMatcher* to) {
  for (const net::Cidr& block : blocks) {
    auto* range = to->add_ranges();
    range->set_address_prefix(block.base().to_string());
    range->mutable_prefix_len()->set_value(block.length());
  }
}

class MainInternal {
 public:
  explicit MainInternal(Build& build) : build_(build) {}

  listener::Listener run() {
    to_.set_name(std::string(kMainInternal));
    to_.mutable_internal_listener();
    to_.set_traffic_direction(envoy::config::core::v3::INBOUND);
    for (const auto* service : build_.catalog.services_behind(build_.host)) add_service(*service);
    add_workloads();
    auto* tree = to_.mutable_filter_chain_matcher()->mutable_matcher_tree();
    set_input("ip", inputs::DestinationIPInput(), tree);
    tree->mutable_custom_match()->set_name("ip");
    // A tree without a branch is not taken: nobody is at this address.
    if (addresses_.range_matchers_size() == 0) add_nobody();
    pack(addresses_, tree->mutable_custom_match()->mutable_typed_config());
    add_listener_filter("envoy.filters.listener.original_dst",
                        filters::listener::original_dst::v3::OriginalDst(), &to_);
    add_inspector();
    return std::move(to_);
  }

 private:
  void add_service(const CatalogService& service) {
    // A headless one is dialled by its pods' addresses; a name alone cannot be dialled at all.
    if (service.addresses.empty() || service.ports.empty()) return;
    matcher::IPMatcher::IPRangeMatcher* range = addresses_.add_range_matchers();
    set_blocks(service.addresses, range);
    auto* tree = range->mutable_on_match()->mutable_matcher()->mutable_matcher_tree();
    set_input("port", inputs::DestinationPortInput(), tree);
    auto& map = *tree->mutable_exact_match_map()->mutable_map();
    for (const CatalogPort& port : service.ports) {
      add_port(service, port, &map[std::to_string(port.number)]);
    }
  }

  void add_port(const CatalogService& service, const CatalogPort& port,
                matcher::Matcher::OnMatch* to) {
    std::string http;
    std::string tcp;
    if (port.protocol != PortProtocol::kTcp) {
      *to_.add_filter_chains() = http_chain(build_, service, port);
      http = inbound_cluster(service, port.number, true);
    }
    if (port.protocol == PortProtocol::kTcp || port.protocol == PortProtocol::kUnknown) {
      *to_.add_filter_chains() = tcp_chain(build_, service, port);
      tcp = inbound_cluster(service, port.number, false);
    }
    if (port.protocol == PortProtocol::kUnknown) {
      looked_at_.insert(port.number);
      set_by_look(http, tcp, to);
    } else {
      known_.insert(port.number);
      set_action(http.empty() ? tcp : http, to);
    }
  }

  void add_workloads() {
    bool any = false;
    for (const auto* workload : build_.catalog.workloads_behind(build_.host)) {
      if (!workload->hbone) continue;
      std::vector<net::Cidr> blocks;
      for (const std::string& text : workload->addresses) {
        if (const auto block = net::Cidr::parse(text)) blocks.push_back(*block);
        if (const auto ip = net::IpAddress::parse(text); ip && blocks.empty()) {
          blocks.push_back(*net::Cidr::make(*ip, ip->is_v4() ? 32 : 128));
        }
      }
      if (blocks.empty()) continue;
      any = true;
      matcher::IPMatcher::IPRangeMatcher* range = addresses_.add_range_matchers();
      set_blocks(blocks, range);
      set_by_look("direct-http", "direct-tcp", range->mutable_on_match());
    }
    if (!any) return;
    everything_is_looked_at_ = true;
    *to_.add_filter_chains() = direct_tcp_chain(build_);
    *to_.add_filter_chains() = direct_http_chain(build_);
  }

  void add_nobody() {
    matcher::IPMatcher::IPRangeMatcher* range = addresses_.add_range_matchers();
    set_blocks({*net::Cidr::parse("240.0.0.0/32")}, range);
    set_action("nobody", range->mutable_on_match());
    listener::FilterChain* chain = to_.add_filter_chains();
    chain->set_name("nobody");
    filters::network::tcp_proxy::v3::TcpProxy proxy;
    proxy.set_stat_prefix("nobody");
    proxy.set_cluster("nobody");
    listener::Filter* filter = chain->add_filters();
    filter->set_name("envoy.filters.network.tcp_proxy");
    pack(proxy, filter->mutable_typed_config());
  }

  // Looking stalls servers that speak first: not where the protocol is declared.
  void add_inspector() {
    std::vector<std::uint16_t> skipped;
    if (!everything_is_looked_at_) {
      std::set_difference(known_.begin(), known_.end(), looked_at_.begin(), looked_at_.end(),
                          std::back_inserter(skipped));
    }
    if (looked_at_.empty() && !everything_is_looked_at_ && skipped.empty()) return;
    add_listener_filter("envoy.filters.listener.http_inspector",
                        filters::listener::http_inspector::v3::HttpInspector(), &to_);
    if (skipped.empty()) return;
    auto* disabled = to_.mutable_listener_filters(1)->mutable_filter_disabled();
    const auto fill = [](std::uint16_t port, auto* to) {
      to->mutable_destination_port_range()->set_start(port);
      to->mutable_destination_port_range()->set_end(port + 1);
    };
    if (skipped.size() == 1) return fill(skipped[0], disabled);
    for (const std::uint16_t port : skipped) fill(port, disabled->mutable_or_match()->add_rules());
  }

  Build& build_;
  listener::Listener to_;
  matcher::IPMatcher addresses_;
  std::set<std::uint16_t> known_, looked_at_;  // ports
  bool everything_is_looked_at_ = false;
};

}  // namespace

listener::Listener connect_terminate_listener(const Build& build) {
  listener::Listener to;
  to.set_name(std::string(kConnectTerminate));
  to.mutable_address()->mutable_socket_address()->set_address("0.0.0.0");
  to.mutable_address()->mutable_socket_address()->set_port_value(15008);
  to.mutable_connection_balance_config()->mutable_exact_balance();
  listener::FilterChain* chain = to.add_filter_chains();
  chain->set_name("default");
  envoy::extensions::transport_sockets::tls::v3::DownstreamTlsContext tls;
  tls.mutable_require_client_certificate()->set_value(true);
  fill_tls(build.settings, build.client, false, tls.mutable_common_tls_context());
  chain->mutable_transport_socket()->set_name("tls");
  pack(tls, chain->mutable_transport_socket()->mutable_typed_config());
  listener::Filter* filter = chain->add_filters();
  filter->set_name("envoy.filters.network.http_connection_manager");
  pack(tunnel_manager(), filter->mutable_typed_config());
  return to;
}

listener::Listener connect_originate_listener() {
  listener::Listener to;
  to.set_name(std::string(kConnectOriginate));
  to.mutable_internal_listener();
  to.mutable_use_original_dst()->set_value(false);
  add_listener_filter("envoy.filters.listener.original_dst",
                      filters::listener::original_dst::v3::OriginalDst(), &to);
  filters::network::tcp_proxy::v3::TcpProxy proxy;
  proxy.set_stat_prefix(std::string(kConnectOriginate));
  proxy.set_cluster(std::string(kConnectOriginate));
  proxy.mutable_tunneling_config()->set_hostname("%DOWNSTREAM_LOCAL_ADDRESS%");
  listener::Filter* filter = to.add_filter_chains()->add_filters();
  filter->set_name("envoy.filters.network.tcp_proxy");
  pack(proxy, filter->mutable_typed_config());
  return to;
}

listener::Listener main_internal_listener(Build& build) { return MainInternal(build).run(); }

}  // namespace mesh::control
