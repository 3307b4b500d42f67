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
#include <set>
#include <string>

#include "control/ca_server.h"
#include "control/certificates.h"
#include "control/config.h"
#include "control/debug_pages.h"
#include "control/grpc_server.h"
#include "control/http_server.h"
#include "control/hub.h"
#include "control/kube_store.h"
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

// Where the manifests come from: a folder or an API server.
struct Source {
  std::unique_ptr<Store> folder;
  std::unique_ptr<KubeStore> kubernetes;

  // What is wrong.
  std::expected<Done, std::string> open(const Config& config,
                                        std::function<void(const StoreState&)> changed) {
    if (!config.manifests.empty()) {
      auto opened = Store::open(config.manifests, config.state + "/manifests", std::move(changed));
      if (!opened)
        return std::unexpected(text_of("--manifests " + config.manifests, opened.error()));
      folder = *std::move(opened);
      return Done{};
    }
    auto access = config.kubeconfig.empty()
                      ? kube::in_cluster()
                      : kube::load_kubeconfig(config.kubeconfig, config.context);
    if (!access) return std::unexpected("--kubernetes: " + access.error());
    auto opened = KubeStore::open(*std::move(access), std::move(changed));
    if (!opened) return std::unexpected("--kubernetes: " + opened.error());
    kubernetes = *std::move(opened);
    return Done{};
  }

  void settle(int timeout_ms) {
    if (folder != nullptr) folder->settle(timeout_ms);
    if (kubernetes != nullptr) kubernetes->settle(timeout_ms);
  }
};

int run(const Config& config) {
  const sigset_t signals = block_signals();
  telemetry::LogFilter filter;
  filter.apply(config.log_level);
  telemetry::LogSink sink(STDERR_FILENO);
  telemetry::Log log(sink, config.log_format, filter);

  // What outlives us: the root, the debug token, the number of the last snapshot.
  for (const std::string& folder :
       {config.state, config.state + "/ca", config.state + "/manifests", config.tokens}) {
    if (const auto made = make_folder(folder); !made) return give_up(folder, made.error());
  }
  // The root certificate is for everybody to read; its key's own mode protects it.
  (void)::chmod((config.state + "/ca").c_str(), 0755);
  auto authority = CertificateAuthority::open(config.state + "/ca", config.settings.trust_domain);
  if (!authority) return give_up(config.state + "/ca", authority.error());
  auto identity = (*authority)->issue_server(config.serving_names);
  if (!identity) return give_up("--san", identity.error());
  auto debug_token = token_file(config.state + "/debug-token");
  if (!debug_token) return give_up(config.state + "/debug-token", debug_token.error());
  const std::string version_path = config.state + "/version";

  // Manifests in, snapshots out.
  Hub hub(config.settings, read_number(version_path) + 1, [&](std::uint64_t version) {
    const auto kept = replace_file(version_path, std::to_string(version) + "\n", 0600);
    if (!kept) log.warn("state", "the snapshot's number was not kept", {{"file", version_path}});
    log.info("snapshot", "published", {{"version", std::to_string(version)}});
  });
  ProblemLog problem_log(log);
  Source source;
  const auto opened = source.open(config, [&](const StoreState& state) {
    problem_log.say(state.problems);
    hub.publish(state.world, state.problems, state.was_good);
  });
  if (!opened) return give_up(opened.error());

  // The data planes' side, then the operators'.
  Tokens tokens(config.tokens);
  const std::string serving = config.state + "/serving";
  const auto shown = write_serving_identity(serving, *identity, (*authority)->root_pem());
  if (!shown) return give_up(serving, shown.error());
  CaServer ca(hub, **authority, config.certificate_lifetime, [&] { source.settle(250); });
  const auto grpc = GrpcServer::start({.address = config.listen.to_string(), .identity = serving},
                                      hub, ca, tokens, log);
  if (grpc == nullptr) {
    return give_up("cannot listen on " + config.listen.to_string() +
                   ": is the port in use? Choose another with --listen");
  }
  DebugPages pages(hub, *debug_token, [&] { source.settle(1000); });
  auto http = HttpServer::start(
      config.debug_listen, [&](const admin::Request& request) { return pages.answer(request); });
  if (!http) {
    return give_up("cannot listen on " + config.debug_listen.to_string() +
                       "; choose another with --debug-listen",
                   http.error());
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
