// weft-control: reads a folder of manifests or an API server, serves what follows from it to the
// data planes.

#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <expected>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "control/auth/callers.h"
#include "control/ca/authority.h"
#include "control/ca_server.h"
#include "control/certificates.h"
#include "control/config.h"
#include "control/debug_pages.h"
#include "control/envoy/annotations.h"
#include "control/grpc_server.h"
#include "control/http_server.h"
#include "control/hub.h"
#include "control/jwks/fetcher.h"
#include "control/kubernetes/replica.h"
#include "control/mesh_file.h"
#include "control/state.h"
#include "control/store.h"
#include "control/tokens.h"
#include "mesh/kube/config.h"

namespace mesh::control {
namespace {

std::string text_of(const std::string& what, const Error& error) {
  std::string text = what + ": " + error.during;
  if (error.os_errno != 0) text += std::string(": ") + std::strerror(error.os_errno);
  return text;
}

int give_up(const std::string& what) {
  std::fprintf(stderr, "weft-control: %s\n", what.c_str());
  return 1;
}

int give_up(const std::string& what, const Error& error) { return give_up(text_of(what, error)); }

// Says each problem once, when it appears.
class ProblemLog {
 public:
  explicit ProblemLog(telemetry::Log& log) : log_(log) {}

  void say(const std::vector<manifest::Problem>& problems) {
    std::set<std::string> now;
    for (const manifest::Problem& problem : problems) {
      const std::string text = problem.to_string();
      if (now.insert(text).second && !said_.contains(text)) {
        if (problem.severity == manifest::Severity::kError) {
          log_.error("manifest", text);
        } else {
          log_.warn("manifest", text);
        }
      }
    }
    if (now.empty() && !said_.empty()) log_.info("manifest", "no problems left");
    said_ = std::move(now);
  }

 private:
  telemetry::Log& log_;
  std::set<std::string> said_;
};

// The signals that end us, blocked in every thread so that main can wait for them.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

// Where the manifests and the authority come from: a folder or an API server.
struct Source {
  std::unique_ptr<Store> folder;
  std::unique_ptr<kubernetes::Replica> replica;
  std::unique_ptr<MeshFile> mesh;

  // What is wrong.
  std::expected<Done, std::string> open(const Config& config, Hub& hub, ca::Authority& authority,
                                        telemetry::Log& log,
                                        std::function<void(const StoreState&)> changed,
                                        std::function<void(const MeshState&)> mesh_changed,
                                        std::function<void()> authority_changed) {
    if (!config.mesh_config.empty()) {
      auto file = MeshFile::open(config.mesh_config, config.state + "/mesh-config", mesh_changed);
      if (!file) return std::unexpected("--mesh-config: " + file.error());
      mesh = *std::move(file);
    }
    if (!config.manifests.empty()) return open_folder(config, authority, std::move(changed));
    auto access = config.kubeconfig.empty()
                      ? kube::in_cluster()
                      : kube::load_kubeconfig(config.kubeconfig, config.context);
    if (!access) return std::unexpected("--kubernetes: " + access.error());
    auto opened = kubernetes::Replica::open(
        {.access = *std::move(access),
         .ns = config.ns,
         .pod = config.pod,
         .node_accounts = config.node_accounts,
         .rotation_wait = config.rotation_wait,
         .istio_root_map = config.istio_root_map,
         .waypoints = {.image = config.waypoint_images.weft,
                       .envoy_image = config.waypoint_images.envoy,
                       .sds_image = config.waypoint_images.sds,
                       .root_map =
                           config.istio_root_map ? "istio-ca-root-cert" : "weft-ca-root-cert",
                       .ns = config.ns,
                       .localhost_seccomp = config.waypoint_seccomp_localhost},
         .mesh_map = config.mesh_config_map},
        hub, authority, log, std::move(changed), std::move(mesh_changed),
        std::move(authority_changed));
    if (!opened) return std::unexpected("--kubernetes: " + opened.error());
    replica = *std::move(opened);
    return Done{};
  }

