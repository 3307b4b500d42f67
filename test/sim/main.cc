// sim_test --seeds N --first M | --seed N [--verbose]
//
// Runs each seed twice, in a process of its own, and says what was wrong and how to see it again.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include <openssl/rand.h>

#include "mesh/base/check.h"
#include "test/sim/scenario.h"

// nghttp2's own is its library's only other definition: simulated time would be too fine for what
// it limits, so it stands still.
extern "C" std::uint64_t nghttp2_time_now_sec() { return 1; }

namespace mesh::sim {
namespace {

struct Flags {
  std::uint64_t first = 1, seeds = 1;
  bool verbose = false;
};

// Seeds of one process: the memory of ztunnels that were killed is only freed with it.
constexpr std::uint64_t kBatch = 50;

// What the child that runs the seeds leaves behind, however it ends.
struct Shared {
  std::uint64_t seed = 0;
  std::uint64_t failed = 0;
  std::uint64_t events = 0, streams = 0, reached = 0, clean = 0;
};

const char* program = "sim_test";

// On a thread of its own, because BoringSSL's random numbers begin anew with a thread.
Outcome run_once(std::uint64_t seed, telemetry::Log& log) {
  Outcome outcome;
  std::thread([&] {
    RAND_reset_for_fuzzing();
    outcome = Scenario(seed, log).run();
  }).join();
  return outcome;
}

void say_replay(std::uint64_t seed) {
  std::printf("  replay: %s --seed %llu --verbose\n", program,
              static_cast<unsigned long long>(seed));
}

bool run_seed(std::uint64_t seed, telemetry::Log& log, const Flags& flags, Shared& shared) {
  Outcome first = run_once(seed, log);
  const Outcome again = run_once(seed, log);
  if (again.hash != first.hash || again.events != first.events) {
    first.findings.push_back("determinism: two runs differ: " + std::to_string(first.events) +
                             " and " + std::to_string(again.events) + " events");
  }
  shared.events += first.events;
  shared.streams += first.streams;
  shared.reached += first.reached;
  shared.clean += first.clean;
  if (!first.findings.empty() || flags.verbose) {
    std::printf("seed %llu: %s; hash %016llx, %llu events, %zu streams, %zu reached, %zu clean\n",
                static_cast<unsigned long long>(seed), first.plan.c_str(),
                static_cast<unsigned long long>(first.hash),
                static_cast<unsigned long long>(first.events), first.streams, first.reached,
                first.clean);
  }
  for (const std::string& line : first.findings) std::printf("  %s\n", line.c_str());
  if (!first.findings.empty()) say_replay(seed);
  std::fflush(stdout);
  return first.findings.empty();
}

[[noreturn]] void run_child(const Flags& flags, std::uint64_t end, Shared& shared) {
  const int nowhere = flags.verbose ? STDERR_FILENO : open("/dev/null", O_WRONLY | O_CLOEXEC);
  {
    telemetry::LogSink sink(nowhere);
    telemetry::LogFilter filter(flags.verbose ? telemetry::Level::kDebug : telemetry::Level::kOff);
    telemetry::Log log(sink, telemetry::LogFormat::kText, filter);
    for (; shared.seed < end; ++shared.seed) {
      if (!run_seed(shared.seed, log, flags, shared)) ++shared.failed;
    }
  }
  std::fflush(stdout);
  _exit(0);
}

int run(const Flags& flags) {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  MESH_CHECK(memory != MAP_FAILED);
  auto& shared = *new (memory) Shared{};
  const std::uint64_t end = flags.first + flags.seeds;
  const auto began = std::chrono::steady_clock::now();
  for (shared.seed = flags.first; shared.seed < end;) {
    const pid_t child = fork();
    MESH_CHECK(child >= 0);
    if (child == 0) run_child(flags, std::min(end, shared.seed + kBatch), shared);
    int status = 0;
    MESH_CHECK(waitpid(child, &status, 0) == child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    std::printf("seed %llu: the process ends by %s %d\n",
                static_cast<unsigned long long>(shared.seed),
                WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    say_replay(shared.seed);
    std::fflush(stdout);
    ++shared.failed;
    ++shared.seed;
  }
  const auto took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began);
  std::printf(
      "%llu seeds, %llu failed; %llu events, %llu streams, %llu reached, %llu clean; %.1f s\n",
      static_cast<unsigned long long>(flags.seeds), static_cast<unsigned long long>(shared.failed),
      static_cast<unsigned long long>(shared.events),
      static_cast<unsigned long long>(shared.streams),
      static_cast<unsigned long long>(shared.reached),
      static_cast<unsigned long long>(shared.clean), took.count());
  return shared.failed == 0 ? 0 : 1;
}

bool parse(int argc, char** argv, Flags& flags) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--verbose") {
      flags.verbose = true;
      continue;
    }
    if (i + 1 == argc) return false;
    char* end = nullptr;
    const std::uint64_t value = std::strtoull(argv[++i], &end, 10);
    if (*end != '\0') return false;
    if (name == "--seed" || name == "--first") {
      flags.first = value;
    } else if (name == "--seeds") {
      flags.seeds = value;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace
}  // namespace mesh::sim

int main(int argc, char** argv) {
  mesh::sim::program = argv[0];
  mesh::sim::Flags flags;
  if (!mesh::sim::parse(argc, argv, flags)) {
    std::fprintf(stderr, "usage: sim_test [--seed N | --first M --seeds N] [--verbose]\n");
    return 2;
  }
  return mesh::sim::run(flags);
}
