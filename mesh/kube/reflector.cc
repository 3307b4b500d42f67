#include "mesh/kube/reflector.h"

#include <algorithm>
#include <utility>

#include "mesh/base/check.h"
#include "mesh/kube/resource.h"

namespace mesh::kube {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstWait{200};
constexpr milliseconds kMostWait{30'000};
constexpr milliseconds kLookForAbsent{10'000};
constexpr seconds kMostRetryAfter{60};
constexpr seconds kWatchSeconds{300};  // and up to as much again: servers end idle watches anyway

// The cache of this replica of the server has not come to our version yet.
bool is_behind(const Status& status) {
  return status.code == 504 &&
         status.message.find("Too large resource version") != status.message.npos;
}

}  // namespace

Reflector::Reflector(Options options, Sink& sink)
    : options_(std::move(options)),
      sink_(sink),
      backoff_(kFirstWait, kMostWait, options_.seed),
      page_(options_.page) {
  MESH_CHECK(!options_.paths.empty() && page_ > 0);
}

std::optional<Reflector::Request> Reflector::next(Time now) {
  if (open_ || now < wake_) return {};
  open_ = true;
  initial_ = !listed_ && options_.watch_list;
  open_is_watch_ = listed_ || initial_;
  delivered_ = false;
  return open_is_watch_ ? watch_request() : list_request();
}

Reflector::Request Reflector::list_request() {
  if (continue_.empty()) sink_.begin_list();
  ++health_.lists;
  // Without a resourceVersion: the newest there is, from whichever replica.
  return {
      .watch = false,
      .target = with_query(options_.paths[path_], {{"limit", std::to_string(page_)},
                                                   {"continue", continue_},
                                                   {"fieldSelector", options_.field_selector},
                                                   {"labelSelector", options_.label_selector}})};
}

Reflector::Request Reflector::watch_request() {
  if (initial_) {
    sink_.begin_list();
    ++health_.lists;
  } else {
    ++health_.watches;
  }
  const auto span = std::chrono::duration_cast<seconds>(backoff_.within(kWatchSeconds));
  return {.watch = true,
          .target = with_query(options_.paths[path_],
                               {{"watch", "1"},
                                {"allowWatchBookmarks", "true"},
                                {"resourceVersion", initial_ ? "" : version_},
                                {"sendInitialEvents", initial_ ? "true" : ""},
                                {"resourceVersionMatch", initial_ ? "NotOlderThan" : ""},
                                {"timeoutSeconds", std::to_string((kWatchSeconds + span).count())},
                                {"fieldSelector", options_.field_selector},
                                {"labelSelector", options_.label_selector}})};
}

void Reflector::close(Time wake) {
  open_ = false;
  wake_ = wake;
}

void Reflector::relist() {
  listed_ = false;
  continue_.clear();
}

void Reflector::fail(std::string why, Time now) {
  ++health_.failures;
  health_.problem = std::move(why);
  health_.asked_to_wait = false;
  if (health_.state != State::kForbidden) health_.state = State::kFailing;
  close(now + backoff_.next());
}

void Reflector::page(const ListPage& page, Time now) {
  MESH_CHECK(open_ && !open_is_watch_);
  continue_ = page.next;
  absences_ = 0;
  if (!continue_.empty()) return close(now);
  // A server that lists and then refuses each watch is still waited for.
  if (commit(page.resource_version, now)) close(now);
}

// A list is whole. False: it was not taken, and the request is closed.
bool Reflector::commit(const std::string& version, Time now) {
  const std::uint64_t before = version_number(version_);
  const std::uint64_t after = version_number(version);
  if (after < before && ++older_lists_ < kInsist) {
    ++health_.refused_old;
    relist();
    fail("the list is older than what is known: version " + version + " after " + version_, now);
    return false;
  }
  older_lists_ = 0;
  broken_initials_ = 0;
  sink_.commit_list();
  version_ = version;
  listed_ = true;
  health_.state = State::kSynced;
  health_.complete = true;
  health_.problem.clear();
  health_.resource_version = version_;
  return true;
}

// The server does not begin a watch with a list.
void Reflector::use_pages() {
  options_.watch_list = false;
  initial_ = false;
}

bool Reflector::take_initial(WatchFrame&& frame, Time now) {
  absences_ = 0;
  if (frame.type == WatchFrame::Type::kAdded) {
    sink_.stage(std::move(frame.object));
    return true;
  }
  if (frame.type != WatchFrame::Type::kBookmark || !frame.initial_events_end) {
    // It does not know what it was asked for, and began an ordinary watch.
    use_pages();
    close(now);
    return false;
  }
  if (!commit(frame.resource_version, now)) return false;
  initial_ = false;
  delivered_ = true;
  garbage_ = 0;
  backoff_.reset();
  return true;
}

bool Reflector::frame(std::string_view line, Time now) {
  if (!open_) return false;
  MESH_CHECK(open_is_watch_);
  auto frame = read_watch_frame(line);
  if (!frame) {
    malformed(std::move(frame.error()), now);
    return false;
  }
  return take(*std::move(frame), now);
}

bool Reflector::take(WatchFrame&& frame, Time now) {
  if (frame.type == WatchFrame::Type::kError) {
    refused(frame.status, now);
    return false;
  }
  if (initial_) return take_initial(std::move(frame), now);
  const std::uint64_t before = version_number(version_);
  const std::uint64_t after = version_number(frame.resource_version);
  const bool bookmark = frame.type == WatchFrame::Type::kBookmark;
  // A bookmark may repeat where we are; an event never is from before it.
  if (after < before || (after == before && !bookmark && after != 0)) {
    ++health_.refused_old;
    behind();
    fail("the watch went back in time: version " + frame.resource_version + " after " + version_,
         now);
    return false;
  }
  if (!bookmark) {
    ++health_.events;
    if (frame.type == WatchFrame::Type::kDeleted) {
      sink_.remove(std::move(frame.object));
    } else {
      sink_.put(std::move(frame.object));
    }
  }
  version_ = std::move(frame.resource_version);
  health_.resource_version = version_;
  health_.state = State::kSynced;
  health_.problem.clear();
  delivered_ = true;
  garbage_ = 0;
  behind_ = 0;
  backoff_.reset();
  return true;
}

void Reflector::ended(Time now) {
  MESH_CHECK(open_);
  if (!open_is_watch_) return fail("the list broke off", now);
  if (initial_) return broken("the list broke off", now);
  // A watch that says nothing at all and ends at once must not become a busy loop.
  close(delivered_ ? now : now + backoff_.next());
}

void Reflector::malformed(std::string why, Time now) {
  MESH_CHECK(open_);
  // Once may be an accident on the way; a watch that keeps coming so is begun anew.
  if (!open_is_watch_ || ++garbage_ >= kInsist) {
    garbage_ = 0;
    relist();
  }
  fail("an answer that cannot be read: " + why, now);
}

void Reflector::too_large(Time now) {
  MESH_CHECK(open_);
  if (open_is_watch_) {
    if (initial_) use_pages();
    relist();
    return fail("a watch event beyond the limit", now);
  }
  const bool smallest = page_ == 1;
  page_ = std::max(1u, page_ / 2);
  relist();
  if (smallest) return fail("a list of one object beyond the limit", now);
  close(now);
}

void Reflector::absent(Time now) {
  relist();
  path_ = (path_ + 1) % static_cast<unsigned>(options_.paths.size());
  if (path_ != 0) return close(now);  // another version of the API may be there
  const bool had_objects = health_.state != State::kAbsent && health_.complete;
  if (had_objects && ++absences_ < kInsist) {
    return fail("the kind is gone from the server: looking again", now);
  }
  sink_.begin_list();
  sink_.commit_list();
  version_.clear();
  health_.state = State::kAbsent;
  health_.complete = true;
  health_.problem.clear();
  health_.resource_version.clear();
  close(now + kLookForAbsent + backoff_.within(kLookForAbsent / 2));
}

// Once is another replica's cache. A server that stays so (etcd was restored) does not know our
// version at all: what it lists is judged by commit().
void Reflector::behind() {
  if (++behind_ < kInsist) return;
  behind_ = 0;
  relist();
}

void Reflector::refused(const Status& status, Time now) {
  MESH_CHECK(open_);
  if (status.code == 404) return absent(now);
  if (initial_ && (status.code == 400 || status.code == 422)) {
    use_pages();
    return close(now);
  }
  if (status.code == 410) {
    relist();
    return fail("the version is compacted: listing again", now);
  }
  const bool forbidden = status.code == 403;
  // What was denied may be allowed again; a token may have been renewed.
  if (forbidden) health_.state = State::kForbidden;
  if (!open_is_watch_) continue_.clear();
  if (open_is_watch_ && !initial_ && is_behind(status)) behind();
  fail(std::to_string(status.code) + " " + status.reason + ": " + status.message, now);
  health_.asked_to_wait = status.code == 429 || is_behind(status);
  if (!forbidden) health_.state = State::kFailing;
  if (status.retry_after_seconds) {
    const seconds asked = std::min(seconds(*status.retry_after_seconds), kMostRetryAfter);
    wake_ = std::max(wake_, now + asked + backoff_.within(milliseconds(asked) / 4));
  }
}

void Reflector::broken(std::string why, Time now) {
  MESH_CHECK(open_);
  if (!open_is_watch_) continue_.clear();
  // Whatever it is that does not let such a stream through may let pages through.
  if (initial_ && ++broken_initials_ >= kInsist) use_pages();
  fail(std::move(why), now);
}

}  // namespace mesh::kube
