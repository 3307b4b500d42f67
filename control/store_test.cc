// The store over a real folder and real inotify.

#include "control/store.h"

#include <stdlib.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>

#include <catch2/catch_test_macros.hpp>

namespace mesh::control {
namespace {

std::string ns(const std::string& name) {
  return "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n";
}

class Bench {
 public:
  Bench() {
    char path[] = "/tmp/weft-store-test-XXXXXX";
    folder_ = ::mkdtemp(path);
    kept_ = folder_ + "/kept";
    std::filesystem::create_directory(kept_);
  }
  ~Bench() {
    store_.reset();
    std::filesystem::remove_all(folder_);
  }

  void open() {
    auto store = Store::open(folder_, kept_, [this](const StoreState& state) {
      const std::lock_guard lock(mutex_);
      state_ = state;
      history_ += (history_.empty() ? "" : ", ") + names();
      changed_.notify_all();
    });
    REQUIRE(store);
    store_ = *std::move(store);
  }
  void write(const std::string& file, const std::string& text) {
    std::ofstream(folder_ + "/" + file) << text;
  }
  std::string path(const std::string& file) const { return folder_ + "/" + file; }

  // Waits until the names in force are these ("a b"), 5 s at most.
  bool becomes(const std::string& wanted) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(5), [&] { return names() == wanted; });
  }
  // What is in force now, with everything taken in that was written before.
  std::string now() {
    store_->settle(5000);
    const std::lock_guard lock(mutex_);
    return names();
  }
  // Every state there was: "a, a b".
  std::string history() {
    const std::lock_guard lock(mutex_);
    return history_;
  }
  std::size_t problems() {
    const std::lock_guard lock(mutex_);
    return state_.problems.size();
  }
  bool was_good() {
    const std::lock_guard lock(mutex_);
    return state_.was_good;
  }

  std::unique_ptr<Store> store_;

 private:
  std::string names() const {
    std::string text;
    if (state_.world == nullptr) return text;
    for (const auto& [key, object] : state_.world->objects()) {
      text += (text.empty() ? "" : " ") + key.name;
    }
    return text;
  }

  std::string folder_;
  std::string kept_;
  std::mutex mutex_;
  std::condition_variable changed_;
  StoreState state_;
  std::string history_;
};

}  // namespace

TEST_CASE("the folder is read at once, then followed: new, rewritten, renamed, removed") {
  Bench bench;
  bench.write("a.yaml", ns("a"));
  bench.write("notes.txt", "not a manifest");
  bench.write(".hidden.yaml", ns("hidden"));
  bench.open();
  CHECK(bench.becomes("a"));
  bench.write("b.yml", ns("b"));
  CHECK(bench.becomes("a b"));
  bench.write("a.yaml", ns("c"));
  CHECK(bench.becomes("b c"));
  std::filesystem::rename(bench.path("b.yml"), bench.path("b.bak"));
  CHECK(bench.becomes("c"));
  std::filesystem::remove(bench.path("a.yaml"));
  CHECK(bench.becomes(""));
}

TEST_CASE("an editor's ways of writing: into place by rename, by link, over a symbolic link") {
  Bench bench;
  bench.write("a.yaml", ns("a"));
  bench.open();
  bench.write("a.yaml.tmp", ns("b"));
  std::filesystem::rename(bench.path("a.yaml.tmp"), bench.path("a.yaml"));
  CHECK(bench.becomes("b"));
  bench.write("data", ns("c"));
  std::filesystem::create_hard_link(bench.path("data"), bench.path("hard.yaml"));
  CHECK(bench.becomes("b c"));
  std::filesystem::create_symlink(bench.path("data2"), bench.path("soft.yaml"));
  bench.write("data2", ns("d"));
  CHECK(bench.becomes("b c d"));  // noticed by looking
}

TEST_CASE("a file that is open for writing is left alone until it is closed") {
  Bench bench;
  bench.write("a.yaml", ns("a"));
  bench.open();
  {
    std::ofstream slow(bench.path("a.yaml"));
    slow << ns("b");
    slow.flush();  // a whole object, but the writer is not done
    CHECK(bench.now() == "a");
    slow << ns("c");
  }
  CHECK(bench.becomes("b c"));
}

TEST_CASE("a file that is removed and written again at once was never gone") {
  Bench bench;
  bench.write("a.yaml", ns("a"));
  bench.open();
  std::filesystem::remove(bench.path("a.yaml"));
  bench.write("a.yaml", ns("a") + ns("b"));
  CHECK(bench.becomes("a b"));
  CHECK(bench.history() == "a, a b");
}

TEST_CASE("settle waits until a missing file has shown that it is gone") {
  Bench bench;
  bench.write("a.yaml", ns("a"));
  bench.open();
  std::filesystem::remove(bench.path("a.yaml"));
  CHECK(bench.now().empty());
}

TEST_CASE("broken files are reported, and repaired ones are not") {
  Bench bench;
  bench.write("a.yaml", "kind: [");
  bench.open();
  CHECK_FALSE(bench.was_good());
  CHECK(bench.problems() == 1);
  bench.write("a.yaml", ns("a"));
  CHECK(bench.becomes("a"));
  CHECK(bench.was_good());
  bench.write("a.yaml", "kind: [");
  CHECK(bench.now() == "a");
  CHECK(bench.problems() == 1);
  CHECK(bench.was_good());
}

TEST_CASE("after a restart a broken file still falls back on its last good text") {
  Bench bench;
  bench.write("a.yaml", ns("a"));
  bench.write("b.yaml", ns("b"));
  bench.write("c.yaml", ns("c"));
  bench.open();
  CHECK(bench.becomes("a b c"));
  bench.write("a.yaml", "kind: [");
  CHECK(bench.now() == "a b c");
  bench.store_.reset();
  bench.write("b.yaml", "kind: [");
  bench.write("new.yaml", "kind: [");
  std::filesystem::remove(bench.path("c.yaml"));
  bench.open();
  CHECK(bench.now() == "a b");
  CHECK(bench.was_good());
  CHECK(bench.problems() == 3);
  bench.write("c.yaml", "kind: [");  // what was removed is not remembered
  CHECK(bench.now() == "a b");
}

TEST_CASE("a folder that is not there is an error, one that goes away is waited for") {
  CHECK_FALSE(Store::open("/nonexistent/weft", "/tmp", [](const StoreState&) {}));
}

}  // namespace mesh::control
