#include "control/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "control/file_stamp.h"
#include "control/folder.h"
#include "control/state.h"

namespace mesh::control {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kQuiet{30};
constexpr milliseconds kGatherMax{200};
constexpr milliseconds kMissing{150};
constexpr milliseconds kLookAround{2000};
constexpr std::size_t kMaxFiles = 10'000;
constexpr const char* kGoodMark = "/.was-good";  // in the folder of kept texts
constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_MOVED_TO |
                                  IN_MOVED_FROM | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF |
                                  IN_ATTRIB | IN_ONLYDIR;

bool is_manifest(std::string_view name) {
  return !name.empty() && name.front() != '.' &&
         (name.ends_with(".yaml") || name.ends_with(".yml") || name.ends_with(".json"));
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() { reset(); }
  void reset(int next = -1) {
    if (fd >= 0) ::close(fd);
    fd = next;
  }
};

manifest::Parsed unreadable(const std::string& file, std::string why) {
  manifest::Parsed parsed;
  parsed.unreadable = true;
  parsed.problems.push_back({manifest::Severity::kError, file, 0, "", "", std::move(why)});
  return parsed;
}

}  // namespace

struct Store::Watch {
  std::string path;
  std::string kept;
  std::function<void(const StoreState&)> changed;
  Descriptor folder_fd, inotify_fd, wake_fd;
  int watch = -1;

  // of the thread
  Folder folder;
  std::map<std::string, FileStamp> stamps;
  std::map<std::string, Clock::time_point> missing;
  std::set<std::string> touched;   // an event named it: read again whatever its stamp says
  std::set<std::string> suspects;  // to be compared with its stamp
  std::set<std::string> being_written;
  bool look_everywhere = true;
  bool was_good = false;
  bool is_marked = false;                         // was_good is kept, too
  std::map<std::string, std::string> good_texts;  // to be kept after the next publish()
  std::set<std::string> removed;
  Clock::time_point first_event{}, last_event{};

  std::thread thread;
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::condition_variable settled;
  std::uint64_t wanted = 0;
  std::uint64_t done = 0;

  Result<Done> start();
  bool add_watch();
  void run();
  int patience_ms(Clock::time_point now) const;
  void read_events();
  void take_event(const inotify_event& event);
  void touch(std::string name);
  bool take_in();
  void look_around();
  bool check(const std::string& name, bool was_touched);
  Result<std::string> read_text(const std::string& name, FileStamp& stamp) const;
  void recall();
  void keep();
  void publish();
};

Result<Done> Store::Watch::start() {
  inotify_fd.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (inotify_fd.fd < 0) return failed_with_errno(errno, "inotify_init1");
  wake_fd.reset(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (wake_fd.fd < 0) return failed_with_errno(errno, "eventfd");
  if (!add_watch()) return failed_with_errno(errno, "watching the manifest folder");
  recall();
  take_in();
  publish();
  thread = std::thread([this] { run(); });
  return Done{};
}

bool Store::Watch::add_watch() {
  folder_fd.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder_fd.fd < 0) return false;
  watch = ::inotify_add_watch(inotify_fd.fd, path.c_str(), kEvents);
  look_everywhere = true;
  return watch >= 0;
}

int Store::Watch::patience_ms(Clock::time_point now) const {
  Clock::time_point until = now + kLookAround;
  if (!touched.empty() || look_everywhere) {
    until = std::min({until, last_event + kQuiet, first_event + kGatherMax});
  }
  for (const auto& [name, since] : missing) until = std::min(until, since + kMissing);
  const auto left = std::chrono::ceil<milliseconds>(until - now).count();
  return static_cast<int>(std::max<std::int64_t>(left, 0));
}

