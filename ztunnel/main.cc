// weft-ztunnel: the node proxy. Reads its settings, starts the lanes, then feeds them from the
// control plane and the node agent until it is told to drain.

#include <linux/capability.h>
#include <malloc.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <thread>

#include "mesh/base/memory_use.h"
#include "mesh/base/privileges.h"
#include "mesh/grpc/resolver.h"
#include "mesh/io/both.h"
#include "mesh/io/signals.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/timer.h"
#include "ztunnel/control_plane.h"
#include "ztunnel/dump.h"
#include "ztunnel/pages.h"
#include "ztunnel/strict_keeper.h"
#include "ztunnel/zds_client.h"

namespace mesh::ztunnel {
namespace {

constexpr std::size_t kDumpedConnectionsMax = 10000;
constexpr std::chrono::milliseconds kLookAtMemory{200};
constexpr unsigned kLooksPerTrim = 5;

struct Program {
  Program(io::Ring& main_ring, const Config& settings, telemetry::Log& log,
          std::unique_ptr<ControlPlane> plane, Telemetry& shared)
      : ring(main_ring),
        config(settings),
        telemetry(shared),
        control(std::move(plane)),
        node(
            ring, config, telemetry,
            [this](const net::SpiffeId& id, bool used) { use_identity(id, used); },
            [this](const net::SpiffeId& id) { control->certificates().wanted_now(id); }),
        zds(ring, config, telemetry, node),
        strict(ring, config, telemetry, node),
        quit(ring) {
    (void)log;
  }

  void use_identity(const net::SpiffeId& id, bool used) {
    if (!used) return control->certificates().remove_user(id);
    if (!control->certificates().add_user(id)) {
      telemetry.log.error("identity", "too many identities on this node", {{"id", id.to_string()}});
    }
  }

  io::Ring& ring;
  const Config& config;
  Telemetry& telemetry;
  std::unique_ptr<ControlPlane> control;
  Node node;
  ZdsClient zds;
  StrictKeeper strict;
  io::Event quit;
};

io::Task<std::string> dump_of(Program& program) {
  auto connections = co_await program.node.connections(kDumpedConnectionsMax);
  const DumpInput input{
      .config = program.config,
      .directory = *program.node.directory(),
      .certificates = program.control->certificates().list(),
      .pods = program.node.pods(),
      .connections = std::move(connections),
      .control_version = std::string(program.control->discovery().control_version())};
  co_return dump(input);
}

struct Servers {
  Servers(Program& program, telemetry::Level initial, io::Listener admin_at,
          io::Listener metrics_at, io::Listener readiness_at)
      : admin(program.ring, std::move(admin_at),
              admin_pages(
                  program.telemetry.log.filter(), initial, [&program] { return dump_of(program); },
                  [&program] { program.quit.set(); })),
        metrics(program.ring, std::move(metrics_at), metrics_pages([&program] {
                  program.control->count();
                  return program.telemetry.metrics.render();
                })),
        readiness(program.ring, std::move(readiness_at),
                  readiness_pages([&program] { return program.node.pending(); })) {}

