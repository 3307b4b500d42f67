// The mesh configuration's file, followed: real files.

#include "control/mesh_file.h"

#include <stdlib.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include <catch2/catch_test_macros.hpp>

namespace mesh::control {
namespace {

std::string tracing_of(const std::string& name) {
  return "defaultProviders: {tracing: [" + name + "]}\n";
}

class Bench {
 public:
  Bench() {
    char path[] = "/tmp/weft-mesh-file-test-XXXXXX";
    folder = ::mkdtemp(path);
    file = folder + "/mesh.yaml";
  }
  ~Bench() {
    followed.reset();
    std::filesystem::remove_all(folder);
  }

  // What is wrong.
  std::string open() {
    auto opened = MeshFile::open(file, folder + "/kept", [this](const MeshState& state) {
      const std::lock_guard lock(mutex_);
      tracing_ =
          state.in_force()->default_tracing.empty() ? "" : state.in_force()->default_tracing[0];
      problems_ = state.problems().size();
      changed_.notify_all();
    });
    if (!opened) return opened.error();
    followed = *std::move(opened);
    return "";
  }
  void write(const std::string& text) const { std::ofstream(file) << text; }

  // Waits until this is in force, 20 s at most.
  bool becomes(const std::string& tracing) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return tracing_ == tracing; });
  }
  std::string tracing() {
    const std::lock_guard lock(mutex_);
    return tracing_;
  }
  std::size_t problems() {
    const std::lock_guard lock(mutex_);
    return problems_;
  }

  std::string folder, file;
  std::unique_ptr<MeshFile> followed;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string tracing_;
  std::size_t problems_ = 0;
};

}  // namespace

TEST_CASE("a changed mesh configuration is taken in, and a barrier waits for it") {
  Bench bench;
  bench.write(tracing_of("one"));
  REQUIRE(bench.open() == "");
  CHECK(bench.tracing() == "one");
  bench.write(tracing_of("two"));
  CHECK(bench.becomes("two"));
  bench.write(tracing_of("three"));
  bench.followed->settle(20'000);
  CHECK(bench.tracing() == "three");
}

TEST_CASE("a mesh configuration that breaks, or goes, changes nothing and is a problem") {
  Bench bench;
  bench.write(tracing_of("one"));
  REQUIRE(bench.open() == "");
  SECTION("it breaks") { bench.write("defaultProviders: text\n"); }
  SECTION("it goes") { std::filesystem::remove(bench.file); }
  SECTION("a folder is there") {
    std::filesystem::remove(bench.file);
    std::filesystem::create_directory(bench.file);
  }
  bench.followed->settle(20'000);
  CHECK(bench.tracing() == "one");
  CHECK(bench.problems() > 0);
  std::filesystem::remove_all(bench.file);
  bench.write(tracing_of("two"));
  CHECK(bench.becomes("two"));
  CHECK(bench.problems() == 0);
}

TEST_CASE("a mesh configuration behind links, as a mounted ConfigMap is") {
  Bench bench;
  namespace fs = std::filesystem;
  for (const char* version : {"a", "b"}) {
    fs::create_directory(bench.folder + "/" + version);
    std::ofstream(bench.folder + "/" + version + "/mesh") << tracing_of(version);
  }
  fs::create_directory_symlink("a", bench.folder + "/..data");
  fs::create_symlink("..data/mesh", bench.file);
  REQUIRE(bench.open() == "");
  CHECK(bench.tracing() == "a");
  fs::create_directory_symlink("b", bench.folder + "/next");
  fs::rename(bench.folder + "/next", bench.folder + "/..data");
  CHECK(bench.becomes("b"));
}

TEST_CASE("a restart falls back on the last good mesh configuration, a first start on nothing") {
  Bench bench;
  bench.write("defaultProviders: text\n");
  CHECK(bench.open().contains("mesh.yaml:1: MeshConfig: defaultProviders"));
  bench.write(tracing_of("one"));
  REQUIRE(bench.open() == "");
  bench.followed.reset();
  bench.write("defaultProviders: text\n");
  REQUIRE(bench.open() == "");
  CHECK(bench.tracing() == "one");
  CHECK(bench.problems() > 0);
}

}  // namespace mesh::control