void Store::Watch::run() {
  auto next_look = Clock::now() + kLookAround;
  std::uint64_t looked = 0;  // the last settle() that the folder was looked through for
  while (!stopping) {
    pollfd fds[2] = {{inotify_fd.fd, POLLIN, 0}, {wake_fd.fd, POLLIN, 0}};
    (void)::poll(fds, 2, patience_ms(Clock::now()));
    std::uint64_t ignored = 0;
    (void)!::read(wake_fd.fd, &ignored, sizeof ignored);
    std::uint64_t hurried = 0;
    {
      const std::lock_guard lock(mutex);
      hurried = wanted;
    }
    const bool hurry = hurried > done;
    read_events();
    const auto now = Clock::now();
    if (now >= next_look || hurried > looked) {
      looked = hurried;
      look_everywhere = true;
      next_look = now + kLookAround;
    }
    const bool due = now >= last_event + kQuiet || now >= first_event + kGatherMax;
    bool news = false;
    if (due || hurry) news = take_in();
    if (news) publish();
    // A file that is missing may be one that is being replaced; whether it is gone shows shortly.
    if (hurry && missing.empty()) {
      const std::lock_guard lock(mutex);
      done = hurried;
      settled.notify_all();
    }
  }
}

void Store::Watch::read_events() {
  alignas(inotify_event) char buffer[16 * 1024];
  for (;;) {
    const ssize_t got = ::read(inotify_fd.fd, buffer, sizeof buffer);
    if (got <= 0) return;
    for (ssize_t at = 0; at < got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      take_event(*event);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
  }
}

void Store::Watch::take_event(const inotify_event& event) {
  if ((event.mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) != 0) {
    if ((event.mask & IN_Q_OVERFLOW) == 0) watch = -1;
    being_written.clear();
    look_everywhere = true;
    return touch("");
  }
  if (event.len == 0 || (event.mask & IN_ISDIR) != 0) return;
  std::string name(event.name);
  if (!is_manifest(name)) return;
  if ((event.mask & IN_MODIFY) != 0) {
    being_written.insert(std::move(name));
  } else if ((event.mask & IN_CREATE) != 0) {
    // A link appears whole; a new file is empty until its writer closes it.
    struct stat s{};
    const bool link = ::fstatat(folder_fd.fd, name.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0 &&
                      (S_ISLNK(s.st_mode) || s.st_nlink > 1);
    if (link) return touch(std::move(name));
    being_written.insert(std::move(name));
  } else {
    if ((event.mask & IN_ATTRIB) == 0) being_written.erase(name);
    touch(std::move(name));
  }
}

void Store::Watch::touch(std::string name) {
  const auto now = Clock::now();
  if (touched.empty()) first_event = now;
  last_event = now;
  if (!name.empty()) touched.insert(std::move(name));
}

// Reads what was touched. True if anything is different now.
bool Store::Watch::take_in() {
  if (watch < 0) (void)add_watch();
  if (std::exchange(look_everywhere, false)) look_around();
  const std::set<std::string> read_again = std::exchange(touched, {});
  std::set<std::string> names = std::exchange(suspects, {});
  names.insert(read_again.begin(), read_again.end());
  for (const auto& [name, since] : missing) names.insert(name);
  bool news = false;
  for (const std::string& name : names) {
    if (!being_written.contains(name)) news |= check(name, read_again.contains(name));
  }
  return news;
}

void Store::Watch::look_around() {
  const int fd = ::openat(folder_fd.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* directory = fd < 0 ? nullptr : ::fdopendir(fd);
  if (directory == nullptr) {
    if (fd >= 0) ::close(fd);
    return;
  }
  std::set<std::string> present;
  while (const dirent* entry = ::readdir(directory)) {
    if (is_manifest(entry->d_name)) present.insert(entry->d_name);
  }
  ::closedir(directory);
  for (const auto& [name, stamp] : stamps) {
    if (!present.contains(name)) suspects.insert(name);
  }
  suspects.insert(present.begin(), present.end());
  std::erase_if(being_written, [&](const std::string& name) { return !present.contains(name); });
}

// One file: removed, unchanged, or read again. True if that changed anything.
bool Store::Watch::check(const std::string& name, bool was_touched) {
  struct stat s{};
  if (::fstatat(folder_fd.fd, name.c_str(), &s, 0) != 0 || !S_ISREG(s.st_mode)) {
    if (!stamps.contains(name)) {
      missing.erase(name);
      return false;
    }
    const auto since = missing.emplace(name, Clock::now()).first->second;
    if (Clock::now() < since + kMissing) return false;
    missing.erase(name);
    stamps.erase(name);
    folder.remove(name);
    good_texts.erase(name);
    removed.insert(name);
    return true;
  }
  missing.erase(name);
  const auto known = stamps.find(name);
  if (!was_touched && known != stamps.end() && known->second == stamp_of(s)) return false;
  if (known == stamps.end() && stamps.size() >= kMaxFiles) {
    folder.put(name, unreadable(name, "not read: there are over 10000 files"));
    return true;
  }
  FileStamp stamp;
  auto text = read_text(name, stamp);
  stamps[name] = stamp;
  manifest::Parsed parsed =
      text ? manifest::parse(name, *text) : unreadable(name, text.error().during);
  if (!parsed.has_errors()) good_texts[name] = *std::move(text);
  folder.put(name, std::move(parsed));
  return true;
}

// `stamp` is of what was read; after a failure it is one that fits nothing, so that the next look
// tries again.
Result<std::string> Store::Watch::read_text(const std::string& name, FileStamp& stamp) const {
  stamp = {};
  const Descriptor file{::openat(folder_fd.fd, name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat s{};
  if (file.fd < 0 || ::fstat(file.fd, &s) != 0) {
    return failed(Reason::kSystem, "cannot be opened");
  }
  if (s.st_size > static_cast<off_t>(manifest::kMaxFileBytes)) {
    stamp = stamp_of(s);
    return failed(Reason::kTooLarge, "larger than 4 MiB");
  }
  std::string text(static_cast<std::size_t>(s.st_size), '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t got = ::read(file.fd, text.data() + filled, text.size() - filled);
    if (got < 0) return failed(Reason::kSystem, "cannot be read");
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  text.resize(filled);
  stamp = stamp_of(s);
  return text;
}

// What an earlier life of ours last found good, for the files that are still there.
void Store::Watch::recall() {
  was_good = is_marked = ::access((kept + kGoodMark).c_str(), F_OK) == 0;
  if (!was_good) return;
  DIR* directory = ::opendir(kept.c_str());
  if (directory == nullptr) return;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string name = entry->d_name;
    if (!is_manifest(name)) continue;
    if (::faccessat(folder_fd.fd, name.c_str(), F_OK, 0) != 0) {
      removed.insert(name);
      continue;
    }
    const auto text = read_file(kept + "/" + name, manifest::kMaxFileBytes);
    if (text) folder.put(name, manifest::parse(name, *text));
  }
  ::closedir(directory);
  folder.settle();
}

// Best effort: what cannot be kept is missed at the next start only.
void Store::Watch::keep() {
  for (const auto& [name, text] : std::exchange(good_texts, {})) {
    (void)replace_file(kept + "/" + name, text, 0600);
  }
  for (const std::string& name : std::exchange(removed, {})) {
    (void)::unlink((kept + "/" + name).c_str());
  }
  if (was_good && !is_marked) is_marked = replace_file(kept + kGoodMark, "", 0600).has_value();
}

void Store::Watch::publish() {
  const Objects& objects = folder.settle();
  was_good |= !folder.has_errors();
  StoreState state;
  state.world = std::make_shared<const World>(objects);
  state.problems = folder.problems();
  state.was_good = was_good;
  changed(state);
  keep();
}

Store::Store(std::unique_ptr<Watch> watch) : watch_(std::move(watch)) {}

Store::~Store() {
  watch_->stopping = true;
  const std::uint64_t one = 1;
  (void)!::write(watch_->wake_fd.fd, &one, sizeof one);
  if (watch_->thread.joinable()) watch_->thread.join();
}

Result<std::unique_ptr<Store>> Store::open(std::string folder, std::string kept,
                                           std::function<void(const StoreState&)> changed) {
  auto watch = std::make_unique<Watch>();
  watch->path = std::move(folder);
  watch->kept = std::move(kept);
  watch->changed = std::move(changed);
  TRY_DO(watch->start());
  return std::unique_ptr<Store>(new Store(std::move(watch)));
}

void Store::settle(int timeout_ms) {
  std::unique_lock lock(watch_->mutex);
  const std::uint64_t mine = ++watch_->wanted;
  const std::uint64_t one = 1;
  (void)!::write(watch_->wake_fd.fd, &one, sizeof one);
  watch_->settled.wait_for(lock, milliseconds(timeout_ms), [&] { return watch_->done >= mine; });
}

}  // namespace mesh::control