  admin::AdminServer admin, metrics, readiness;
};

Result<io::Listener> listen_at(io::Ring& ring, net::SocketAddress at, const char* flag) {
  auto listener = admin::listen_for_pages(ring, at);
  if (!listener) {
    std::fprintf(stderr, "weft-ztunnel: cannot listen on %s: %s; choose another with --%s\n",
                 at.to_string().c_str(), describe(listener.error()).c_str(), flag);
  }
  return listener;
}

Result<std::unique_ptr<Servers>> make_servers(Program& program, telemetry::Level initial) {
  TRY(io::Listener admin, listen_at(program.ring, program.config.admin, "admin"));
  TRY(io::Listener metrics, listen_at(program.ring, program.config.metrics, "metrics"));
  TRY(io::Listener readiness, listen_at(program.ring, program.config.readiness, "readiness"));
  return std::make_unique<Servers>(program, initial, std::move(admin), std::move(metrics),
                                   std::move(readiness));
}

// Begins no connection while the cgroup's memory is short: the kernel would end them all. Until
// cancelled.
io::Task<void> watch_memory(Program& program) {
  bool was_short = false;
  for (unsigned looks = 0; co_await io::sleep_for(program.ring, kLookAtMemory); ++looks) {
    const auto use = read_memory_use();
    const bool is_short = use && use->is_short();
    // What connections that have ended left behind is the allocator's until it is asked for it.
    if (is_short && looks % kLooksPerTrim == 0) malloc_trim(0);
    if (is_short == was_short) continue;
    was_short = is_short;
    program.node.set_memory_short(is_short);
    const auto level = is_short ? telemetry::Level::kWarn : telemetry::Level::kInfo;
    program.telemetry.log.limited(
        "memory", level, "main",
        is_short ? "memory is short: no connection is begun" : "memory is no longer short",
        {{"used", use ? std::to_string(use->used) : ""},
         {"limit", use ? std::to_string(use->limit) : ""}});
  }
}

// Until SIGTERM, SIGINT or /quitquitquit.
io::Task<void> wait_for_end(Program& program, io::Signals& signals) {
  const auto why = co_await io::first_of(signals.next(), program.quit.wait());
  program.telemetry.log.info(
      "main", "draining", {{"because", why.winner == io::Winner::kFirst ? "signal" : "request"}});
}

io::Task<void> run(Program& program, io::Signals& signals, Servers& servers, int& status) {
  const auto started = co_await program.node.start();
  if (!started) {
    std::fprintf(stderr, "weft-ztunnel: cannot start a worker: %s\n",
                 describe(started.error()).c_str());
    status = 1;
  } else {
    io::TaskScope pages, feeds;
    pages.spawn(servers.admin.run());
    pages.spawn(servers.metrics.run());
    pages.spawn(servers.readiness.run());
    feeds.spawn(program.control->run(program.node));
    feeds.spawn(program.zds.run());
    feeds.spawn(program.strict.run());
    feeds.spawn(program.node.tend());
    feeds.spawn(watch_memory(program));
    program.telemetry.log.info("main", "started",
                               {{"version", WEFT_VERSION}, {"node", program.config.node_name}});
    co_await wait_for_end(program, signals);
    pages.cancel();
    co_await pages.join();
    // The agent learns at once that we are going; control keeps feeding what still runs.
    co_await program.node.drain();
    feeds.cancel();
    co_await feeds.join();
  }
}

void read_resolv_conf(Config& config) {
  std::ifstream file(config.resolv_conf);
  std::string text(64 * 1024, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  const grpc::ResolvConf parsed = grpc::parse_resolv_conf(text);
  config.dns_servers = parsed.servers;
  const std::string& domain = config.cluster_domain;
  for (const std::string& search : parsed.search) {
    if (search != domain && !search.ends_with("." + domain)) config.dns_search.push_back(search);
  }
}

// bpf_sk_assign() honours SO_REUSEPORT groups since Linux 6.6; before, it refuses them.
bool kernel_has_one_listener_per_pod() {
  utsname name{};
  int major = 0, minor = 0;
  if (uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return true;
  return major < 6 || (major == 6 && minor < 6);
}

// setns() into pods; transparent sockets and marks; answers from port 53 of the address asked.
constexpr std::array kCapabilities = {CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW,
                                      CAP_NET_BIND_SERVICE};

int start(Config config) {
  // Before there is a second thread.
  if (const auto dropped = keep_capabilities(kCapabilities); !dropped) {
    std::fprintf(stderr, "weft-ztunnel: cannot give up privileges: %s: %s\n",
                 dropped.error().during, describe(dropped.error()).c_str());
    return 1;
  }
  if (const std::string missing = missing_capabilities(kCapabilities); !missing.empty()) {
    std::fprintf(stderr, "weft-ztunnel: %s missing: run as root, or with these capabilities\n",
                 missing.c_str());
    return 1;
  }
  if (!hbone::CongestionOptions::parse(config.tunnel_congestion_control)) {
    std::fprintf(stderr, "weft-ztunnel: this kernel has no congestion control '%s'\n",
                 config.tunnel_congestion_control.c_str());
    return 1;
  }
  raise_descriptor_limit();
  read_resolv_conf(config);
  config.one_listener_per_pod = kernel_has_one_listener_per_pod();
  telemetry::LogFilter filter;
  if (!filter.apply(config.log_level)) {
    std::fprintf(stderr, "weft-ztunnel: cannot read log level '%s'\n", config.log_level.c_str());
    return 1;
  }
  auto ring = io::Ring::create({.entries = 256, .relay_buffers = 16, .wire_buffers = 4});
  if (!ring) {
    std::fprintf(stderr, "weft-ztunnel: %s (%s)\n", io::explain_create_error(ring.error()),
                 describe(ring.error()).c_str());
    return 1;
  }
  auto signals = io::Signals::catch_all(**ring, {SIGTERM, SIGINT});
  if (!signals) {
    std::fprintf(stderr, "weft-ztunnel: cannot catch signals: %s\n",
                 describe(signals.error()).c_str());
    return 1;
  }
  std::signal(SIGPIPE, SIG_IGN);
  telemetry::LogSink sink(STDERR_FILENO);
  telemetry::Log log(
      sink, config.log_json ? telemetry::LogFormat::kJson : telemetry::LogFormat::kText, filter);
  Telemetry shared(log);
  auto control = ControlPlane::create(**ring, config, shared);
  if (!control) {
    std::fprintf(stderr, "weft-ztunnel: not an https:// address: %s\n", config.xds_address.c_str());
    return 1;
  }
  Program program(**ring, config, log, *std::move(control), shared);
  auto servers = make_servers(program, telemetry::Level::kInfo);
  if (!servers) return 1;
  int status = 0;
  (*ring)->run(run(program, *signals, **servers, status));
  return status;
}

}  // namespace
}  // namespace mesh::ztunnel

int main(int argc, char** argv) {
  auto parsed = mesh::ztunnel::parse_config(std::vector<std::string>(argv + 1, argv + argc), getenv,
                                            std::thread::hardware_concurrency(), environ);
  if (!parsed.config) {
    std::fputs(parsed.text.c_str(), parsed.status == 0 ? stdout : stderr);
    return parsed.status;
  }
  return mesh::ztunnel::start(*std::move(parsed.config));
}
