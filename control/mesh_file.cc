#include "control/mesh_file.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "control/file_stamp.h"
#include "control/state.h"
#include "mesh/manifest/parse.h"

namespace mesh::control {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kLook{250};
constexpr milliseconds kRest{100};
constexpr milliseconds kHurry{20};

}  // namespace

struct MeshFile::Follow {
  Follow(std::string file, std::string kept_file, std::function<void(const MeshState&)> then)
      : path(std::move(file)),
        kept(std::move(kept_file)),
        changed(std::move(then)),
        state(path),
        seen(stamp_of_file(path)) {}

  const std::string path, kept;
  const std::function<void(const MeshState&)> changed;

  // of the thread
  MeshState state;
  FileStamp seen;  // what the file was at the last look
  Clock::time_point seen_since{};
  bool is_taken = false;  // what was seen has been read

  std::thread thread;
  std::mutex mutex;
  std::condition_variable word;
  bool stopping = false;               // under mutex
  std::uint64_t wanted = 0, done = 0;  // under mutex

  bool take();
  bool look();
  void run();
};

// True: something is different now.
bool MeshFile::Follow::take() {
  is_taken = true;
  const auto text = read_file(path, manifest::kMaxFileBytes);
  if (!text) {
    seen = {};  // the next look tries again
    return state.fail(text.error().reason == Reason::kTooLarge ? "longer than 4 MiB"
                                                               : "it cannot be read");
  }
  const auto before = state.in_force();
  const bool news = state.put(*text);
  // Best effort: what is not kept is missed at the next start only.
  if (state.in_force() != before) (void)replace_file(kept, *text, 0600);
  return news;
}

// False: what was written last has not rested yet.
bool MeshFile::Follow::look() {
  const FileStamp stamp = stamp_of_file(path);
  const auto now = Clock::now();
  if (stamp != seen) {
    seen = stamp;
    seen_since = now;
    is_taken = false;
  }
  if (is_taken) return true;
  if (now < seen_since + kRest) return false;
  if (take()) changed(state);
  return true;
}

void MeshFile::Follow::run() {
  for (;;) {
    std::uint64_t asked = 0;
    {
      const std::lock_guard lock(mutex);
      if (stopping) return;
      asked = wanted;
    }
    const bool rests = look();
    std::unique_lock lock(mutex);
    if (rests && asked > done) {
      done = asked;
      word.notify_all();
    }
    word.wait_for(lock, rests ? kLook : kHurry,
                  [&] { return stopping || (rests && wanted > done); });
  }
}

std::expected<std::unique_ptr<MeshFile>, std::string> MeshFile::open(
    std::string path, std::string kept, std::function<void(const MeshState&)> changed) {
  auto follow = std::make_unique<Follow>(std::move(path), std::move(kept), std::move(changed));
  if (const auto text = read_file(follow->kept, manifest::kMaxFileBytes)) {
    (void)follow->state.put(*text);
  }
  (void)follow->take();
  if (follow->state.in_force() == nullptr) {
    return std::unexpected(follow->state.problems().front().to_string());
  }
  follow->changed(follow->state);
  follow->thread = std::thread([raw = follow.get()] { raw->run(); });
  return std::unique_ptr<MeshFile>(new MeshFile(std::move(follow)));
}

MeshFile::MeshFile(std::unique_ptr<Follow> follow) : follow_(std::move(follow)) {}

MeshFile::~MeshFile() {
  {
    const std::lock_guard lock(follow_->mutex);
    follow_->stopping = true;
  }
  follow_->word.notify_all();
  if (follow_->thread.joinable()) follow_->thread.join();
}

void MeshFile::settle(int timeout_ms) {
  std::unique_lock lock(follow_->mutex);
  const std::uint64_t mine = ++follow_->wanted;
  follow_->word.notify_all();
  follow_->word.wait_for(lock, milliseconds(timeout_ms),
                         [&] { return follow_->stopping || follow_->done >= mine; });
}

}  // namespace mesh::control
