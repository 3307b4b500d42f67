// weft-waypoint: the L7 proxy. Reads its settings, starts the lanes, then feeds them from the
// control plane until it is told to drain.

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <thread>

#include "mesh/base/privileges.h"
#include "mesh/io/both.h"
#include "mesh/io/signals.h"
#include "mesh/io/task_scope.h"
#include "mesh/io/timer.h"
#include "waypoint/assembly.h"
#include "waypoint/dump.h"
#include "waypoint/pages.h"

namespace mesh::waypoint {
namespace {

struct Program {
  io::Ring& ring;
  const Settings& settings;
  telemetry::Log& log;
  telemetry::Metrics& metrics;
  Stats& stats;
  Assembly& assembly;
  ControlPlane& control;
  Proxy& proxy;
  io::Event quit;
  io::TimePoint begun;
};

std::string config_page(Program& program, bool include_endpoints) {
  const auto certificates = program.control.certificates().list();
  return dump_config({.snapshot = *program.proxy.snapshot(),
                      .settings = program.settings,
                      .kept = program.assembly.kept(),
                      .waiting_for = program.assembly.waiting_for(),
                      .certificates = certificates},
                     include_endpoints);
}

io::Task<std::vector<ClusterRow>> clusters_of(Program& program) {
  auto reports = co_await program.proxy.reports();
  std::vector<std::vector<ClusterRow>> lanes;
  for (Lane::Report& report : reports) lanes.push_back(std::move(report.clusters));
  co_return merge(lanes);
}

io::Task<std::string> clusters_page(Program& program, bool json) {
  const std::vector<ClusterRow> rows = co_await clusters_of(program);
  co_return json ? clusters_json(rows) : clusters_text(rows);
}

io::Task<std::string> stats_page(Program& program) {
  const auto reports = co_await program.proxy.reports();
  const std::vector<ClusterRow> rows = co_await clusters_of(program);
  co_return dump_stats(reports, *program.proxy.snapshot(),
                       program.control.discovery().connected()) +
      clusters_stats(rows);
}

std::string server_page(Program& program) {
  const auto uptime = std::chrono::floor<std::chrono::seconds>(program.ring.now() - program.begun);
  const bool live = program.proxy.pending().empty();
  return dump_server_info(program.settings, live ? "LIVE" : "PRE_INITIALIZING", uptime);
}

std::string certificates_page(Program& program) {
  const auto certificates = program.control.certificates().list();
  return dump_certificates(certificates, program.ring.wall_now());
}

PageSources sources_of(Program& program) {
  return {
      .config_dump = [&program](bool endpoints) { return config_page(program, endpoints); },
      .clusters = [&program](bool json) { return clusters_page(program, json); },
      .stats = [&program] { return stats_page(program); },
      .listeners = [&program](bool json) { return dump_listeners(program.assembly.kept(), json); },
      .certificates = [&program] { return certificates_page(program); },
      .server_info = [&program] { return server_page(program); },
      .metrics = [&program] { return program.metrics.render(); },
      .pending = [&program] { return program.proxy.pending(); },
      .quit = [&program] { program.quit.set(); }};
}

Result<io::Listener> listen_at(io::Ring& ring, net::SocketAddress at) {
  auto listener = admin::listen_for_pages(ring, at);
  if (!listener) {
    std::fprintf(stderr, "weft-waypoint: cannot listen on %s: %s\n", at.to_string().c_str(),
                 std::string(reason_name(listener.error().reason)).c_str());
  }
  return listener;
}

struct Servers {
  admin::AdminServer admin, metrics, readiness;
};

// Until SIGTERM, SIGINT or /quitquitquit.
io::Task<void> wait_for_end(Program& program, io::Signals& signals) {
  const auto why = co_await io::first_of(signals.next(), program.quit.wait());
  program.log.info("main", "draining",
                   {{"because", why.winner == io::Winner::kFirst ? "signal" : "request"}});
}

io::Task<void> evict_series(Program& program) {
  for (;;) {
    const auto slept = co_await io::sleep_for(program.ring, std::chrono::minutes(1));
    if (!slept) co_return;
    program.stats.evict(program.ring.now().time_since_epoch());
  }
}

io::Task<void> run(Program& program, io::Signals& signals, Servers& servers, int& status) {
  const auto started = co_await program.proxy.start();
  if (!started) {
    std::fprintf(stderr, "weft-waypoint: cannot start a worker: %s during %s\n",
                 std::string(reason_name(started.error().reason)).c_str(), started.error().during);
    status = 1;
    co_await program.proxy.drain();
    co_return;
  }
  io::TaskScope pages, feeds;
  pages.spawn(servers.admin.run());
  pages.spawn(servers.metrics.run());
  pages.spawn(servers.readiness.run());
  feeds.spawn(program.control.run(program.proxy));
  feeds.spawn(evict_series(program));
  program.log.info("main", "started",
                   {{"version", WEFT_VERSION}, {"identity", program.settings.identity()}});
  co_await wait_for_end(program, signals);
  co_await program.proxy.drain();
  pages.cancel();
  feeds.cancel();
  co_await pages.join();
  co_await feeds.join();
}

int serve(const Settings& settings, io::Ring& ring, io::Signals& signals, telemetry::Log& log,
          telemetry::LogFilter& filter, telemetry::LogSink* access,
          telemetry::LogSink* configured) {
  telemetry::Metrics metrics;
  telemetry::add_process_metrics(metrics);
  Stats stats(metrics);
  Assembly assembly;
  auto control = ControlPlane::create(ring, settings, log, assembly);
  if (!control) {
    std::fprintf(stderr, "weft-waypoint: not an https:// address: %s\n",
                 settings.xds_address.c_str());
    return 1;
  }
  Proxy proxy(ring, settings, stats, access, configured);
  Program program{ring,     settings,  log,   metrics,         stats,
                  assembly, **control, proxy, io::Event(ring), ring.now()};
  const PageSources sources = sources_of(program);
  auto admin = listen_at(ring, settings.admin);
  auto metrics_at = listen_at(ring, settings.metrics);
  auto readiness = listen_at(ring, settings.readiness);
  if (!admin || !metrics_at || !readiness) return 1;
  Servers servers{
      .admin = {ring, *std::move(admin), admin_pages(sources, filter, telemetry::Level::kInfo)},
      .metrics = {ring, *std::move(metrics_at), metrics_pages(sources)},
      .readiness = {ring, *std::move(readiness), readiness_pages(sources)}};
  int status = 0;
  ring.run(run(program, signals, servers, status));
  return status;
}

int start(const Settings& settings) {
  // Before there is a second thread.
  if (const auto dropped = keep_capabilities({}); !dropped) {
    std::fprintf(stderr, "weft-waypoint: cannot give up privileges: %s\n", dropped.error().during);
    return 1;
  }
  raise_descriptor_limit();
  telemetry::LogFilter filter;
  if (!filter.apply(settings.log_level)) {
    std::fprintf(stderr, "weft-waypoint: cannot read log level '%s'\n", settings.log_level.c_str());
    return 1;
  }
  auto ring = io::Ring::create({.entries = 256, .relay_buffers = 16, .wire_buffers = 4});
  if (!ring) {
    std::fprintf(stderr, "weft-waypoint: %s\n", io::explain_create_error(ring.error()));
    return 1;
  }
  auto signals = io::Signals::catch_all(**ring, {SIGTERM, SIGINT});
  if (!signals) return 1;
  std::signal(SIGPIPE, SIG_IGN);
  telemetry::LogSink sink(STDERR_FILENO);
  telemetry::Log log(
      sink, settings.log_json ? telemetry::LogFormat::kJson : telemetry::LogFormat::kText, filter);
  telemetry::LogSink standard(STDOUT_FILENO);  // where chains' own logs go
  std::unique_ptr<telemetry::LogSink> file_sink;
  telemetry::LogSink* access = nullptr;
  if (settings.access_log == "/dev/stdout") {
    access = &standard;
  } else if (!settings.access_log.empty()) {
    const int file =
        open(settings.access_log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (file < 0) {
      std::fprintf(stderr, "weft-waypoint: cannot write %s\n", settings.access_log.c_str());
      return 1;
    }
    file_sink = std::make_unique<telemetry::LogSink>(file);
    access = file_sink.get();
  }
  return serve(settings, **ring, *signals, log, filter, access, &standard);
}

}  // namespace
}  // namespace mesh::waypoint

int main(int argc, char** argv) {
  auto parsed = mesh::waypoint::parse_settings(std::vector<std::string>(argv + 1, argv + argc),
                                               getenv, std::thread::hardware_concurrency());
  if (!parsed.settings) {
    std::fputs(parsed.text.c_str(), parsed.status == 0 ? stdout : stderr);
    return parsed.status;
  }
  return mesh::waypoint::start(*parsed.settings);
}