  std::expected<Done, std::string> open_folder(const Config& config, ca::Authority& authority,
                                               std::function<void(const StoreState&)> changed) {
    auto root = CertificateAuthority::open(config.state + "/ca", config.settings.trust_domain);
    if (!root) return std::unexpected(text_of(config.state + "/ca", root.error()));
    authority.set(*std::move(root));
    auto opened = Store::open(config.manifests, config.state + "/manifests", std::move(changed));
    if (!opened) return std::unexpected(text_of("--manifests " + config.manifests, opened.error()));
    folder = *std::move(opened);
    return Done{};
  }

  void settle(int timeout_ms) {
    if (folder != nullptr) folder->settle(timeout_ms);
    if (replica != nullptr) replica->settle(timeout_ms);
    if (mesh != nullptr) mesh->settle(timeout_ms);
  }
};

// The files that port 15012 shows and verifies by, after each change of the authority.
class ServingIdentity {
 public:
  ServingIdentity(const Config& config, const ca::Authority& authority, telemetry::Log& log)
      : folder_(config.state + "/serving"),
        names_(config.serving_names),
        authority_(authority),
        log_(log) {}

  const std::string& folder() const { return folder_; }

  // What is wrong; nothing is before there is an authority. From any thread.
  std::expected<Done, std::string> write() {
    const std::lock_guard lock(mutex_);
    const auto authority = authority_.now();
    if (authority == nullptr || authority == shown_) return Done{};
    const auto identity = authority->issue_server(names_);
    if (!identity) return std::unexpected(text_of("--san", identity.error()));
    const auto written = write_serving_identity(folder_, *identity, authority->root_pem());
    if (!written) return std::unexpected(text_of(folder_, written.error()));
    shown_ = authority;
    return Done{};
  }
  void refresh() {
    if (const auto written = write(); !written) log_.error("ca", written.error());
  }

 private:
  const std::string folder_;
  const std::vector<std::string> names_;
  const ca::Authority& authority_;
  telemetry::Log& log_;
  std::mutex mutex_;
  std::shared_ptr<const CertificateAuthority> shown_;  // under mutex_
};

// What the store and the mesh's configuration say, with the keys that RequestAuthentications name
// by URI, to the hub: from the thread of whoever says something else, and when there are other
// keys.
class Publisher {
 public:
  // `awaits_mesh`: nothing is served before the mesh's configuration is known.
  Publisher(Hub& hub, telemetry::Log& log, bool awaits_mesh)
      : hub_(hub), log_(log), awaits_mesh_(awaits_mesh), problems_(log), keys_(log, [this] {
          const std::lock_guard lock(mutex_);
          publish();
        }) {}

  void take(const StoreState& state) {
    const std::lock_guard lock(mutex_);
    last_ = state;
    publish();
  }

  void take(const MeshState& mesh) {
    const std::lock_guard lock(mutex_);
    if (mesh_ != nullptr && mesh_ != mesh.in_force()) {
      log_.info("mesh", "another mesh configuration is in force");
    }
    mesh_ = mesh.in_force();
    mesh_problems_ = mesh.problems();
    awaits_mesh_ = awaits_mesh_ && !mesh.is_known();
    publish();
  }

 private:
  void publish() {
    if (last_.world == nullptr) return;
    std::vector<manifest::Problem> problems = last_.problems;
    problems.insert(problems.end(), mesh_problems_.begin(), mesh_problems_.end());
    problems_.say(problems);
    auto world = std::make_shared<const World>(last_.world->with(mesh_));
    hub_.publish(keys_.fill(std::move(world)), std::move(problems),
                 last_.was_good && !awaits_mesh_);
  }

