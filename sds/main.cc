// weft-sds: the identity of an Envoy that runs beside it. Makes a key, asks the mesh's CA with the
// service account's own token, writes what Envoy reads, and does it again at half of the
// certificate's life. The key is made here and goes nowhere but into the file.

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "mesh/identity/certificate.h"
#include "mesh/io/both.h"
#include "mesh/io/ring.h"
#include "mesh/io/signals.h"
#include "mesh/io/timer.h"
#include "mesh/telemetry/log.h"
#include "mesh/xds/ca_client.h"
#include "sds/config.h"
#include "sds/files.h"

namespace mesh::sds {
namespace {

constexpr std::chrono::seconds kFirstRetry{1};
constexpr std::chrono::seconds kLastRetry{60};

struct Program {
  io::Ring& ring;
  const Config& config;
  telemetry::Log& log;
  net::SpiffeId id;
  grpc::Target target;
  xds::CaClient ca;
  pid_t child = 0;
};

std::string describe(const Error& error) {
  std::string text = error.during;
  if (error.os_errno != 0) return text + ": " + std::strerror(error.os_errno);
  return text + ": " + std::string(reason_name(error.reason));
}

// A key and its certificate, as files. What is left of its life.
io::Task<Result<io::Duration>> renew(Program& program) {
  CO_TRY(const tls::PrivateKey key, tls::PrivateKey::generate());
  CO_TRY(std::string request, key.signing_request(program.id));
  CO_TRY(const identity::Issued issued, co_await program.ca.issue(program.id, std::move(request)));
  const io::WallTime now = program.ring.wall_now();
  CO_TRY(const auto certificate, identity::make_certificate(program.id, key, issued, now));
  const std::string& folder = program.config.folder;
  // Envoy takes what trusts the new certificate before the certificate.
  CO_TRY_DO(replace(folder + "/ROOTCA.json", roots_file(certificate->roots.to_pem())));
  CO_TRY_DO(
      replace(folder + "/default.json", secret_file(certificate->chain.to_pem(), key.to_pem())));
  co_return certificate->not_after - now;
}

// Runs the command, and ends with it.
void start_command(Program& program) {
  if (program.config.command.empty() || program.child != 0) return;
  std::vector<char*> words;
  for (const std::string& word : program.config.command) {
    words.push_back(const_cast<char*>(word.c_str()));
  }
  words.push_back(nullptr);
  program.child = ::fork();
  if (program.child == 0) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execvp(words[0], words.data());
    std::fprintf(stderr, "weft-sds: cannot run %s\n", words[0]);
    ::_exit(127);
  }
  std::thread([child = program.child] {
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    std::_Exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  }).detach();
}

io::Task<Result<Done>> keep(Program& program) {
  io::Duration retry = kFirstRetry;
  for (;;) {
    const auto left = co_await renew(program);
    io::Duration pause{};
    if (left) {
      program.log.info("identity", "certificate written", {{"id", program.id.to_string()}});
      start_command(program);
      retry = kFirstRetry;
      const auto half = *left / 2;
      pause = half - half / 10 * static_cast<long>(program.ring.random() % 100) / 100;
    } else {
      program.log.warn("identity", "no certificate", {{"error", describe(left.error())}});
      pause = retry + retry * static_cast<long>(program.ring.random() % 100) / 500;
      retry = std::min<io::Duration>(retry * 2, kLastRetry);
    }
    CO_TRY_DO(co_await io::sleep_for(program.ring, pause));
  }
}

io::Task<void> run(Program& program, io::Signals& signals) {
  (void)co_await io::first_of(signals.next(), keep(program));
  if (program.child > 0) {
    // The command ends in its own time; its end is ours.
    ::kill(program.child, SIGTERM);
    (void)co_await signals.next();
  }
  co_await program.ca.close();
}

int give_up(const std::string& what) {
  std::fprintf(stderr, "weft-sds: %s\n", what.c_str());
  return 1;
}

int start(const Config& config) {
  const auto id =
      net::SpiffeId::make(config.trust_domain, config.pod_namespace, config.service_account);
  if (!id) return give_up("--trust-domain, --namespace, --service-account: not an identity");
  const auto target = grpc::Target::parse(config.control);
  if (!target) return give_up("--control " + config.control + ": not https://HOST:PORT");
  if (::mkdir(config.folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return give_up("cannot make " + config.folder);
  }
  if (!config.bootstrap.empty()) {
    const auto written =
        replace(config.bootstrap, bootstrap_file(config, target->host, target->port));
    if (!written) return give_up("cannot write " + config.bootstrap);
  }
  auto ring = io::Ring::create({.entries = 64, .relay_buffers = 4, .wire_buffers = 4});
  if (!ring) return give_up("no io_uring: " + describe(ring.error()));
  auto signals = io::Signals::catch_all(**ring, {SIGTERM, SIGINT});
  if (!signals) return give_up("cannot catch signals");
  std::signal(SIGPIPE, SIG_IGN);
  telemetry::LogSink sink(STDERR_FILENO);
  telemetry::LogFilter filter;
  telemetry::Log log(sink, telemetry::LogFormat::kText, filter);
  xds::CaClientOptions options;
  options.channel.target = *target;
  options.channel.roots = grpc::roots_from_file(config.root_cert);
  options.channel.metadata =
      grpc::bearer_metadata(config.token, {{"clusterid", config.cluster_id}});
  Program program{.ring = **ring,
                  .config = config,
                  .log = log,
                  .id = *id,
                  .target = *target,
                  .ca = xds::CaClient(**ring, std::move(options), [&log](std::string_view line) {
                    log.limited("ca", telemetry::Level::kWarn, "ca", line);
                  })};
  (*ring)->run(run(program, *signals));
  return 0;
}

}  // namespace
}  // namespace mesh::sds

int main(int argc, char** argv) {
  const auto config = mesh::sds::read_config(
      argc, argv, [](const char* name) -> const char* { return std::getenv(name); });
  if (!config) {
    std::fputs(config.error().text.c_str(), config.error().status == 0 ? stdout : stderr);
    return config.error().status;
  }
  if (config->ask_ready) {
    return ::access((config->folder + "/default.json").c_str(), R_OK) == 0 ? 0 : 1;
  }
  return mesh::sds::start(*config);
}