  Hub& hub_;
  telemetry::Log& log_;
  bool awaits_mesh_;
  ProblemLog problems_;
  std::mutex mutex_;
  StoreState last_;
  std::shared_ptr<const manifest::MeshConfig> mesh_;
  std::vector<manifest::Problem> mesh_problems_;
  jwks::Fetcher keys_;  // ends first: it calls back
};

// Until there is an authority, nothing can be served; /ready says why. False: a signal came first.
bool wait_for(const ca::Authority& authority, const sigset_t& signals) {
  const timespec pause{.tv_sec = 0, .tv_nsec = 20'000'000};
  while (authority.now() == nullptr) {
    if (sigtimedwait(&signals, nullptr, &pause) > 0) return false;
  }
  return true;
}

// What outlives us: the root, the debug token, the number of the last snapshot.
std::expected<Done, std::string> make_folders(const Config& config) {
  for (const std::string& folder : {config.state, config.state + "/ca", config.state + "/manifests",
                                    config.tokens.empty() ? config.state : config.tokens}) {
    if (const auto made = make_folder(folder); !made) {
      return std::unexpected(text_of(folder, made.error()));
    }
  }
  // The root certificate is for everybody to read; its key's own mode protects it.
  (void)::chmod((config.state + "/ca").c_str(), 0755);
  return Done{};
}

int run(const Config& config) {
  const sigset_t signals = block_signals();
  telemetry::LogFilter filter;
  filter.apply(config.log_level);
  telemetry::LogSink sink(STDERR_FILENO);
  telemetry::Log log(sink, config.log_format, filter);

  if (const auto made = make_folders(config); !made) return give_up(made.error());
  auto debug_token = token_file(config.state + "/debug-token");
  if (!debug_token) return give_up(config.state + "/debug-token", debug_token.error());
  const std::string version_path = config.state + "/version";

  // Manifests in, snapshots out.
  Settings settings = config.settings;
  settings.annotation_faults = annotation_faults;
  Hub hub(settings, read_number(version_path) + 1, [&](std::uint64_t version) {
    const auto kept = replace_file(version_path, std::to_string(version) + "\n", 0600);
    if (!kept) log.warn("state", "the snapshot's number was not kept", {{"file", version_path}});
    log.info("snapshot", "published", {{"version", std::to_string(version)}});
  });
  ca::Authority authority;
  ServingIdentity identity(config, authority, log);
  Publisher publisher(hub, log, !config.mesh_config_map.empty());
  Source source;
  const auto opened = source.open(
      config, hub, authority, log, [&](const StoreState& state) { publisher.take(state); },
      [&](const MeshState& state) { publisher.take(state); }, [&] { identity.refresh(); });
  if (!opened) return give_up(opened.error());

  // The operators' side, then the data planes'.
  DebugPages pages(hub, *debug_token, [&] { source.settle(1000); }, source.replica.get());
  auto http = HttpServer::start(
      config.debug_listen, [&](const admin::Request& request) { return pages.answer(request); });
  if (!http) {
    return give_up("cannot listen on " + config.debug_listen.to_string() +
                       "; choose another with --debug-listen",
                   http.error());
  }
  if (!wait_for(authority, signals)) return 0;
  // Before the port is there: without these files it would end every connection for seconds.
  if (const auto written = identity.write(); !written) return give_up(written.error());
  std::vector<Authenticator*> token_books;
  std::optional<Tokens> tokens;
  if (!config.tokens.empty()) token_books.push_back(&tokens.emplace(config.tokens));
  if (source.replica != nullptr) token_books.push_back(&source.replica->tokens());
  std::vector<std::string> trust_domains = config.settings.trust_domain_aliases;
  trust_domains.push_back(config.settings.trust_domain);
  auth::Callers callers(std::move(token_books), std::move(trust_domains));
  CaServer ca(hub, authority, config.certificate_lifetime, [&] { source.settle(250); });
  const auto grpc = GrpcServer::start(
      {.address = config.listen.to_string(), .identity = identity.folder()}, hub, ca, callers, log);
  if (grpc == nullptr) {
    return give_up("cannot listen on " + config.listen.to_string() +
                   ": is the port in use? Choose another with --listen");
  }
  log.info("control", "ready to serve",
           {{"listen", config.listen.to_string()},
            {"debug", config.debug_listen.to_string()},
            {"manifests", config.manifests.empty() ? "kubernetes" : config.manifests}});
  int signal = 0;
  (void)sigwait(&signals, &signal);
  log.info("control", "stopping");
  return 0;
}

}  // namespace
}  // namespace mesh::control

int main(int argc, char** argv) {
  const auto config = mesh::control::read_config(argc, argv);
  if (!config) {
    std::fputs(config.error().text.c_str(), config.error().status == 0 ? stdout : stderr);
    return config.error().status;
  }
  return mesh::control::run(*config);
}
